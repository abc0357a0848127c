"""p95 of 100 times is the 95th: nearest rank, against a plain reading of the definition."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.running.latency import timing
from harness.running.probe import quantile

SHARES = {0.5: Fraction(1, 2), 0.9: Fraction(9, 10), 0.95: Fraction(95, 100), 0.99: Fraction(99, 100)}


@pytest.mark.parametrize(("count", "share", "rank"), [
    (100, 0.95, 95), (100, 0.5, 50), (30, 0.5, 15), (20, 0.95, 19), (1, 0.95, 1), (2, 0.5, 1), (3, 0.5, 2), (7, 1.0, 7),
])  # fmt: skip
def test_quantiles_by_hand(count: int, share: float, rank: int) -> None:
    assert quantile([float(number) for number in range(count, 0, -1)], share) == rank


@pytest.mark.parametrize("share", SHARES)
def test_the_rank_is_that_of_the_definition_for_every_number_of_times(share: float) -> None:
    for count in range(1, 401):
        assert quantile(list(range(1, count + 1)), share) == max(1, ceil(SHARES[share] * count))


@given(times=st.lists(st.floats(0.01, 1e6), min_size=1, max_size=60), share=st.sampled_from(sorted(SHARES)))
def test_it_is_the_least_time_that_so_many_do_not_exceed(times: list[float], share: float) -> None:
    enough = [one for one in times if sum(other <= one for other in times) >= SHARES[share] * len(times)]
    assert quantile(times, share) == min(enough)


def test_a_part_is_told_by_two_of_them() -> None:
    told = timing("dense", [float(number) for number in range(1, 101)])
    assert told is not None
    assert (told.n, told.p50_ms, told.p95_ms) == (100, 50.0, 95.0)
    assert timing("dense", []) is None
