"""Claims about a recipe: by hand, by their laws, and in simulated worlds where another seed is another model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics.seeds import recipe_claims
from harness.statistics.stats import Paired, compare, verdict
from harness.values.effects import RecipeClaim
from harness.values.measures import Measure

NDCG, UTILITY = Measure("ndcg", 10), Measure("utility")


def trained(
    table: Sequence[Sequence[float]] | np.ndarray, *, system: str = "tuned", margin: float = 0.02, per_group: int = 1
) -> list[Paired]:
    """One pair for each row of `table`, the gains of a seed by query; `per_group` queries in a row share a group."""
    pairs = []
    for seed, gains in enumerate(table):
        names = [f"q{number:04}" for number in range(len(gains))]
        groups = {query: f"g{number // per_group:04}" for number, query in enumerate(names)}
        values: dict[str, float | None] = {query: 0.5 + float(gain) for query, gain in zip(names, gains, strict=True)}
        baseline = dict.fromkeys(names, 0.5)
        pairs.append(
            Paired(
                system=system, seed=seed, measure=NDCG, margin=margin, values=values, baseline=baseline, groups=groups
            )
        )
    return pairs


def world(
    rng: np.random.Generator, gain: float, *, of_seeds: float, of_groups: float = 0.2, within: float = 0.1,
    n_seeds: int = 3, n_groups: int = 60,
) -> np.ndarray:  # fmt: skip
    """Gains (seeds x queries): each seed has a gain of its own, each query too, and the two interact."""
    seeds, queries = rng.normal(0, of_seeds, (n_seeds, 1)), rng.normal(0, of_groups, (1, n_groups))
    return np.asarray(gain + seeds + queries + rng.normal(0, within, (n_seeds, n_groups)))


def one(pairs: list[Paired], **options: Any) -> RecipeClaim:
    (claim,) = recipe_claims(pairs, **options)
    return claim


def half(claim: RecipeClaim) -> float:
    assert claim.low is not None
    assert claim.high is not None
    return (claim.high - claim.low) / 2


# ---- by hand


def test_what_is_shown_of_the_seeds() -> None:
    claim = one(trained([[0.1] * 8, [0.2] * 8, [0.6] * 8]))
    assert claim.seeds == (0, 1, 2)
    assert claim.gains == pytest.approx((0.1, 0.2, 0.6))
    assert claim.difference == pytest.approx(0.3)
    assert claim.between_seeds == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2))
    assert (claim.system, claim.measure, claim.margin, claim.n_queries, claim.n_groups) == (
        "tuned",
        "ndcg@10",
        0.02,
        8,
        8,
    )


def test_where_only_seeds_vary_the_interval_is_students_over_the_seeds() -> None:
    gains = [0.1, 0.25, 0.3, 0.2]
    claim = one(trained([[gain] * 12 for gain in gains]))
    expected = scipy.stats.ttest_1samp(gains, 0.0)
    interval = expected.confidence_interval(0.95)
    assert (claim.low, claim.high) == pytest.approx((interval.low, interval.high))
    assert claim.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert claim.verdict == "improved"


def test_where_seeds_agree_the_interval_is_students_over_the_groups() -> None:
    gains = np.random.default_rng(1).normal(0.1, 0.2, 30)
    claim = one(trained([gains] * 3))
    expected = scipy.stats.ttest_1samp(gains, 0.0)
    interval = expected.confidence_interval(0.95)
    assert (claim.low, claim.high) == pytest.approx((interval.low, interval.high))
    assert claim.p_value == pytest.approx(expected.pvalue, rel=1e-6)


def test_both_variances_by_hand() -> None:
    table = world(np.random.default_rng(4), 0.1, of_seeds=0.1, n_seeds=4, n_groups=20)
    claim = one(trained(table))
    by_query, by_seed = table.mean(axis=0), table.mean(axis=1)
    within = table - by_query - by_seed[:, None] + table.mean()
    chance = (within**2).sum() / (3 * 19) / (4 * 20)
    of_groups, of_seeds = by_query.var(ddof=1) / 20 - chance, by_seed.var(ddof=1) / 4
    assert of_groups > 0
    t = scipy.stats.t
    expected = math.sqrt(t(19).ppf(0.975) ** 2 * of_groups + t(3).ppf(0.975) ** 2 * of_seeds)
    assert half(claim) == pytest.approx(expected)
    assert claim.detectable == pytest.approx(expected + 0.8416212 * math.sqrt(of_groups + of_seeds))


def test_queries_of_one_group_count_together() -> None:
    gains = np.repeat(np.random.default_rng(2).normal(0.1, 0.2, 20), 5)
    apart, together = one(trained([gains] * 3)), one(trained([gains] * 3, per_group=5))
    assert (apart.n_groups, together.n_groups) == (100, 20)
    assert half(together) == pytest.approx(half(one(trained([gains[::5]] * 3))))
    assert half(together) > 2 * half(apart)


# ---- what may be claimed


def test_two_seeds_show_their_spread_and_claim_nothing() -> None:
    claim = one(trained([[0.1] * 10, [0.2] * 10]))
    assert claim.gains == pytest.approx((0.1, 0.2))
    assert claim.between_seeds == pytest.approx(0.1 / math.sqrt(2))
    assert (claim.low, claim.high, claim.p_value, claim.verdict) == (None, None, None, None)
    assert claim.reason == "a claim about a recipe needs at least 3 seeds, got 2"


def test_one_seed_is_no_recipe() -> None:
    assert recipe_claims(trained([[0.1] * 10])) == []
    assert recipe_claims([]) == []


def test_a_gain_that_three_checkpoints_have_may_still_not_be_the_recipes() -> None:
    """Each seed improves for itself, but they differ so much that a fourth might not."""
    rng = np.random.default_rng(3)
    pairs = trained([rng.normal(gain, 0.05, 60) for gain in (0.03, 0.3, 0.1)])
    assert {row.verdict for row in compare("gain", pairs)} == {"improved"}
    assert one(pairs).verdict == "inconclusive"
    assert one(trained([rng.normal(gain, 0.05, 60) for gain in (0.13, 0.15, 0.14)])).verdict == "improved"


def test_a_recipe_that_changes_nothing_is_said_to() -> None:
    pairs = trained([[0.0] * 10] * 3)
    claim = one([replace(pair, same=True) for pair in pairs])
    assert (claim.difference, claim.low, claim.high, claim.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert claim.verdict == "equivalent"
    assert claim.reason == "every seed has the same output as the baseline"
    # Ten queries may have missed a few that do change.
    seen = one(pairs)
    assert (seen.difference, seen.p_value, seen.verdict) == (0.0, 1.0, "inconclusive")
    assert half(seen) == pytest.approx(scipy.stats.t.ppf(0.975, 9) * 2 / 10)


def test_seeds_that_cancel_in_every_group_do_differ() -> None:
    """Nothing is added for groups that were not seen to differ: all were, in some seed."""
    claim = one(trained([[0.5] * 40, [-0.5] * 40, [0.0] * 40]))
    assert claim.difference == 0
    assert half(claim) == pytest.approx(scipy.stats.t.ppf(0.975, 2) * 0.5 / math.sqrt(3))


def test_few_groups_give_no_interval() -> None:
    for n_groups in (1, 5):
        claim = one(trained([[0.1] * n_groups, [0.2] * n_groups, [0.3] * n_groups]))
        assert (claim.low, claim.p_value, claim.verdict) == (None, None, "inconclusive")
        assert claim.reason == f"too few groups for an interval: {n_groups}, and it takes 6"
        assert claim.difference == pytest.approx(0.2)


@settings(max_examples=80)
@given(
    st.integers(3, 5).flatmap(
        lambda n: st.lists(st.lists(st.integers(-5, 5), min_size=n, max_size=n), min_size=6, max_size=12)
    ),
    st.sampled_from([0.0, 0.05, 0.3]),
)
def test_interval_p_value_and_verdict_never_contradict(table: list[list[int]], margin: float) -> None:
    claim = one(trained(np.asarray(table).T / 10, margin=margin))
    assert claim.low is not None
    assert claim.high is not None
    assert claim.difference is not None
    assert claim.p_value is not None
    assert claim.low <= claim.difference <= claim.high
    assert claim.verdict == verdict(claim.low, claim.high, margin)
    if abs(claim.p_value - 0.05) > 1e-6:
        assert (claim.low > 0 or claim.high < 0) == (claim.p_value <= 0.05)


def test_the_order_of_seeds_and_queries_does_not_matter() -> None:
    pairs = trained(world(np.random.default_rng(6), 0.1, of_seeds=0.05))
    turned = [replace(pair, values=dict(reversed(list(pair.values.items())))) for pair in reversed(pairs)]
    assert one(turned) == one(pairs)


def test_other_claims_cost_but_those_that_are_not_tested_do_not() -> None:
    pairs = trained(world(np.random.default_rng(6), 0.1, of_seeds=0.05))
    rng = np.random.default_rng(7)
    others = [trained(world(rng, 0.0, of_seeds=0.05), system=f"other{number}") for number in range(3)]
    alone, among = one(pairs), recipe_claims([*pairs, *(pair for other in others for pair in other)])[0]
    assert among.p_value == pytest.approx(4 * alone.p_value)  # type: ignore[operator]
    assert half(among) > half(alone)
    idle = [
        *(replace(pair, same=True) for pair in trained([[0.0] * 60] * 3, system="no-op")),
        *trained([[0.1] * 60] * 2, system="two-seeds"),
        *trained([[0.1] * 60], system="one-seed"),
        *trained([[0.1] * 3] * 3, system="few-groups"),
    ]
    assert recipe_claims([*idle, *pairs])[-1] == alone


def test_claims_are_by_system_and_measure() -> None:
    pairs = trained([[0.1] * 10] * 3) + [replace(pair, measure=UTILITY) for pair in trained([[0.2] * 10] * 3)]
    assert [(claim.measure, claim.difference) for claim in recipe_claims(pairs)] == [
        ("ndcg@10", pytest.approx(0.1)),
        ("utility", pytest.approx(0.2)),
    ]


# ---- failures


def failing(pairs: list[Paired], seed: int, n: int) -> list[Paired]:
    values = {**pairs[seed].values, **dict.fromkeys(sorted(pairs[seed].values)[:n])}
    return [replace(pair, values=values) if pair.seed == seed else pair for pair in pairs]


def test_a_query_that_failed_with_one_seed_leaves_all_of_them() -> None:
    table = world(np.random.default_rng(8), 0.1, of_seeds=0.02)
    claim = one(failing(trained(table), 1, 2), failure_limit=0.1)
    whole = one(trained(table[:, 2:]))
    assert (claim.failed, claim.n_queries) == (2, 58)
    assert claim.gains == pytest.approx(whole.gains)
    assert half(claim) == pytest.approx(half(whole))


def test_too_many_failures_fail_the_claim() -> None:
    pairs = trained(world(np.random.default_rng(8), 0.1, of_seeds=0.02))
    claim = one(failing(pairs, 1, 1))
    assert (claim.verdict, claim.low, claim.p_value) == ("failed", None, None)
    assert claim.reason == "1 of 60 queries have no value in every seed (limit 0.0 %)"
    lost = one(failing(pairs, 2, 60), failure_limit=1.0)
    assert (lost.verdict, lost.gains, lost.difference, lost.failed) == ("failed", (), None, 60)
    assert lost.reason == "no query has a value in every seed"


def test_failures_that_could_turn_the_verdict_make_it_inconclusive() -> None:
    rng = np.random.default_rng(9)
    pairs = trained([rng.normal(0.03, 0.05, 60)] * 3)
    assert one(pairs).verdict == "improved"
    claim = one(failing(pairs, 0, 12), failure_limit=0.3)
    assert claim.verdict == "inconclusive"
    assert claim.low is not None
    assert claim.low > 0  # what is shown is of the complete queries
    # Imputed in one seed alone, even the best values make the seeds differ.
    assert claim.reason == "improved without the 12 failed, inconclusive with them at best, inconclusive at worst"


def test_nonsense_is_refused() -> None:
    pairs = trained([[0.1] * 10] * 3)
    fewer = replace(
        pairs[1],
        values={q: v for q, v in pairs[1].values.items() if q != "q0000"},
        baseline={q: v for q, v in pairs[1].baseline.items() if q != "q0000"},
    )
    with pytest.raises(ValueError, match=r"tuned, ndcg@10: seed 1 has other queries than seed 0"):
        one([pairs[0], fewer, pairs[2]])
    with pytest.raises(ValueError, match="not a finite number"):
        one([*pairs[:2], replace(pairs[2], values={**pairs[2].values, "q0000": math.nan})])


# ---- simulated worlds: how often a claim about the recipe holds

WORLDS = 400
NOISE = 3 * math.sqrt(0.05 * 0.95 / WORLDS)


@pytest.mark.parametrize("of_seeds", [0.0, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("n_seeds", [3, 5])
def test_intervals_hold_the_recipes_gain_as_often_as_they_say(n_seeds: int, of_seeds: float) -> None:
    """The standard error by queries alone is 0.026: seeds vary by nothing, by less, as much, and by far more."""
    rng = np.random.default_rng(round(1000 * of_seeds) + n_seeds)
    held = 0
    for _ in range(WORLDS):
        claim = one(trained(world(rng, 0.1, of_seeds=of_seeds, n_seeds=n_seeds)))
        assert claim.low is not None
        assert claim.high is not None
        held += claim.low <= 0.1 <= claim.high
    assert held / WORLDS >= 0.95 - NOISE
    assert held / WORLDS <= 0.995


@pytest.mark.parametrize("of_seeds", [0.0, 0.03, 0.1])
def test_the_same_recipe_with_another_seed_is_no_gain(of_seeds: float) -> None:
    """The recipe gains nothing, its seeds vary; what is called a gain of a checkpoint may not be one of the recipe."""
    rng = np.random.default_rng(round(1000 * of_seeds))
    alarms = 0
    for _ in range(WORLDS):
        claim = one(trained(world(rng, 0.0, of_seeds=of_seeds), margin=0.0))
        alarms += claim.verdict in ("improved", "regressed")
    assert alarms / WORLDS <= 0.05 + NOISE


@pytest.mark.parametrize("of_seeds", [0.02, 0.05])
def test_nor_is_it_where_seeds_and_questions_go_their_own_ways(of_seeds: float) -> None:
    """What a training does to single questions outweighs what all trainings do to them."""
    rng = np.random.default_rng(round(1000 * of_seeds) + 2)
    alarms = 0
    for _ in range(WORLDS):
        table = world(rng, 0.0, of_seeds=of_seeds, of_groups=0.02, within=0.3, n_groups=200)
        alarms += one(trained(table, margin=0.0)).verdict in ("improved", "regressed")
    assert alarms / WORLDS <= 0.05 + NOISE / 3


@pytest.mark.parametrize("of_seeds", [0.0, 0.02, 0.1])
def test_a_family_of_recipes_raises_a_false_alarm_as_seldom(of_seeds: float) -> None:
    rng = np.random.default_rng(round(1000 * of_seeds) + 1)
    alarms = 0
    for _ in range(WORLDS):
        pairs = [
            pair
            for number in range(4)
            for pair in trained(world(rng, 0.0, of_seeds=of_seeds), system=f"s{number}", margin=0.0)
        ]
        alarms += any(claim.verdict in ("improved", "regressed") for claim in recipe_claims(pairs))
    assert alarms / WORLDS <= 0.05 + NOISE


def test_a_recipe_that_gains_is_found() -> None:
    """Where seeds vary little, asking for the recipe costs little power against asking for the checkpoints."""
    rng = np.random.default_rng(12)
    found = sum(one(trained(world(rng, 0.12, of_seeds=0.01))).verdict == "improved" for _ in range(100))
    assert found >= 90
