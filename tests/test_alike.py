"""When two systems are the same by how they are made."""

from __future__ import annotations

from harness.statistics.alike import same_runs
from harness.values.measures import Measure

NDCG, UTILITY = Measure("ndcg", 10), Measure("utility")


def test_a_tuned_generator_has_the_lists_of_the_untuned_pipeline() -> None:
    assert same_runs(NDCG, ("generator",))
    assert not same_runs(UTILITY, ("generator",))
    assert not same_runs(NDCG, ("retriever", "generator"))
    assert not same_runs(NDCG, ())
