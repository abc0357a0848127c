"""Ranks of systems, with the places that they may truly have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics.ranks import ranks
from harness.values.measures import parse

NDCG = parse("ndcg@10")


def systems_of(means: list[float], queries: int, spread: float, seed: int) -> dict[str, dict[str, float | None]]:
    generator = np.random.default_rng(seed)
    hard = generator.normal(0, 0.1, queries)
    return {
        f"s{number}": {
            f"q{query}": float(np.clip(mean + hard[query] + generator.normal(0, spread), 0, 1))
            for query in range(queries)
        }
        for number, mean in enumerate(means)
    }


def alone(values: dict[str, dict[str, float | None]]) -> dict[str, str]:
    return {query: query for query in next(iter(values.values()))}


def test_clear_differences_give_clear_ranks() -> None:
    systems = systems_of([0.3, 0.7, 0.5], 200, 0.05, seed=0)
    found = ranks(systems, alone(systems), NDCG)
    assert [(one.name, one.place, one.best, one.worst) for one in found] == [
        ("s1", 1, 1, 1), ("s2", 2, 2, 2), ("s0", 3, 3, 3),
    ]  # fmt: skip


def test_noise_gives_a_top_group_instead_of_a_winner() -> None:
    systems = systems_of([0.5, 0.505, 0.2], 60, 0.2, seed=1)
    found = {one.name: one for one in ranks(systems, alone(systems), NDCG)}
    assert found["s0"].top
    assert found["s1"].top
    assert (found["s2"].best, found["s2"].worst, found["s2"].top) == (3, 3, False)


def test_equal_systems_share_a_place_and_every_rank() -> None:
    values: dict[str, float | None] = {f"q{number}": number / 30 for number in range(30)}
    found = ranks({"a": values, "b": dict(values)}, {query: query for query in values}, NDCG)
    assert [(one.place, one.best, one.worst) for one in found] == [(1, 1, 2), (1, 1, 2)]


def test_less_may_be_better() -> None:
    systems = systems_of([0.1, 0.8], 100, 0.05, seed=2)
    found = ranks(systems, alone(systems), parse("noise_sensitivity"))
    assert [(one.name, one.best, one.worst) for one in found] == [("s0", 1, 1), ("s1", 2, 2)]


def test_one_system_is_first_and_a_failed_query_is_refused() -> None:
    values: dict[str, float | None] = {"q": 0.5}
    assert [(one.place, one.best, one.worst) for one in ranks({"a": values}, {"q": "q"}, NDCG)] == [(1, 1, 1)]
    with pytest.raises(ValueError, match="a has no value for some query"):
        ranks({"a": {"q": None}}, {"q": "q"}, NDCG)
    with pytest.raises(ValueError, match="cannot be ranked"):
        ranks({"a": {}}, {}, NDCG)


@settings(max_examples=25)
@given(st.lists(st.floats(0.1, 0.9), min_size=2, max_size=6), st.integers(0, 2**16))
def test_every_place_lies_in_its_interval(means: list[float], seed: int) -> None:
    systems = systems_of(means, 40, 0.1, seed)
    found = ranks(systems, alone(systems), NDCG, resamples=200)
    assert {one.name for one in found} == systems.keys()
    assert all(1 <= one.best <= one.place <= one.worst <= len(systems) for one in found)
    assert any(one.top for one in found)


def test_rank_intervals_hold_together_as_often_as_they_say() -> None:
    """Three systems of equal truth and two below: the true places (1 to 3 shared, 4, 5) must all be covered."""
    covered = 0
    runs = 120
    for seed in range(runs):
        generator = np.random.default_rng(seed)
        systems: dict[str, dict[str, float | None]] = {
            f"s{number}": {f"q{query}": float(mean + generator.normal(0, 0.2)) for query in range(40)}
            for number, mean in enumerate([0.5, 0.5, 0.5, 0.45, 0.4])
        }
        found = {one.name: one for one in ranks(systems, alone(systems), NDCG, resamples=300)}
        equal = all(found[name].best == 1 for name in ("s0", "s1", "s2"))
        lower = found["s3"].best <= 4 <= found["s3"].worst and found["s4"].worst == 5
        covered += equal and lower
    assert covered / runs >= 0.95
