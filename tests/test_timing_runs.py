"""Samples: one for each speed class that is not known, small however large the data, and none that is paid for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pocket
import pytest

from harness.data.datasets import Dataset, Split
from harness.execution import timing_runs
from harness.execution.scheduler import carry_out
from harness.execution.session import Session
from harness.execution.timing_runs import (
    EXAMPLES,
    PAIRS,
    PASSAGES,
    RERANKED,
    _chosen,
    _publish_queries,
    _sample_of,
    _share,
    _wanted,
    few,
)
from harness.planning.estimates import estimates
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.planning.speed import speed_of, timed_classes
from harness.store import FolderStore
from harness.values.records import Query, Reference

ENDPOINT = {"model": "large", "base_url": "http://localhost:1/v1", "price_in": 100.0, "price_out": 200.0}
CANDIDATES: dict[str, Any] = {
    "mined": {"tune": ["reranker"]},
    "asked": {"tune": ["reranker"], "label": {"by": "llm"}},
    "plain": {"tune": ["retriever"]},
    "taught": {"tune": ["retriever", "generator"], "pairs": "synthetic", "retriever": {"recipe": "distill"}},
    "all": {"tune": ["retriever", "reranker", "generator"]},
}


def planned(dataset: Dataset | None = None, changes: dict[str, Any] | None = None, **candidates: Any) -> Plan:
    value = {"candidates": candidates or CANDIDATES, "data": {"pairs": "judged"}, "baseline_rows": ["untuned"]}
    value |= changes or {}
    return build_plan(pocket.suite(value), dataset or pocket.dataset())


def large(queries: int = 400, relevant: int = 3) -> Dataset:
    """The dataset with many questions to train on, and three relevant documents for each."""
    dataset = pocket.dataset()
    documents = list(dataset.documents)
    names = [f"t{number}" for number in range(queries)]
    qrels = {name: {documents[(number + k) % 60]: 1 for k in range(relevant)} for number, name in enumerate(names)}
    none = {f"n{number}": Reference(f"n{number}", (), False) for number in range(queries)}
    train = Split(
        {name: Query(name, f"what is {name}", name) for name in (*names, *none)},
        {name: {documents[50]: 0, **grades} for name, grades in qrels.items()},
        {**{name: Reference(name, ("lime",)) for name in names}, **none},
    )
    return replace(dataset, splits={**dataset.splits, "train": train})


def stages_and_units(plan: Plan, dataset: Dataset, store: FolderStore) -> list[tuple[str, int]]:
    """What samples would make, with the units that are planned."""
    small = few(dataset, "test")
    sample = build_plan(_sample_of(plan), small)
    chosen = _chosen(sample, small, _publish_queries(sample, store), _wanted(plan, timed_classes(store))[0])
    keys = sample.upstream([key for system in chosen for key in system.goals])
    return [(sample.calls[key].call.stage, sample.calls[key].work.units) for key in keys]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def take_samples(plan: Plan, dataset: Dataset, store: FolderStore, executor: pocket.Pretender) -> dict[str, str]:
    session = Session(plan.suite, store.root.parent, executor=executor)
    return timing_runs.take_samples(session, plan, dataset)


def guessed(plan: Plan, store: FolderStore) -> set[str]:
    """Stages whose speed is a guess in any quote."""
    return {stage for one in estimates(plan, store, None) for stage, how in one.basis.items() if how == "guessed"}


def test_every_class_that_a_quote_rests_on_is_timed_and_each_once(store: FolderStore) -> None:
    plan, executor = planned(), pocket.Pretender()
    wanted = {speed_of(one.call, plan.calls) for one in plan.calls.values() if one.call.stage != "answer"}
    assert take_samples(plan, pocket.dataset(), store, executor) == {}
    assert timed_classes(store) == wanted
    counted = Counter(executor.asked)
    assert (counted["label"], counted["tune_reranker"], counted["rerank"], counted["tune_generator"]) == (3, 1, 1, 1)
    assert counted["tune_retriever"] == 2
    assert guessed(plan, store) == set()


def test_what_is_known_is_not_sampled_again(store: FolderStore) -> None:
    plan, again = planned(), pocket.Pretender()
    take_samples(plan, pocket.dataset(), store, pocket.Pretender())
    assert take_samples(plan, pocket.dataset(), store, again) == {}
    assert again.asked == []
    more = planned(**CANDIDATES, triplet={"tune": ["retriever"], "retriever": {"recipe": "triplet"}})
    take_samples(more, pocket.dataset(), store, again)
    assert "tune_retriever" in again.asked
    assert not {"rerank", "tune_reranker", "tune_generator", "synthesize"} & {*again.asked}


def test_a_run_leaves_nothing_to_sample(store: FolderStore) -> None:
    plan, executor = planned(), pocket.Pretender()
    plan.artifacts.publish(store)
    carry_out(plan, store, pocket.Pretender(), pocket.Pretender())
    take_samples(plan, pocket.dataset(), store, executor)
    assert executor.asked == []


@pytest.mark.parametrize("names", [["mined"], ["asked"], ["plain"], ["taught"], ["all"], list(CANDIDATES)])
def test_samples_are_small_however_large_the_data(names: list[str], store: FolderStore) -> None:
    dataset = large()
    plan = planned(dataset, **{name: CANDIDATES[name] for name in names})
    made = stages_and_units(plan, dataset, store)
    # The untuned index serves the candidates afterwards, and is whole.
    bounds = {
        "label": PAIRS * 2 if "taught" not in names else PAIRS * 8, "mine": PAIRS, "tune_retriever": PAIRS,
        "tune_reranker": PASSAGES, "tune_generator": EXAMPLES, "instruct": EXAMPLES, "synthesize": 32, "sift": 32,
        "index": len(dataset.documents), "convert": 1, "retrieve": PAIRS + 2 * EXAMPLES, "rerank": 22 * 30,
    }  # fmt: skip
    assert {stage for stage, _ in made} <= bounds.keys()
    assert [(stage, units) for stage, units in made if units > bounds[stage]] == []
    assert all(units > 0 for _, units in made)


def test_samples_read_a_few_questions_only(store: FolderStore) -> None:
    dataset, read = large(), []

    def look(stage: str, request: Any) -> None:
        if "train_queries" in request.inputs:
            read.append(len((request.inputs["train_queries"] / "queries.jsonl").read_text().splitlines()))

    take_samples(planned(dataset, plain=CANDIDATES["plain"]), dataset, store, pocket.Pretender(look))
    assert read == [len(few(dataset, "test").splits["train"].queries)]
    assert read[0] <= PAIRS + 2 * EXAMPLES


def test_a_few_questions_hold_all_that_is_learnt_from(store: FolderStore) -> None:
    dataset = large()
    small = few(dataset, "test")
    train, whole = small.splits["train"], dataset.splits["train"]
    assert PAIRS <= sum(sum(grades.values()) for grades in train.qrels.values()) <= PAIRS + EXAMPLES
    assert sum(not one.answerable for one in train.references.values()) == EXAMPLES
    assert sum(bool(one.answers) for key, one in train.references.items() if key in train.qrels) >= EXAMPLES
    assert train.queries.items() <= whole.queries.items()
    assert train.references.keys() == train.queries.keys()
    for query_id, grades in train.qrels.items():
        assert grades.items() <= whole.qrels[query_id].items()
    assert small.digests["train.qrels"] != dataset.digests["train.qrels"]
    assert small.splits["test"] is dataset.splits["test"]


def test_one_question_with_many_documents_is_cut() -> None:
    assert len(few(large(1, 60), "test").splits["train"].qrels["t0"]) == 60
    many = few(large(2, 60), "test").splits["train"].qrels
    assert sorted(map(len, many.values())) == [4, 60]


def test_what_is_small_or_scored_is_not_cut() -> None:
    assert few(pocket.dataset(), "test") is pocket.dataset()
    assert few(large(), "train").splits == large().splits
    without = replace(pocket.dataset(), splits={"test": pocket.dataset().splits["test"]})
    assert few(without, "test") is without


def test_each_candidate_has_a_share_of_its_own() -> None:
    few_negatives, many = {"tune": ["reranker"]}, {"tune": ["reranker"], "mine": {"hard": 5, "random": 2}}
    suite = planned(few=few_negatives, many=many).suite
    shares = {name: _share(suite, one, "reranker") for name, one in suite.candidates.items()}
    assert shares == {"few": PASSAGES / (2 * PAIRS), "many": PASSAGES / (8 * PAIRS)}
    assert _share(suite, suite.candidates["many"], "retriever") == 1.0


def test_a_few_lists_are_reranked(store: FolderStore) -> None:
    plan, given = planned(mined=CANDIDATES["mined"]), []

    def look(stage: str, request: Any) -> None:
        if stage == "rerank":
            given.append(len((request.inputs["queries"] / "queries.jsonl").read_text().splitlines()))

    take_samples(plan, pocket.dataset(), store, pocket.Pretender(look))
    assert given == [RERANKED]


def test_no_endpoint_is_asked_for_a_sample_and_that_is_said(store: FolderStore) -> None:
    served = {"llm": {"labeler": ENDPOINT, "synthesizer": ENDPOINT}}
    asking = {
        "asked": {"tune": ["reranker"], "label": {"by": "llm"}, "mine": {"relabel": {"by": "llm"}}},
        "taught": {"tune": ["retriever"], "pairs": "both", "retriever": {"recipe": "distill", "teacher": "llm"}},
        "told": {"tune": ["generator"], "pairs": "synthetic", "instruct": {"answers": "llm"}},
    }
    plan, asked = planned(None, served, **asking), []

    def look(stage: str, request: Any) -> None:
        asked.append((stage, request.spec.get("endpoint")))

    said = take_samples(plan, pocket.dataset(), store, pocket.Pretender(look))
    assert said == {
        stage: f"{stage}, as it asks an endpoint; its speed is a guess"
        for stage in ("synthesize", "label", "mine", "instruct")
    }
    assert {endpoint for _, endpoint in asked} == {None}
    # What is trained on such data takes as long on other data, and is timed.
    assert {"tune_reranker", "tune_retriever", "tune_generator"} <= {stage for stage, _ in asked}
    # No pairs are written, so there are none to be sifted.
    assert guessed(plan, store) == {"synthesize", "sift", "label", "mine", "instruct"}


def test_without_other_data_what_an_endpoint_would_write_is_not_replaced(store: FolderStore) -> None:
    dataset = replace(pocket.dataset(), splits={n: p for n, p in pocket.dataset().splits.items() if n != "train"})
    written = {"written": {"tune": ["retriever"], "pairs": "synthetic"}}
    plan = planned(dataset, {"llm": {"synthesizer": ENDPOINT}}, **written)
    executor = pocket.Pretender()
    said = take_samples(plan, dataset, store, executor)
    assert executor.asked == []
    assert any("needs judged queries" in why for why in said.values())


def test_what_fails_is_said_and_takes_nothing_else_along(store: FolderStore) -> None:
    plan = planned()
    said = take_samples(plan, pocket.dataset(), store, pocket.Pretender(pocket.failing("tune_generator")))
    assert [why.split(":")[1].strip() for why in said.values()] == ["tune_generator"]
    assert guessed(plan, store) == {"tune_generator"}


def test_without_candidates_nothing_is_sampled(store: FolderStore) -> None:
    suite = pocket.suite().model_copy(update={"candidates": {}})
    executor = pocket.Pretender()
    assert take_samples(build_plan(suite, pocket.dataset()), pocket.dataset(), store, executor) == {}
    assert executor.asked == []
