"""Failures in comparisons, and arguments that are refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from stats_pairs import UTILITY, assert_same, ends, one, paired

from harness.statistics import stats
from harness.statistics.stats import Paired, compare

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
    assert row.reason == "1 of 60 queries have no value on both sides (limit 0.0 %)"


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
