"""Candidates that change how vectors are stored, how the encoder runs, or what kind of model searches, end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pocket
import pytest
import tiny
from test_benchmark import Here

from harness.data.formats import read_run
from harness.experiments import benchmark
from harness.planning.plan import build_plan

CANDIDATES: dict[str, dict[str, Any]] = {
    "short": {"dimensions": 8},
    "coded": {"precision": "int8"},
    "unscored": {"precision": "int8", "rescore": 0},
    "signs": {"precision": "binary"},
    "light": {"dtype": "int8"},
}


def changes_of(encoder: Path, splade: Path) -> dict[str, Any]:
    rules = {**CANDIDATES, "terms": {"kind": "sparse", "model": str(splade)}}
    return {
        "pipeline": {"retriever": {"model": str(encoder), "max_length": 48}, "generator": None, "depth": 10},
        "candidates": {name: {"pipeline": {"retriever": rule}} for name, rule in rules.items()},
        "baseline_rows": ["bm25", "untuned"],
        "measures": ["ndcg@10"],
        "gates": [{"measure": "ndcg@10", "margin": 0.02}],
    }


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    words = pocket.words()
    root = tmp_path_factory.mktemp("models")
    return changes_of(tiny.bi_encoder(root / "bi", words), tiny.sparse_encoder(root / "splade", words))


@pytest.fixture(scope="module")
def done(changes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> benchmark.Finished:
    root = tmp_path_factory.mktemp("run")
    (root / "suite.yaml").write_text(pocket.suite_text(changes), encoding="utf-8")
    return benchmark.run(root / "suite.yaml", root / "store", executor=Here())


def keys(changes: dict[str, Any]) -> dict[str, str]:
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    return {planned.label: key for key, planned in plan.calls.items()}


def test_what_is_written_with_its_default_changes_no_key() -> None:
    said = {"precision": None, "dimensions": None, "rescore": 4, "dtype": "float32", "kind": "dense"}
    assert keys({"pipeline.retriever": said}) == keys({})
    assert keys({"recipes.retriever": {"matryoshka": []}}) == keys({})
    assert keys({"pipeline.retriever": {"precision": "float16"}}) != keys({})


def test_rescoring_needs_no_other_index(changes: dict[str, Any]) -> None:
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    searched = {system.name: plan.calls[system.run].call for system in plan.systems if system.run}
    indexes = {name: call.inputs["index"] for name, call in searched.items()}
    assert indexes["coded"] == indexes["unscored"]
    assert len(set(indexes.values())) == len(indexes) - 1


def test_every_setting_is_scored_and_served(done: benchmark.Finished) -> None:
    systems = {info.name: info for info in done.outcome.systems}
    assert {*CANDIDATES, "terms", "untuned", "bm25"} <= systems.keys()
    assert [info.failed for info in systems.values() if info.failed] == []
    shapes = {name: info.serving.parts for name, info in systems.items() if info.serving}
    assert len({shapes[name] for name in (*CANDIDATES, "terms", "untuned")}) == len(CANDIDATES) + 2
    untuned = read_run(done.folder / "runs" / "untuned.trec")
    runs = {name: read_run(done.folder / "runs" / f"{name}.trec") for name in (*CANDIDATES, "terms")}
    assert all(run.keys() == untuned.keys() for run in runs.values())
    assert [name for name, run in runs.items() if run == untuned] == []


def test_the_ledger_holds_the_size_of_every_index(done: benchmark.Finished) -> None:
    rows = [row for row in done.outcome.ledger if row.stage == "index"]
    sizes = {row.label: row.notes["size_bytes"] for row in rows}
    assert len(sizes) == 7, "bm25, float32, eight dimensions, int8, binary, an encoder in int8, and terms"
    assert all(size > 0 for size in sizes.values())
    documents = len(pocket.dataset().documents)
    assert sorted(sizes.values())[0] < 32 * documents / 8 + 300
