"""Quantiles of times are nearest ranks, without the rounding that once made p95 of 100 the 96th."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.probe import quantile, quantile_range

SHARES = (Fraction(1, 2), Fraction(19, 20), Fraction(99, 100))


@pytest.mark.parametrize(("count", "share", "rank"), [(100, 0.95, 95), (30, 0.5, 15), (20, 0.95, 19), (1, 0.95, 1)])
def test_the_nearest_rank(count: int, share: float, rank: int) -> None:
    assert quantile(list(range(count, 0, -1)), share) == rank


@pytest.mark.parametrize("share", SHARES)
def test_every_count_has_the_rank_of_exact_arithmetic(share: Fraction) -> None:
    for count in range(1, 1001):
        assert quantile(range(1, count + 1), float(share)) == ceil(share * count), count


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from(SHARES))
def test_it_is_one_of_the_times_and_bounds_its_share(times: list[float], share: Fraction) -> None:
    found = quantile(times, float(share))
    assert found in times
    assert sum(time <= found for time in times) >= share * len(times)
    assert sum(time < found for time in times) < share * len(times)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from(SHARES))
def test_a_range_holds_its_quantile(times: list[float], share: Fraction) -> None:
    found = quantile_range(times, float(share))
    assert found is None or found[0] <= quantile(times, float(share)) <= (found[1] or max(times))


def test_a_range_holds_the_true_quantile_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    true = float(np.exp(1.6448536269514722))
    held = 0
    for _ in range(1000):
        found = quantile_range(list(rng.lognormal(0, 1, 100)), 0.95)
        assert found is not None
        held += found[0] <= true <= (found[1] or 0)
    assert held / 1000 >= 0.9 - 2 * (0.9 * 0.1 / 1000) ** 0.5


def test_few_times_have_no_range_of_a_high_quantile() -> None:
    assert quantile_range(list(range(2)), 0.95) == (0, None)
    assert quantile_range(list(range(58)), 0.95) == (51, None)
    assert quantile_range(list(range(59)), 0.95) == (52, 58)
