"""Quantiles of times are nearest ranks, without the rounding that once made p95 of 100 the 96th."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.probe import quantile

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
