"""Trainings of a recipe against trainings: by hand, against SciPy, and the laws of the interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gates.reseeded import NONE_DIFFERS, Retrained, enough, recheck
from harness.values.findings import Comparison
from harness.values.measures import Measure

NDCG = Measure("ndcg", 10)
Rows = Sequence[Sequence[float | None]]


def pair(now: Rows, accepted: Rows, groups: Sequence[str] | None = None, margin: float = 0.02) -> Retrained:
    """Values by seed, one column a query; without `groups` each query stands for itself."""
    queries = [f"q{number:03}" for number in range(len(now[0]))]
    sides = [{seed: dict(zip(queries, row, strict=True)) for seed, row in enumerate(side)} for side in (now, accepted)]
    return Retrained("s", NDCG, margin, *sides, dict(zip(queries, groups or queries, strict=True)))


def one(*args: Any, margin: float = 0.02, groups: Sequence[str] | None = None, **options: Any) -> Comparison:
    (found,) = recheck([pair(*args, margin=margin, groups=groups)], **options)
    return found


def half(row: Comparison) -> float:
    assert row.low is not None
    assert row.high is not None
    return (row.high - row.low) / 2


def test_six_seeds_are_enough_if_there_are_some_on_each_side() -> None:
    assert [enough(*sides) for sides in [(3, 3), (1, 5), (5, 1), (6, 0), (1, 3), (2, 3)]] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(("now", "accepted"), [(3, 3), (5, 1), (2, 6)])
def test_where_only_seeds_differ_it_is_students_test_of_two_samples(now: int, accepted: int) -> None:
    rng = np.random.default_rng(now)
    base, shifts = rng.random(30), rng.normal(0, 0.05, now + accepted)
    sides = [[list(base + shift) for shift in some] for some in (shifts[:now], shifts[now:])]
    row = one(*sides)
    ours, theirs = shifts[:now], shifts[now:]
    if accepted > 1:
        expected = scipy.stats.ttest_ind(ours, theirs)
        interval = expected.confidence_interval(0.95)
        assert (row.low, row.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
        assert row.p_value == pytest.approx(expected.pvalue, abs=1e-6)
    else:
        error = float(np.std(ours, ddof=1)) * math.sqrt(1 / now + 1)
        assert half(row) == pytest.approx(scipy.stats.t(now - 1).ppf(0.975) * error, abs=1e-9)


def test_what_a_change_does_to_some_queries_only_is_in_the_part_of_the_groups() -> None:
    """Seeds that agree wholly: the interval is Student's over the groups."""
    rng = np.random.default_rng(4)
    base, change = rng.random(40), rng.normal(-0.01, 0.1, 40)
    row = one([list(base + change)] * 3, [list(base)] * 3)
    error = scipy.stats.sem(change)
    assert row.difference == pytest.approx(np.mean(change), abs=1e-12)
    assert half(row) == pytest.approx(scipy.stats.t(39).ppf(0.975) * error, rel=1e-9)


def test_queries_of_a_group_count_together() -> None:
    rng = np.random.default_rng(5)
    change, base = np.repeat(rng.normal(0, 0.1, 12), 5), rng.random(60)
    names = [f"g{number // 5}" for number in range(60)]
    sides = [list(base + change)] * 3, [list(base)] * 3
    assert half(one(*sides, groups=names)) > 1.9 * half(one(*sides))
    assert one(*sides, groups=names).n_groups == 12


def test_chance_within_the_seeds_counts_once() -> None:
    """With noise and nothing else it is Student's test of the seeds' means, whatever the groups are."""
    rng = np.random.default_rng(6)
    sides = [[list(rng.normal(0.5, 0.1, 200)) for _ in range(3)] for _ in range(2)]
    row = one(*sides)
    means = [[float(np.mean(values)) for values in side] for side in sides]
    interval = scipy.stats.ttest_ind(*means).confidence_interval(0.95)
    assert half(row) == pytest.approx((interval.high - interval.low) / 2, rel=0.25)
    assert half(row) >= (interval.high - interval.low) / 2 - 1e-12


def test_several_comparisons_widen_each_other() -> None:
    rng = np.random.default_rng(7)
    made = [pair(rng.random((3, 20)).tolist(), rng.random((3, 20)).tolist()) for _ in range(4)]
    alone, together = recheck(made[:1])[0], recheck(made)[0]
    assert half(together) > half(alone)
    assert together.p_value == pytest.approx(min(1.0, 4 * (alone.p_value or 0)), abs=1e-6)
    assert half(together) == pytest.approx(half(recheck(made[:1], alpha=0.05 / 4)[0]), rel=1e-12)


TABLE = st.lists(st.lists(st.integers(0, 4), min_size=8, max_size=8), min_size=6, max_size=6)


@settings(max_examples=80)
@given(TABLE, st.integers(1, 5), st.sampled_from([0.0, 0.02, 0.5]))
def test_interval_p_value_and_verdict_never_contradict(table: list[list[int]], now: int, margin: float) -> None:
    rows = [[value / 4 for value in row] for row in table]
    row = one(rows[:now], rows[now:], margin=margin)
    assert row.low is not None and row.high is not None and row.p_value is not None  # noqa: PT018
    assert row.low <= (row.difference or 0.0) <= row.high
    assert (row.verdict == "improved") == (row.low > 0)
    assert row.verdict != "regressed" or (row.high < 0 and row.low < -margin)
    if abs(row.p_value - 0.05) > 1e-6 and half(row):
        assert (row.p_value < 0.05) == (row.low > 0 or row.high < 0)


@settings(max_examples=40)
@given(TABLE)
def test_swapping_the_sides_turns_the_interval_round(table: list[list[int]]) -> None:
    rows = [[value / 4 for value in row] for row in table]
    there, back = one(rows[:2], rows[2:]), one(rows[2:], rows[:2])
    assert [there.low, there.high] == pytest.approx([-(back.high or 0.0), -(back.low or 0.0)], abs=1e-12)


def test_equal_trainings_do_not_differ() -> None:
    row = one([[0.5] * 10] * 3, [[0.5] * 10] * 3)
    assert (row.difference, row.p_value, row.verdict) == (0.0, 1.0, "inconclusive")
    assert row.high == pytest.approx(scipy.stats.t.ppf(0.975, 9) * 2 / 10)
    assert row.reason == NONE_DIFFERS
    assert one([[0.5] * 400] * 3, [[0.5] * 400] * 3).verdict == "equivalent"
    # Differences that cancel are differences, also those that cancel within a side.
    for now, then in (
        ([[1.0, 0.0] * 20] * 3, [[0.0, 1.0] * 20] * 3),
        ([[1.0, 0.0] * 20, [0.0, 1.0] * 20, [0.5] * 40], [[0.5] * 40] * 3),
    ):
        row = one(now, then)
        assert (row.difference, row.reason) == (0.0, "")


def test_few_groups_give_no_interval() -> None:
    rng = np.random.default_rng(8)
    for groups in (["a"] * 10, [f"g{number % 5}" for number in range(10)]):
        row = one(rng.random((3, 10)).tolist(), rng.random((3, 10)).tolist(), groups=groups)
        assert (row.verdict, row.low, row.p_value) == ("inconclusive", None, None)
        assert row.reason == f"too few groups for an interval: {len(set(groups))}, and it takes 6"


# ---- failures


def test_a_query_that_failed_once_leaves_all_trainings() -> None:
    rng = np.random.default_rng(9)
    now, accepted = rng.random((3, 30)).tolist(), rng.random((3, 30)).tolist()
    now[1][4] = None
    row = one(now, accepted, failure_limit=0.1)
    rest = [[[value for number, value in enumerate(side) if number != 4] for side in rows] for rows in (now, accepted)]
    assert row.difference == pytest.approx(one(*rest).difference, abs=1e-12)
    assert (row.failed, row.n_queries) == (1, 29)


def test_failures_over_the_limit_or_everywhere_fail() -> None:
    rows: list[list[float | None]] = [[0.5] * 9 + [None]] * 3
    assert one(rows, [[0.5] * 10] * 3).verdict == "failed"
    assert one([[None] * 10] * 3, [[0.5] * 10] * 3, failure_limit=1.0).verdict == "failed"


def test_failures_that_could_turn_the_verdict_make_it_inconclusive() -> None:
    rng = np.random.default_rng(10)
    base = rng.random(30) * 0.2 + 0.4
    now = [[*map(float, base - 0.03 + rng.normal(0, 0.001, 30))] for _ in range(3)]
    accepted = [[*map(float, base)]] * 3
    assert one(now, accepted).verdict == "regressed"
    holes: list[list[float | None]] = [
        [None if number < 3 else value for number, value in enumerate(row)] for row in now
    ]
    row = one(holes, accepted, failure_limit=0.2)
    assert row.verdict == "inconclusive"
    assert row.reason.startswith("regressed without the 3 failed, ")
