"""Suites with late interaction, end to end on the fixture `pocket`, with models of a few thousand weights."""

from __future__ import annotations

from typing import Any

import pocket
import pytest
import tiny
from test_benchmark import Here
from test_strategies import words

from harness.data.formats import read_run
from harness.experiments import benchmark

CANDIDATES: dict[str, dict[str, Any]] = {
    "reranked": {"tune": [], "pipeline": {"reranker": {"kind": "late-interaction", "blend": False}}},
    "on-the-fly": {
        "tune": [], "pipeline": {"reranker": {"kind": "late-interaction", "blend": False, "precision": None}}
    },
    "blended": {"tune": [], "pipeline": {"reranker": {"kind": "late-interaction"}}},
    "first": {"tune": [], "pipeline": {"retriever": {"kind": "late-interaction", "precision": "int8"}}},
    "tuned": {"tune": ["reranker"]},
    "staged": {"tune": ["retriever", "reranker"]},
    "free": {"tune": ["retriever"], "pipeline": {"reranker": {"kind": "late-interaction"}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def executor() -> Here:
    return Here()


@pytest.fixture(scope="module")
def done(executor: Here, tmp_path_factory: pytest.TempPathFactory) -> benchmark.Finished:
    root = tmp_path_factory.mktemp("late")
    changes: dict[str, Any] = {
        "pipeline": {
            "retriever": {"model": str(tiny.bi_encoder(root / "bi", words())), "max_length": 48},
            "generator": None, "depth": 20, "rerank_depth": 5,
        },
        "data": {"pairs": "judged", "mine": {"hard": 1, "random": 1}},
        "candidates": CANDIDATES,
        "recipes": {
            "retriever": {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "checkpoints": 1},
            "reranker": {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "checkpoints": 2},
        },
        "measures": ["ndcg@10"],
        "gates": [{"measure": "ndcg@10", "margin": 0.02}],
    }  # fmt: skip
    path = root / "suite.yaml"
    path.write_text(pocket.suite_text(changes), encoding="utf-8")
    return benchmark.run(path, tmp_path_factory.mktemp("store"), executor=executor)


def test_nothing_fails_and_every_system_has_a_latency(done: benchmark.Finished) -> None:
    systems = [info for info in done.outcome.systems if info.role == "candidate"]
    assert {info.name for info in systems} == {*CANDIDATES}
    assert [info.failed for info in done.outcome.systems if info.failed] == []
    assert done.failed_share == 0
    assert all(info.serving is not None for info in systems)


def test_trainings_are_shared_and_none_is_made_for_settings(executor: Here) -> None:
    asked = {stage: executor.asked.count(stage) for stage in executor.asked}
    # One retriever for `staged` and `free`; a reranker from the untuned encoder, and one from the tuned.
    assert (asked["tune_retriever"], asked["tune_reranker"]) == (1, 2)
    assert "label" not in asked


def test_reranking_keeps_pools_and_does_not_depend_on_where_vectors_are_kept(done: benchmark.Finished) -> None:
    runs = {name: read_run(done.folder / "runs" / f"{name}.trec") for name in ("untuned", "reranked", "on-the-fly")}
    for query_id, hits in runs["untuned"].items():
        ids = [doc_id for doc_id, _ in hits]
        for name in ("reranked", "on-the-fly"):
            again = [doc_id for doc_id, _ in runs[name][query_id]]
            assert sorted(ids[:5]) == sorted(again[:5])
            assert ids[5:] == again[5:]
    assert runs["untuned"] != runs["reranked"]
    for query_id, hits in runs["reranked"].items():
        assert dict(hits) == pytest.approx(dict(runs["on-the-fly"][query_id]), abs=1e-3)


def test_sizes_of_token_vectors_are_in_the_ledger(done: benchmark.Finished) -> None:
    notes = [row.notes for row in done.outcome.ledger if row.stage == "index" and "token vectors" in row.notes]
    sizes = sorted(note["size_bytes"] / note["token vectors"] for note in notes)
    # Of 32 dimensions: int8 with a scale of four bytes, float16; and a little for what describes them.
    assert 36 <= sizes[0] < 40
    assert 64 <= sizes[-1] < 68


def test_the_start_of_a_reranker_is_evaluated_on_dev(done: benchmark.Finished) -> None:
    notes = [row.notes for row in done.outcome.ledger if row.stage == "tune_reranker"]
    assert all(note["ndcg@10 on dev"].startswith("step 0 ") for note in notes)
