"""A suite with candidates that are searched by indexes of other libraries, end to end, and what its report says."""

from __future__ import annotations

from typing import Any

import pocket
import pytest
import tiny
from test_benchmark import Here

from harness.data.formats import read_run
from harness.experiments import benchmark
from harness.planning.plan import build_plan
from harness.report.content.indexes import indexes
from harness.report.view import view

for name in ("faiss", "lancedb", "qdrant_edge"):
    pytest.importorskip(name)
INDEXES: dict[str, dict[str, Any]] = {
    "exact": {"index": {"kind": "faiss", "method": "flat"}},
    "graph": {"index": {"kind": "faiss", "m": 8}},
    "wider": {"index": {"kind": "faiss", "m": 8, "ef_search": 200}},
    "lists": {"index": {"kind": "faiss", "method": "ivf-flat", "lists": 12, "probes": 1}},
    "lance": {"index": {"kind": "lancedb", "method": "flat"}},
    "edge": {"index": {"kind": "qdrant", "method": "flat"}},
    "signs": {"precision": "binary", "index": {"kind": "faiss", "method": "flat"}},
}


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    encoder = tiny.bi_encoder(tmp_path_factory.mktemp("models") / "bi", pocket.words())
    return {
        "pipeline": {"retriever": {"model": str(encoder), "max_length": 48}, "generator": None, "depth": 10},
        "candidates": {name: {"pipeline": {"retriever": rule}} for name, rule in INDEXES.items()},
        "baseline_rows": ["untuned"],
        "measures": ["ndcg@10"],
        "gates": [{"measure": "ndcg@10", "margin": 0.02}],
    }


@pytest.fixture(scope="module")
def done(changes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> benchmark.Finished:
    root = tmp_path_factory.mktemp("run")
    (root / "suite.yaml").write_text(pocket.suite_text(changes), encoding="utf-8")
    return benchmark.run(root / "suite.yaml", root / "store", executor=Here())


def test_vectors_are_encoded_once_and_a_setting_of_search_builds_nothing(changes: dict[str, Any]) -> None:
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    calls = [planned.call for planned in plan.calls.values()]
    assert sum(call.stage == "index" for call in calls) == 2, "float32 and binary"
    assert sum(call.stage == "build_index" for call in calls) == len(INDEXES) - 1
    built = {system.name: system.index_runs.built for system in plan.systems if system.index_runs}
    assert built["graph"] == built["wider"]
    assert built.keys() == INDEXES.keys()


def test_without_an_index_no_key_changes() -> None:
    def keys(changes: dict[str, Any]) -> dict[str, str]:
        plan = build_plan(pocket.suite(changes), pocket.dataset())
        return {planned.label: key for key, planned in plan.calls.items()}

    assert keys({"pipeline.retriever": {"index": None}}) == keys({})
    assert keys({"pipeline.retriever": {"index": {"kind": "faiss"}}}).keys() > keys({}).keys()


def test_a_flat_index_gives_the_runs_of_exact_search(done: benchmark.Finished) -> None:
    names = ("untuned", "exact", "lance", "edge")
    runs = {name: read_run(done.folder / "runs" / f"{name}.trec", escaped=True) for name in names}
    ids = {name: {query: [doc_id for doc_id, _ in hits] for query, hits in run.items()} for name, run in runs.items()}
    assert ids["exact"] == ids["lance"] == ids["edge"] == ids["untuned"]


def test_the_outcome_splits_the_loss(done: benchmark.Finished) -> None:
    assert [info.failed for info in done.outcome.systems if info.failed] == []
    rows = {row.system: row for row in done.outcome.indexes}
    assert rows.keys() == INDEXES.keys()
    assert rows["exact"].recall_10 == rows["exact"].recall_depth == 1.0
    assert rows["exact"].loss == 0.0
    # Signs that are equal tie, and the index does not know the ids that decide.
    assert rows["signs"].recall_10 == pytest.approx(1.0, abs=0.05)
    assert rows["exact"].quantisation == rows["graph"].quantisation == 0.0
    assert rows["signs"].precision == "binary"
    assert rows["signs"].quantisation != 0.0
    assert rows["signs"].stored == pytest.approx(rows["signs"].float32 + rows["signs"].quantisation)
    lists = rows["lists"]
    assert lists.recall_10 is not None
    assert lists.recall_10 < 1.0, "one list of twelve does not hold all neighbours"
    assert lists.short > 0
    assert lists.loss == pytest.approx(lists.indexed - lists.stored)
    for row in rows.values():
        assert row.build_seconds is not None
        assert row.size_bytes
        assert bool(row.memory_bytes) == row.index.startswith("faiss")
        assert row.p50_ms
        assert row.p95_ms
        assert row.reason == ""


def test_the_report_shows_every_index(done: benchmark.Finished) -> None:
    table = indexes(view(done.outcome))
    assert table is not None
    assert [row[0].text for row in table.rows] == list(INDEXES)
    assert "faiss ivf-flat, lists 12, probes 1" in [row[1].text for row in table.rows]
    assert any("fewer passages" in note for note in table.notes)
    page = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "Indexes: what they lose, and what they cost" in page
