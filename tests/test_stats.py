"""The statistics against SciPy, against brute force, against their own laws, and against simulated worlds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import flips, intervals, stats
from harness.statistics.stats import Paired, compare, verdict
from harness.values.findings import Comparison
from harness.values.measures import Measure

NDCG, UTILITY = Measure("ndcg", 10), Measure("utility")
Z80 = NormalDist().inv_cdf(0.8)


def paired(
    differences: Sequence[float], groups: Sequence[object] | None = None, *, margin: float = 0.02, base: float = 0.0
) -> Paired:
    """A system that differs from the baseline, `base` everywhere. Without `groups` each query is one of its own."""
    queries = [f"q{number:04}" for number in range(len(differences))]
    names = [f"g{group:04}" if isinstance(group, int) else str(group) for group in groups or range(len(queries))]
    values = {query: base + float(difference) for query, difference in zip(queries, differences, strict=True)}
    groups = dict(zip(queries, names, strict=True))
    baseline = dict.fromkeys(queries, base)
    return Paired(system="s", measure=NDCG, margin=margin, values=values, baseline=baseline, groups=groups)


def one(pair: Paired, **options: Any) -> Comparison:
    (comparison,) = compare("gain", [pair], **options)
    return comparison


def ends(comparison: Comparison) -> tuple[float, float]:
    assert comparison.low is not None
    assert comparison.high is not None
    return comparison.low, comparison.high


def standard_error(comparison: Comparison) -> float:
    """Recovered from what is shown: the interval is c * se to the far side, the detectable difference (c + z) * se."""
    low, high = ends(comparison)
    assert comparison.detectable is not None
    assert comparison.difference is not None
    return (comparison.detectable - max(high - comparison.difference, comparison.difference - low)) / Z80


def numbers(row: Comparison) -> list[float]:
    found = (row.difference, row.low, row.high, row.p_value, row.detectable)
    return [math.nan if value is None else value for value in found]


def assert_same(a: Comparison, b: Comparison) -> None:
    """Equal but for the last bits: a product of matrices of another shape sums in another order."""
    assert numbers(a) == pytest.approx(numbers(b), nan_ok=True, abs=1e-9)
    assert (a.verdict, a.reason, a.n_groups) == (b.verdict, b.reason, b.n_groups)


# ---- the verdict


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.001, 0.01, 0.02, "improved"),  # a gain within the margin is a gain
        (0.03, 0.05, 0.02, "improved"),
        (0.0, 0.01, 0.02, "equivalent"),  # at zero it has not gained
        (-0.03, -0.001, 0.02, "regressed"),  # surely worse, perhaps by more than the margin
        (-0.05, -0.03, 0.02, "regressed"),
        (-0.01, -0.001, 0.02, "equivalent"),  # surely worse, and surely by less than the margin
        (-0.02, -0.001, 0.02, "inconclusive"),  # on the margin: neither
        (-0.03, 0.0, 0.02, "inconclusive"),
        (-0.01, 0.01, 0.02, "equivalent"),
        (-0.01, 0.02, 0.02, "inconclusive"),
        (-0.02, 0.01, 0.02, "inconclusive"),
        (-0.03, 0.03, 0.02, "inconclusive"),
        (-0.002, -0.001, 0.0, "regressed"),
        (0.0, 0.0, 0.0, "inconclusive"),
        (0.0, 0.0, 0.02, "equivalent"),
        (-math.inf, math.inf, 0.02, "inconclusive"),
    ],
)
def test_verdict_table(low: float, high: float, margin: float, expected: str) -> None:
    assert verdict(low, high, margin) == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_verdict_never_claims_what_the_interval_denies(low: float, width: float, margin: float) -> None:
    high = low + width
    found = verdict(low, high, margin)
    assert (found == "improved") == (low > 0)
    assert found != "regressed" or high < 0
    assert found != "equivalent" or max(abs(low), abs(high)) < margin


# ---- against SciPy and brute force


def scipy_p(differences: Sequence[float], resamples: int = 10_000) -> float:
    result = scipy.stats.permutation_test(
        (np.asarray(differences),),
        lambda x, axis: np.abs(np.mean(x, axis=axis)),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(5),
    )
    return float(result.pvalue)


@pytest.mark.parametrize("number", range(12))
def test_one_query_per_group_enumerated_is_scipy_exactly(number: int) -> None:
    rng = np.random.default_rng(number)
    n = 6 + number % 6
    differences = rng.choice([-0.5, -0.1, 0.0, 0.1, 0.3, 0.5], n) + (number % 3) * 0.2
    assert one(paired(list(differences))).p_value == pytest.approx(scipy_p(list(differences)), abs=1e-15)


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.06, 0.1])
def test_one_query_per_group_drawn_is_scipy_to_monte_carlo_error(shift: float) -> None:
    differences = list(np.random.default_rng(8).normal(shift, 0.2, 40))
    ours, theirs = one(paired(differences), resamples=9_999).p_value, scipy_p(differences, 9_999)
    assert ours is not None
    assert abs(ours - theirs) <= 4 * math.sqrt(2 * theirs * (1 - theirs) / 9_999) + 1e-4
    # With 40 normal differences Student's p is near as well; this ties the statistic to T, not to the mean alone.
    assert ours == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


def test_standard_error_is_the_ordinary_one_for_one_query_per_group() -> None:
    differences = list(np.random.default_rng(3).normal(0.02, 0.2, 50))
    comparison = one(paired(differences))
    assert comparison.difference == pytest.approx(np.mean(differences), abs=1e-12)
    assert standard_error(comparison) == pytest.approx(scipy.stats.sem(differences), rel=1e-6)
    critical = (ends(comparison)[1] - np.mean(differences)) / scipy.stats.sem(differences)
    assert 1.96 <= critical == pytest.approx(scipy.stats.t(49).ppf(0.975), abs=0.1)


class Expected(NamedTuple):
    p_values: list[float]
    errors: list[float]
    critical: float


def brute_force(table: list[tuple[list[float], list[str]]]) -> Expected:
    """Adjusted p values, standard errors and critical value by the definition, in loops over patterns and queries."""
    names = sorted({name for _, groups in table for name in groups})

    def t_and_se(differences: list[float], groups: list[str], sign: dict[str, int]) -> tuple[float, float]:
        flipped = [sign[group] * x for x, group in zip(differences, groups, strict=True)]
        mean, mine = sum(flipped) / len(flipped), sorted(set(groups))
        off = [sum(x - mean for x, group in zip(flipped, groups, strict=True) if group == name) for name in mine]
        se = math.sqrt(len(mine) / (len(mine) - 1) * sum(x * x for x in off)) / len(flipped)
        return abs(mean) / se, se

    observed = [t_and_se(*row, dict.fromkeys(names, 1)) for row in table]
    patterns = [dict(zip(names, signs, strict=True)) for signs in itertools.product([1, -1], repeat=len(names))]
    maxima = sorted(max(t_and_se(*row, pattern)[0] for row in table) for pattern in patterns)
    centred = [([x - sum(xs) / len(xs) for x in xs], groups) for xs, groups in table]
    residual_maxima = sorted(max(t_and_se(*row, pattern)[0] for row in centred) for pattern in patterns)
    p_values = [sum(m >= t * (1 - 1e-9) for m in maxima) / len(patterns) for t, _ in observed]
    beyond = -1 - math.floor(0.05 * len(patterns))
    return Expected(p_values, [se for _, se in observed], max(maxima[beyond], residual_maxima[beyond]))


@pytest.mark.parametrize(("seed", "gain"), [(4, 0.15), (5, 0.0), (6, 0.6)])
def test_groups_of_all_sizes_and_several_measures_are_brute_force_exactly(seed: int, gain: float) -> None:
    rng = np.random.default_rng(seed)
    groups = ["a"] * 5 + ["b", "b", "c", "d", "d", "d", "e", "f", "f", "g", "h", "h", "h", "h"]
    some = [name for name in groups if name not in "bh"]  # a measure that does not exist in two of the groups
    table = [
        (list(rng.normal(gain, 0.2, len(groups))), groups),
        (list(rng.normal(0.0, 0.2, len(groups))), groups),
        (list(rng.normal(-gain, 0.2, len(some))), some),
    ]
    expected = brute_force(table)
    found = compare("gain", [paired(*row) for row in table], resamples=2**8)
    assert [row.p_value for row in found] == pytest.approx(expected.p_values, abs=1e-15)
    assert [standard_error(row) for row in found] == pytest.approx(expected.errors, rel=1e-6)
    assert expected.critical > 1.96
    for row, error in zip(found, expected.errors, strict=True):
        assert row.detectable == pytest.approx((expected.critical + Z80) * error, rel=1e-6)
    assert [(row.n_queries, row.n_groups) for row in found] == [(19, 8), (19, 8), (13, 6)]


def test_drawn_p_values_are_the_enumerated_ones_to_monte_carlo_error() -> None:
    rng = np.random.default_rng(5)
    pairs = [paired(list(rng.normal(shift, 0.2, 36)), list(range(12)) * 3) for shift in (0.0, 0.05, 0.1)]
    exact, drawn = compare("gain", pairs, resamples=4_096), compare("gain", pairs, resamples=4_095)
    for a, b in zip(exact, drawn, strict=True):
        assert a.p_value is not None
        assert b.p_value == pytest.approx(a.p_value, abs=4 * math.sqrt(a.p_value / 4_095) + 1e-3)
        assert a.p_value != b.p_value or a.p_value == 1.0


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = paired(list(np.random.default_rng(6).normal(0.05, 0.2, 11)))
    whole = one(pair)
    monkeypatch.setattr(flips, "CHUNK", 100)
    assert_same(one(pair), whole)


# ---- laws

tenths = st.integers(-10, 10).map(lambda x: x / 10)


@st.composite
def tables(draw: st.DrawFn, most_groups: int = 9) -> list[Paired]:
    """Up to three comparisons over the same few groups: ties, zeros, constants and missing groups are common."""
    n_groups = draw(st.integers(1, most_groups))
    pairs = []
    for _ in range(draw(st.integers(1, 3))):
        present = draw(st.lists(st.integers(0, n_groups - 1), max_size=6)) + list(range(draw(st.integers(0, n_groups))))
        if draw(st.booleans()):
            differences = [draw(tenths)] * len(present)
        else:
            differences = draw(st.lists(tenths, min_size=len(present), max_size=len(present)))
        pairs.append(paired(differences, present))
    return pairs


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5]), st.sampled_from([100, 199, 512]))
def test_interval_and_p_value_never_contradict(pairs: list[Paired], alpha: float, resamples: int) -> None:
    for row, pair in zip(compare("gain", pairs, alpha=alpha, resamples=resamples), pairs, strict=True):
        if row.low is None or row.high is None:
            assert (row.low, row.high, row.detectable) == (None, None, None)
            assert row.verdict in ("inconclusive", "failed")
            assert row.p_value is None or row.p_value > alpha
            assert row.reason
            continue
        assert row.p_value is not None
        assert row.difference is not None
        assert row.low <= row.difference <= row.high
        assert (row.low > 0 or row.high < 0) == (row.p_value <= alpha)
        assert row.verdict == verdict(row.low, row.high, pair.margin)
        if 2 ** len({group for pair in pairs for group in pair.groups.values()}) <= resamples:
            assert row.p_value >= 2.0 ** (1 - row.n_groups)


@pytest.mark.parametrize("number", range(20))
def test_interval_and_p_value_agree_at_the_edge(number: int) -> None:
    """Continuous data in many groups, moved until p is about alpha: there the two are most likely to contradict."""
    rng = np.random.default_rng(number)
    noise = rng.normal(0, 0.2, (40, 2))
    for shift in np.linspace(0.05, 0.11, 13):
        for row in compare("gain", [paired(list(noise[:, 0] + shift)), paired(list(noise[:, 1]))], resamples=199):
            assert row.p_value is not None
            assert (ends(row)[0] > 0 or ends(row)[1] < 0) == (row.p_value <= 0.05)


@pytest.mark.parametrize(
    ("difference", "half", "significant", "expected"),
    [
        (0.1, 0.05, True, (0.05, 0.15)),
        (0.1, 0.12, True, (1e-10, 0.22)),  # c exceeds what the test needs: only the end at zero moves
        (-0.1, 0.12, True, (-0.22, -1e-10)),
        (0.1, 0.12, False, (-0.02, 0.22)),
        (0.1, 0.1 - 1e-16, False, (0.0, 0.2)),
        (-0.1, 0.1 - 1e-16, False, (-0.2, 0.0)),
    ],
)
def test_the_p_value_says_whether_the_interval_holds_zero(
    difference: float, half: float, significant: bool, expected: tuple[float, float]
) -> None:
    low, high = intervals.interval_of(difference, half, significant=significant)
    assert (low, high) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert (low > 0 or high < 0) == significant


@settings(max_examples=60, deadline=None)
@given(tables())
def test_swapping_the_sides_turns_the_interval_round(pairs: list[Paired]) -> None:
    swapped = [replace(pair, values=pair.baseline, baseline=pair.values) for pair in pairs]
    for a, b in zip(compare("gain", pairs), compare("gain", swapped), strict=True):
        difference, low, high, p_value, detectable = numbers(b)
        assert numbers(a) == pytest.approx([-difference, -high, -low, p_value, detectable], nan_ok=True, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_queries_and_names_of_groups_do_not_matter(pairs: list[Paired], random: Any) -> None:
    names = sorted({group for pair in pairs for group in pair.groups.values()})
    renamed = dict(zip(names, random.sample(range(100, 999), len(names)), strict=True))

    def shuffled(pair: Paired) -> Paired:
        queries = random.sample(sorted(pair.values), len(pair.values))
        return replace(
            pair,
            values={query: pair.values[query] for query in queries},
            groups={query: str(renamed[group]) for query, group in pair.groups.items()},
        )

    for a, b in zip(compare("gain", pairs), compare("gain", [shuffled(pair) for pair in pairs]), strict=True):
        assert_same(a, b)


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([0.25, 0.5, 4.0]))
def test_another_scale_is_only_another_scale(pairs: list[Paired], factor: float) -> None:
    scaled = [replace(pair, values={q: v and v * factor for q, v in pair.values.items()}) for pair in pairs]
    # Groups that were not seen to differ may by the range of the measure, which is another one too.
    scaled = [replace(other, scale=factor * pair.span / other.span) for pair, other in zip(pairs, scaled, strict=True)]
    for a, b in zip(compare("gain", pairs), compare("gain", scaled), strict=True):
        difference, low, high, p_value, detectable = numbers(a)
        wanted = [difference * factor, low * factor, high * factor, p_value, detectable * factor]
        assert numbers(b) == pytest.approx(wanted, nan_ok=True, abs=1e-9)


def test_copies_of_a_comparison_cost_nothing_because_signs_are_shared() -> None:
    pair = paired(list(np.random.default_rng(7).normal(0.1, 0.2, 60)))
    alone = one(pair, resamples=999)
    assert alone.p_value is not None
    assert 0.001 < alone.p_value < 0.1
    for row in compare("gain", [pair] * 5, resamples=999):
        assert_same(row, alone)


def test_other_comparisons_do_cost() -> None:
    rng = np.random.default_rng(7)
    pair = paired(list(rng.normal(0.1, 0.2, 60)))
    others = [paired(list(rng.normal(0, 0.2, 60))) for _ in range(8)]
    alone, among = one(pair), compare("gain", [pair, *others])[0]
    assert alone.p_value is not None
    assert among.p_value is not None
    assert among.p_value > 2 * alone.p_value
    assert ends(among)[1] > ends(alone)[1] + 0.5 * standard_error(alone)


def test_a_seed_is_a_result() -> None:
    pair = paired(list(np.random.default_rng(7).normal(0.04, 0.2, 60)))
    assert_same(one(pair, resamples=999, seed=1), one(pair, resamples=999, seed=1))
    assert one(pair, resamples=999, seed=1).p_value != one(pair, resamples=999, seed=2).p_value


def test_order_of_queries_does_not_matter_to_the_signs_drawn() -> None:
    pair = paired(list(np.random.default_rng(7).normal(0.01, 0.2, 300)))
    backwards = replace(pair, values={query: pair.values[query] for query in reversed(list(pair.values))})
    assert_same(one(backwards, resamples=999), one(pair, resamples=999))


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
    assert row.reason == f"too few groups for an interval: {n_groups} of 6"


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


# ---- failures


def failing(pair: Paired, *, values: int = 0, baseline: int = 0) -> Paired:
    """The same with the first `values` queries failed in the system, the last `baseline` in the baseline."""
    queries = sorted(pair.values)
    return replace(
        pair,
        values={**pair.values, **dict.fromkeys(queries[:values])},
        baseline={**pair.baseline, **dict.fromkeys(queries[len(queries) - baseline :])},
    )


STEADY = paired(list(np.random.default_rng(9).normal(0.3, 0.05, 60)), base=0.4)


def test_one_failure_is_too_many_unless_the_limit_says_otherwise() -> None:
    row = one(failing(STEADY, values=1))
    assert (row.verdict, row.failed, row.n_queries, row.n_groups) == ("failed", 1, 59, 59)
    assert row.difference == pytest.approx(0.3, abs=0.02)
    assert (row.low, row.high, row.p_value) == (None, None, None)
    assert row.reason == "1 of 60 queries have no value on both sides (limit 0.0%)"


@pytest.mark.parametrize(("failed", "expected"), [(3, "improved"), (4, "failed")])
def test_the_limit_itself_is_allowed(failed: int, expected: str) -> None:
    assert one(failing(STEADY, values=failed), failure_limit=0.05).verdict == expected
    assert one(failing(STEADY, baseline=failed), failure_limit=0.05).verdict == expected


def test_the_share_is_of_the_population() -> None:
    many = paired([0.3] * 500)
    assert one(failing(many, values=1)).verdict == "failed"
    assert one(failing(many, values=1), failure_limit=0.0019).verdict == "failed"
    assert one(failing(many, values=1), failure_limit=0.002).verdict == "improved"


def test_failures_that_could_turn_the_verdict_make_it_inconclusive() -> None:
    small = paired(list(np.random.default_rng(9).normal(0.03, 0.05, 60)), base=0.4)
    assert one(small).verdict == "improved"
    for pair in (failing(small, values=4), failing(small, baseline=4)):
        row = one(pair, failure_limit=0.1)
        assert row.verdict == "inconclusive"
        assert row.failed == 4
        assert ends(row)[0] > 0  # what is shown is of the complete pairs
        assert row.reason == "improved without the 4 failed, improved with them at best, inconclusive at worst"


@pytest.mark.parametrize(("values", "baseline", "best"), [(1, 0, 0.6), (0, 1, 0.4), (60, 60, 1.0)])
def test_failures_are_imputed_at_the_extremes_of_the_measure(values: int, baseline: int, best: float) -> None:
    pair = failing(paired([0.0] * 60, base=0.4), values=values, baseline=baseline)
    index = {group: number for number, group in enumerate(sorted(pair.groups.values()))}
    count = max(values, baseline)
    assert stats.sums_by_group(pair, index, "help").totals.sum() == pytest.approx(best * count)
    worst = {0.6: -0.4, 0.4: -0.6, 1.0: -1.0}[best]
    assert stats.sums_by_group(pair, index, "hurt").totals.sum() == pytest.approx(worst * count)
    assert stats.sums_by_group(pair, index, "drop").sizes.sum() == 60 - count


@pytest.mark.parametrize(("lowest", "expected"), [(-1.0, 2.0), (-3.0, 4.0)])
def test_the_extremes_reach_as_far_as_the_scores_do(lowest: float, expected: float) -> None:
    """Utility may cost more than 1 if the suite says so; then -1 is not the worst there is."""
    pair = paired([0.0] * 10, base=1.0)
    pair = replace(pair, measure=UTILITY, values={**pair.values, "q0000": None, "q0009": lowest})
    index = {group: number for number, group in enumerate(sorted(pair.groups.values()))}
    assert stats.sums_by_group(pair, index, "hurt").totals[0] == pytest.approx(-expected)


def test_a_broken_system_does_not_blur_the_others() -> None:
    pair = paired(list(np.random.default_rng(7).normal(0.1, 0.2, 60)))
    broken = failing(paired([0.3] * 53 + [0.31, 0.3, 0.29, 0.3, 0.3, 0.3, 0.3]), values=53)
    row, failed = compare("gain", [pair, broken], failure_limit=0.1)
    assert_same(row, one(pair))
    assert failed.verdict == "failed"
    assert failed.difference == pytest.approx(0.3)


def test_nothing_but_failures_fails_whatever_the_limit() -> None:
    row = one(failing(STEADY, values=60), failure_limit=1.0)
    assert (row.verdict, row.difference, row.failed) == ("failed", None, 60)
    assert row.reason == "no query has a value on both sides"


# ---- what no caller should send


def test_nonsense_is_refused() -> None:
    pair = paired([0.1] * 10)
    with pytest.raises(ValueError, match=r"s \(seed 0\), ndcg@10: 1 queries are on one side only, such as 'extra'"):
        one(replace(pair, values={**pair.values, "extra": 0.1}))
    with pytest.raises(ValueError, match="1 queries are on one side only, such as 'extra'"):
        one(replace(pair, baseline={**pair.baseline, "extra": None}))
    with pytest.raises(ValueError, match="10 queries have no group, such as 'q0000'"):
        one(replace(pair, groups={}))
    with pytest.raises(ValueError, match="not a finite number"):
        one(replace(pair, values={**pair.values, "q0000": math.nan}))
    with pytest.raises(ValueError, match=r"margin -0\.1 is negative"):
        one(replace(pair, margin=-0.1))
    with pytest.raises(ValueError, match=r"18 resamples cannot reach p <= 0\.05"):
        one(pair, resamples=18)
    assert one(pair, resamples=19).p_value == 0.05


def test_what_identifies_the_comparison_is_passed_on() -> None:
    pair = replace(STEADY, system="tuned", seed=3, measure=UTILITY, margin=0.07)
    (row,) = compare("regression", [pair])
    assert (row.family, row.system, row.seed, row.measure, row.margin) == ("regression", "tuned", 3, "utility", 0.07)
