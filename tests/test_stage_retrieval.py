"""The stages `fuse`, `index` and `retrieve`; a fake embeds by words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from staged import documents, folder, indexes, silent

from harness.data.formats import read_run, write_run
from harness.models.fakes import FakeBiEncoder
from harness.stages.fuse import FuseSpec, fuse, reciprocal_rank_fusion
from harness.stages.retrieve import RUN_FILE, RetrieveSpec, retrieve
from harness.stages.shared import common
from harness.suite.pipeline import Retriever

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mine", "sift", "index", "retrieve"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder())


# fuse


def test_fusion_sums_reciprocal_ranks() -> None:
    first = {"q": [("a", 9.0), ("b", 8.0), ("c", 7.0)]}
    second = {"q": [("c", 0.3), ("a", 0.2), ("d", 0.1)]}
    (found,) = reciprocal_rank_fusion([first, second], k=60, depth=10).values()
    right = [("a", 1 / 61 + 1 / 62), ("c", 1 / 63 + 1 / 61), ("b", 1 / 62), ("d", 1 / 63)]
    assert [doc_id for doc_id, _ in found] == [doc_id for doc_id, _ in right]
    assert [score for _, score in found] == pytest.approx([score for _, score in right])


def test_fusion_breaks_ties_by_id_descending_and_cuts_afterwards() -> None:
    runs = [{"q": [("a", 1.0), ("c", 0.5)]}, {"q": [("b", 1.0), ("d", 0.5)]}]
    assert [doc_id for doc_id, _ in reciprocal_rank_fusion(runs, 60, 10)["q"]] == ["b", "a", "d", "c"]
    assert [doc_id for doc_id, _ in reciprocal_rank_fusion(runs, 60, 1)["q"]] == ["b"]


def test_a_small_k_lets_the_first_rank_win() -> None:
    runs = [{"q": [("top", 1.0), ("mid", 0.9)]}, {"q": [("x", 1.0), ("mid", 0.9)]}]
    assert reciprocal_rank_fusion(runs, 60, 1)["q"][0][0] == "mid"
    assert reciprocal_rank_fusion(runs, 1, 1)["q"][0][0] == "mid"
    deeper = [{"q": [*run["q"][:1], ("y", 0.95), ("z", 0.92), *run["q"][1:]]} for run in runs[:1]] + runs[1:]
    assert reciprocal_rank_fusion(deeper, 60, 3)["q"][0][0] == "mid"
    assert reciprocal_rank_fusion([deeper[0], deeper[0]], 1, 1)["q"][0][0] == "top"


def test_the_stage_fuses_queries_that_only_one_run_has(tmp_path: Path) -> None:
    write_run(folder(tmp_path, "a") / RUN_FILE, {"q1": [("d1", 1.0)]})
    write_run(folder(tmp_path, "b") / RUN_FILE, {"q2": [("d 2", 1.0)]})
    usage = fuse(FuseSpec(depth=5, k=60), {"run0": tmp_path / "a", "run1": tmp_path / "b"}, tmp_path, 0, silent)
    assert read_run(tmp_path / RUN_FILE, escaped=True) == {"q1": [("d1", 1 / 61)], "q2": [("d 2", 1 / 61)]}
    assert usage.units == 2


# index and retrieve


@pytest.mark.parametrize("kind", ["dense", "bm25"])
def test_a_document_is_found_by_its_own_words(kind: str, tmp_path: Path) -> None:
    corpus = documents({"d1": "lime kiln at night", "d2": "ferry mail on ice", "d3": "slate roof"})
    inputs = indexes(tmp_path, corpus)
    common.write_queries(folder(tmp_path, "queries"), {"q1": "mail by ferry", "q2": "roof slate", "q3": "zzyzx"})
    given = {"index": inputs[kind], "queries": tmp_path / "queries"}
    usage = retrieve(RetrieveSpec(kind=kind, depth=2, retriever=Retriever()), given, folder(tmp_path, "out"), 0, silent)
    found = read_run(tmp_path / "out" / RUN_FILE, escaped=True)
    assert [found[query_id][0][0] for query_id in ("q1", "q2")] == ["d2", "d3"]
    assert usage.notes == {"queries": 3, "empty lists": int(kind == "bm25")}
    assert all(len(hits) <= 2 for hits in found.values())
