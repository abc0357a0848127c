"""Intervals of shares and means: against SciPy, by their laws, and in simulated worlds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.shares import Interval, mean_of, share_of, wilson


def share(counts: list[tuple[int, int]]) -> Interval:
    """The share over groups of (inside, all) questions."""
    questions = [
        (f"q{group}-{number}", f"g{group}") for group, (_, size) in enumerate(counts) for number in range(size)
    ]
    inside = {f"q{group}-{number}" for group, (count, _) in enumerate(counts) for number in range(count)}
    return share_of(inside, [query_id for query_id, _ in questions], dict(questions))


def width(interval: Interval) -> float:
    return interval.high - interval.low


# ---- against SciPy


@pytest.mark.parametrize(("count", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (1, 2), (1, 40), (7, 19), (50, 100)])
def test_one_question_in_each_group_is_wilson_of_scipy(count: int, n: int) -> None:
    expected = scipy.stats.binomtest(count, n).proportion_ci(method="wilson")
    found = share([(int(number < count), 1) for number in range(n)])
    assert (found.value, found.n, found.groups) == (count / n, n, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_that_of_scipy(case: tuple[int, int]) -> None:
    expected = scipy.stats.binomtest(*case).proportion_ci(method="wilson")
    assert wilson(case[0] / case[1], case[1]) == pytest.approx((expected.low, expected.high), abs=1e-12)


# ---- by hand


def test_groups_by_hand() -> None:
    """Four groups of two, all or nothing: as much as four questions tell, less what t of 3 is more than t of 7."""
    found = share([(2, 2), (2, 2), (0, 2), (0, 2)])
    deff = (4 / 3 * 4 / 64) / (0.25 / 7)
    few = scipy.stats.t(7).ppf(0.975) / scipy.stats.t(3).ppf(0.975)
    assert deff == pytest.approx(7 / 3)
    assert (found.low, found.high) == pytest.approx(wilson(0.5, 8 / deff * few**2), abs=1e-12)


def test_questions_of_a_group_that_are_alike_tell_less() -> None:
    alone = share([(1, 1)] * 20 + [(0, 1)] * 20)
    alike = share([(4, 4)] * 5 + [(0, 4)] * 5)
    apart = share([(2, 4)] * 10)
    assert width(alike) > 1.8 * width(alone)
    # Groups that happen to be more alike than chance makes them do not tell more than independent questions.
    assert width(apart) >= width(alone)


def test_a_share_of_nothing_or_all_counts_groups() -> None:
    none, every = share([(0, 7)] * 12), share([(7, 7)] * 12)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(wilson(0, 12)[1])
    assert (every.low, every.high) == pytest.approx((1 - none.high, 1.0))


def test_one_group_says_nothing_of_others() -> None:
    assert share([(3, 10)]) == Interval(0.3, 0.0, 1.0, 10, 1)
    assert share([(10, 10)]).low == pytest.approx(wilson(1, 1)[0])


def test_a_mean_in_another_range_is_the_same_stretched() -> None:
    values = {f"q{number}": number % 5 / 4 for number in range(30)}
    groups = {query_id: query_id[:2] for query_id in values}
    unit = mean_of(values, groups)
    stretched = mean_of({query_id: 2 * value - 1 for query_id, value in values.items()}, groups, -1.0, 1.0)
    assert stretched[:3] == pytest.approx([2 * number - 1 for number in unit[:3]])


def test_equal_values_count_groups_whatever_their_last_bits() -> None:
    groups = {f"q{number}": f"g{number % 5}" for number in range(20)}
    for wobble in (0.0, 1e-16):
        values = {query_id: 0.3 + wobble * (number % 3) for number, query_id in enumerate(groups)}
        assert mean_of(values, groups)[1:3] == pytest.approx(wilson(0.3, 5))


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="no question"):
        share_of([], [], {})
    with pytest.raises(ValueError, match="1 questions have no group, such as 'b'"):
        share_of([], ["a", "b"], {"a": "g"})
    for value in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="1 values are outside 0 to 1, such as that of 'a'"):
            mean_of({"a": value, "b": 0.5}, {"a": "g", "b": "g"})


# ---- laws

COUNTS = st.lists(
    st.integers(1, 6).flatmap(lambda size: st.tuples(st.integers(0, size), st.just(size))), min_size=1, max_size=12
)


@given(COUNTS)
def test_an_interval_holds_its_share_and_stays_in_its_range(counts: list[tuple[int, int]]) -> None:
    found = share(counts)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(sum(count for count, _ in counts) / found.n)
    assert found.low < found.high


@given(COUNTS)
def test_the_rest_has_the_mirrored_interval(counts: list[tuple[int, int]]) -> None:
    found, rest = share(counts), share([(size - count, size) for count, size in counts])
    assert (rest.value, rest.low, rest.high) == pytest.approx((1 - found.value, 1 - found.high, 1 - found.low))


@given(COUNTS)
def test_never_more_is_told_than_by_independent_questions(counts: list[tuple[int, int]]) -> None:
    found = share(counts)
    low, high = wilson(found.value, found.n)
    assert found.low <= low + 1e-9
    assert found.high >= high - 1e-9


# ---- simulated worlds


def coverage(share_of_all: float, correlation: float, n_groups: int, worlds: int) -> tuple[float, float]:
    """How often the interval holds the truth, and Wilson's that takes questions for independent, in beta-binomials."""
    rng = np.random.default_rng(4)
    a, b = (part * (1 - correlation) / correlation for part in (share_of_all, 1 - share_of_all))
    ours = naive = 0
    for _ in range(worlds):
        sizes = rng.poisson(5, n_groups) + 1
        counts = rng.binomial(sizes, rng.beta(a, b, n_groups))
        found = share(list(zip(counts.tolist(), sizes.tolist(), strict=True)))
        low, high = wilson(found.value, found.n)
        ours += found.low <= share_of_all <= found.high
        naive += low <= share_of_all <= high
    return ours / worlds, naive / worlds


@pytest.mark.parametrize(("share_of_all", "correlation", "n_groups"), [(0.5, 0.3, 10), (0.1, 0.2, 30), (0.8, 0.5, 20)])
def test_intervals_hold_the_truth_as_often_as_they_say(share_of_all: float, correlation: float, n_groups: int) -> None:
    ours, naive = coverage(share_of_all, correlation, n_groups, worlds=1000)
    assert 0.925 <= ours <= 0.985
    assert naive < 0.87


def test_intervals_of_means_hold_the_truth() -> None:
    """Values such as recall: most are 1, some are 0, some between."""
    rng, held, worlds = np.random.default_rng(5), 0, 1000
    queries = [f"q{number:03}" for number in range(100)]
    groups = {query_id: f"g{number % 25}" for number, query_id in enumerate(queries)}
    for _ in range(worlds):
        chance = np.tile(rng.beta(4, 1, 25), 4)
        values = rng.binomial(3, chance) / 3
        found = mean_of(dict(zip(queries, values.tolist(), strict=True)), groups)
        held += found.low <= 0.8 <= found.high
    assert 0.925 <= held / worlds <= 0.98
