"""The statistics in simulated worlds, and on degenerate data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stats_pairs import UTILITY, Z80, assert_same, ends, one, paired

from harness.statistics import flips
from harness.statistics.stats import Paired, compare
from harness.values.findings import Comparison

# ---- simulated worlds


def ndcg_worlds(rng: np.random.Generator, n_groups: int, systems: int, skill: float) -> tuple[Any, Any, Any]:
    """NDCG of a baseline and `systems` on the same queries, one relevant document each; and the queries' groups.

    A group shares its difficulty, and a system its luck with a group, so queries of a group are correlated; the luck of
    the baseline is in all differences, so systems are correlated too.
    """
    sizes = rng.integers(1, 9, n_groups)
    groups = np.repeat(np.arange(n_groups), sizes)
    difficulty = rng.normal(1.0, 1.0, n_groups)[groups]
    columns = []
    for system in range(systems + 1):
        luck = rng.normal(0, 0.7, n_groups)[groups] + rng.normal(0, 0.7, len(groups))
        rank = np.ceil(np.exp(difficulty + luck - (skill if system else 0.0)))
        columns.append(np.where(rank <= 10, 1 / np.log2(rank + 1), 0.0))
    return columns[0], np.stack(columns[1:], axis=1), groups


def simulate(
    skill: float, wrong: Callable[[list[Comparison]], bool], *, worlds: int = 300, grouped: bool = True
) -> float:
    """The share of worlds in which one of six comparisons is wrong."""
    count = 0
    for world in range(worlds):
        baseline, systems, groups = ndcg_worlds(np.random.default_rng(world), 60, 6, skill)
        named = [int(group) for group in groups] if grouped else None
        pairs = [paired(list(column - baseline), named) for column in systems.T]
        count += wrong(compare("gain", pairs, resamples=999, seed=world))
    return count / worlds


LIMIT = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def excludes_zero(rows: list[Comparison]) -> bool:
    return any(ends(row)[0] > 0 or ends(row)[1] < 0 for row in rows)


def test_false_alarms_of_the_family_stay_at_alpha() -> None:
    rate = simulate(0.0, excludes_zero)
    assert 0.01 <= rate <= LIMIT, rate


def test_the_simulation_would_notice_if_groups_were_ignored() -> None:
    assert simulate(0.0, excludes_zero, worlds=60, grouped=False) > 2 * LIMIT


def test_all_intervals_of_the_family_cover_a_real_difference() -> None:
    baseline, systems, _ = ndcg_worlds(np.random.default_rng(999), 100_000, 1, 0.5)
    truth = float(np.mean(systems[:, 0] - baseline))
    assert 0.05 < truth < 0.2
    rate = simulate(0.5, lambda rows: any(not ends(row)[0] <= truth <= ends(row)[1] for row in rows))
    assert 0.01 <= rate <= LIMIT, rate


def test_intervals_cover_together_where_all_systems_gain_much() -> None:
    """Flips of the differences would move all of them together, as if they were one comparison: 35 % would miss."""
    missed = 0
    for world in range(150):
        noise = np.random.default_rng(world).normal(0, 0.1, (60, 20))
        rows = compare("gain", [paired(list(column + 0.5)) for column in noise.T], resamples=499, seed=world)
        missed += any(not ends(row)[0] <= 0.5 <= ends(row)[1] for row in rows)
    assert missed / 150 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 150)


def test_the_detectable_difference_is_found_in_four_of_five_worlds() -> None:
    detectable = one(paired(list(np.random.default_rng(0).normal(0, 0.2, 2_000)))).detectable
    assert detectable is not None
    shift = detectable * math.sqrt(2_000 / 50)  # the standard error falls with the root of the number of queries
    found = 0
    for world in range(300):
        row = one(paired(list(np.random.default_rng(world).normal(shift, 0.2, 50))), resamples=499)
        found += ends(row)[0] > 0
    assert found / 300 == pytest.approx(0.8, abs=0.08)


# ---- degenerate data


def test_the_same_output_is_equivalent_unless_no_difference_is_allowed() -> None:
    pair = replace(paired([0.0] * 20), same=True)
    row = one(pair)
    assert (row.difference, row.low, row.high, row.p_value, row.verdict) == (0.0, 0.0, 0.0, 1.0, "equivalent")
    assert (row.detectable, row.reason) == (None, "its output is the same as the baseline's")
    assert one(replace(pair, margin=0.0)).verdict == "inconclusive"
    assert one(replace(paired([0.0] * 20, [0] * 20), same=True)).verdict == "equivalent"


def test_no_difference_seen_is_not_the_same_output() -> None:
    """Twenty queries may miss a change that a few in a hundred have: four of them, by 1 each, are allowed for."""
    row = one(paired([0.0] * 20))
    assert (row.difference, row.p_value, row.verdict) == (0.0, 1.0, "inconclusive")
    half = 1.96 * 2 / 20
    assert ends(row) == pytest.approx((-half, half), abs=1e-5)
    assert row.detectable == pytest.approx(half + Z80 * 2 / 20, abs=1e-5)
    assert row.reason == "no group differs; the interval allows for a few that this sample missed"
    assert one(paired([0.0] * 400)).verdict == "equivalent"
    # Utility may lose 2 at once.
    assert one(replace(paired([0.0] * 20), measure=UTILITY)).high == pytest.approx(2 * half, abs=1e-5)


def rarely_lost(world: int, n_groups: int, share: float, kind: str) -> Paired:
    """A system that loses 1 on all queries of so many groups, at random: on the whole, as much as the margin.

    ``noisy``: a quarter of the others differ a little; ``uneven``: groups have 1 to 5 queries.
    """
    dice = np.random.default_rng((world, n_groups))
    lost, little = dice.random(n_groups) < share, dice.random(n_groups) < 0.25
    noise = dice.normal(0, 0.02, n_groups) if kind == "noisy" else np.zeros(n_groups)
    sizes = dice.integers(1, 6, n_groups) if kind == "uneven" else np.ones(n_groups, dtype=int)
    groups = np.repeat(np.arange(n_groups), sizes)
    each = np.where(lost, -1.0, np.where(little, noise, 0.0))[groups]
    return paired([float(value) for value in each], [int(group) for group in groups], base=1.0, margin=share)


@pytest.mark.parametrize("kind", ["plain", "noisy", "uneven"])
@pytest.mark.parametrize(
    ("n_groups", "share"), [(16, 0.05), (25, 0.05), (40, 0.05), (60, 0.05), (100, 0.05), (100, 0.1)]
)
def test_rare_losses_are_seldom_called_equivalent(
    n_groups: int, share: float, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few groups that differ say little of how many do, and the interval has to know."""
    pairs = [rarely_lost(world, n_groups, share, kind) for world in range(200)]

    def wrong() -> float:
        return sum(one(pair, resamples=199).verdict == "equivalent" for pair in pairs) / len(pairs)

    assert wrong() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(pairs))
    if n_groups * share <= 2:  # so the test above can fail
        monkeypatch.setattr(flips, "UNSEEN", 0)
        monkeypatch.setattr(flips, "WHOLE", 0)
        assert wrong() > 0.1


def test_what_is_added_for_groups_that_were_not_seen_to_differ() -> None:
    equal, apart = np.ones(80), np.zeros(80)
    assert flips.widened_variance(0.3, apart + 1e-9, equal, 1.0) == 0.3
    # Twenty that differ wholly are seen: two more as they do.
    apart[:20] = -1.0
    assert flips.widened_variance(0.3, apart, equal, 1.0) == pytest.approx(0.3 + 0.75 * 2 * 0.3 / 20)
    # Small differences are no measure of those that were missed: four whole ones, in a measure from 0 to 0.5.
    apart[:20] = 1e-9
    assert flips.widened_variance(1e-9, apart, equal, 0.5) == pytest.approx(1e-9 + 0.75 * 4 * (0.5 / 80) ** 2)
    # One that was seen counts, by how much it differs of what it could.
    apart[:20] = [0.25] + [0.0] * 19
    wanted = 79 / 80 * (4 - 0.5) * (0.5 / 80) ** 2
    assert flips.widened_variance(0.0, apart, equal, 0.5) == pytest.approx(wanted)
    # Of two groups the large one weighs; that nobody asked about the third says nothing.
    uneven = np.array([9.0, 1.0, 0.0])
    assert flips.widened_variance(0.0, np.zeros(3), uneven, 1.0) == pytest.approx(4 * (81 + 1) / 2 / 100)


def test_without_an_interval_no_p_value_says_more_than_the_verdict() -> None:
    """Another system of two groups takes the interval from all; at a level of a half that is allowed."""
    certain, tiny = paired([0.1] * 7), paired([0.0, 0.1])
    row = compare("gain", [certain, tiny], alpha=0.5, resamples=100)[0]
    assert (row.low, row.p_value, row.verdict) == (None, None, "inconclusive")
    assert row.reason == "too few distinct flips of the groups for an interval"


def test_what_was_seen_in_many_queries_is_trusted() -> None:
    """As on papers: few groups of very different size, of which nearly all differ, by little in a mean of many."""
    dice = np.random.default_rng(5)
    sizes = np.ceil(dice.lognormal(2.5, 0.8, 25))
    apart = np.where(np.arange(25) < 22, 0.08 * sizes, 0.0)
    assert 1 < flips.widened_variance(1e-4, apart, sizes, 1.0) / 1e-4 < 1.1
    assert flips.widened_variance(1e-4, apart / 100, sizes, 1.0) / 1e-4 > 5


def test_groups_that_cancel_are_not_the_same_output() -> None:
    pair = paired([0.5, -0.5] * 20, [number // 2 for number in range(40)])
    row = one(replace(pair, same=True))
    assert (row.difference, row.p_value, row.verdict) == (0.0, 1.0, "inconclusive")


def test_a_sum_of_systems_may_differ_by_more_than_the_measure() -> None:
    whole, twice = one(paired([0.0] * 20)), one(replace(paired([0.0] * 20), scale=2.0))
    assert ends(twice)[1] == pytest.approx(2 * ends(whole)[1])


def test_rounding_is_no_difference() -> None:
    pair = paired([0.1 + 0.2 - 0.3] * 50)
    assert any(pair.values.values())
    assert one(pair).difference == 0
    assert one(replace(pair, same=True)).verdict == "equivalent"


def test_the_same_gain_everywhere_is_certain() -> None:
    row = one(paired([0.3] * 20, base=0.1))
    assert ends(row) == pytest.approx((0.3, 0.3), abs=1e-12)
    assert row.p_value == pytest.approx(1 / 10_001, abs=1e-4)
    assert (row.verdict, row.detectable) == ("improved", None)
    loss = one(paired([-0.3] * 12, [*range(6), *range(6)], base=0.7))
    assert loss.p_value == 2.0**-5
    assert loss.verdict == "regressed"


def test_an_interval_is_refused_where_flips_agree_too_often() -> None:
    """Two sure gains over other groups: one of them looks certain in 1 of 16 flips, so certainty is no evidence."""
    row, _ = compare("gain", [paired([0.3] * 6, list(range(6))), paired([0.2] * 6, list(range(6, 12)))])
    assert row.p_value == pytest.approx(1 - (31 / 32) ** 2)
    assert (row.low, row.high, row.verdict) == (None, None, "inconclusive")
    assert row.reason == "too few distinct flips of the groups for an interval"


@pytest.mark.parametrize("n_groups", [1, 2, 5])
def test_few_groups_give_no_interval_however_many_queries(n_groups: int) -> None:
    differences = np.random.default_rng(1).normal(0.3, 0.01, 300)
    row = one(paired(list(differences), [number % n_groups for number in range(300)]))
    assert (row.low, row.high, row.p_value, row.verdict) == (None, None, None, "inconclusive")
    assert row.difference == pytest.approx(0.3, abs=0.01)
    assert row.reason == f"too few groups for an interval: {n_groups}, and it takes 6"


def test_six_groups_can_just_be_significant() -> None:
    row = one(paired([0.1, 0.2, 0.3, 0.2, 0.1, 0.25]))
    assert (row.p_value, row.verdict) == (2.0**-5, "improved")
    assert one(paired([0.1, 0.2, 0.3, 0.2, 0.1, 0.25]), alpha=0.03).verdict == "inconclusive"


def test_few_groups_on_one_measure_do_not_harm_the_others() -> None:
    pair = paired(list(np.random.default_rng(7).normal(0.1, 0.2, 60)))
    few = paired([0.3] * 3)
    assert_same(compare("gain", [pair, few])[0], one(pair))


def test_where_few_groups_differ_the_interval_is_not_narrowed_by_discreteness() -> None:
    """One of 60 queries differs, so |T| is 1 in all flips; an interval of one standard error would be too narrow.

    Nor would 1.96 of them do: as many more queries are taken to differ as make four, by 1 each.
    """
    row = one(paired([0.9] + [0.0] * 59))
    assert row.p_value == 1.0
    half = 1.96 * math.sqrt(0.015**2 + (1 - 1 / 60) * (4 - 0.9) * (1 / 60) ** 2)
    assert ends(row) == pytest.approx((0.015 - half, 0.015 + half), abs=1e-5)
    assert row.verdict == "inconclusive"


def test_nothing_measured_fails() -> None:
    row = one(paired([]))
    assert (row.difference, row.low, row.p_value, row.n_queries, row.verdict) == (None, None, None, 0, "failed")
    assert row.reason == "no query has a ndcg@10: nothing was measured"
    assert compare("gain", []) == []
