"""When two systems are the same by how they are made."""

from __future__ import annotations

import pytest

from harness.statistics.alike import answers_only, same_runs
from harness.values.measures import Measure
from harness.values.systems import UNTUNED, System

NDCG, UTILITY = Measure("ndcg", 10), Measure("utility")
AS_IT_IS = System(UNTUNED, 0, "baseline", ())


def candidate(*tunes: str, changes: tuple[str, ...] = ()) -> System:
    return System("x", 0, "candidate", tunes, changes=changes)


@pytest.mark.parametrize(
    "system",
    [
        candidate("generator"),
        candidate(changes=("generator.shots=3", "context=8", "context_order=best-last")),
        candidate("generator", changes=("generator.model=other",)),
    ],
)
def test_what_only_answers_depend_on_has_the_lists_of_the_untuned_pipeline(system: System) -> None:
    assert same_runs(NDCG, system, AS_IT_IS)
    assert answers_only(system)
    assert not same_runs(UTILITY, system, AS_IT_IS)


@pytest.mark.parametrize(
    "system",
    [
        candidate("retriever", "generator"),
        candidate(changes=("reranker.kind=late-interaction",)),
        candidate(changes=("generator.shots=3", "rerank_depth=20")),
        candidate(),
        System("bm25", 0, "baseline", ()),
    ],
)
def test_what_runs_depend_on_has_its_own(system: System) -> None:
    assert not same_runs(NDCG, system, AS_IT_IS)
    assert not answers_only(system)


def test_candidates_with_equal_settings_have_equal_lists_unless_a_training_makes_them() -> None:
    late = ("reranker.kind=late-interaction",)
    assert same_runs(NDCG, candidate(changes=late), candidate("generator", changes=(*late, "context=8")))
    assert not same_runs(NDCG, candidate(changes=late), candidate("retriever", changes=late))
    assert not same_runs(NDCG, candidate("retriever"), candidate("retriever"))
