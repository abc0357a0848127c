"""Labels: who says how relevant a passage is, and what becomes of those that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage_inputs import silent

from harness.data.formats import load_jsonl, write_jsonl
from harness.models.fakes import FakeBiEncoder
from harness.stages import label as labelling
from harness.stages.index import IndexSpec, index
from harness.stages.label import FAILED_FILE, LABELS_FILE, LabelSpec, by_query, label
from harness.stages.mine import TRIPLETS_FILE
from harness.stages.shared import common
from harness.stages.shared.relevance_models import RelevanceLabel, RelevanceLabels
from harness.suite.pipeline import Retriever
from harness.values.records import Document, Usage

TEXTS = {
    "d1": "lime is burned in a kiln at night",
    "d2": "the ferry carries mail over the ice",
    "d3": "slate roofs are laid from the eaves",
    "d4": "a kiln for bread is no kiln for lime",
    "d5": "night mail",
}
TRIPLETS = [
    {"query": "kiln for lime", "doc_id": "d1", "negatives": ["d4", "d2"]},
    {"query": "kiln for lime", "doc_id": "d4", "negatives": ["d3", "d2"]},
    {"query": "mail on ice", "doc_id": "d2", "negatives": ["d5", "d3"]},
]


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("index", "label"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder())


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def labelled(root: Path, **changes: Any) -> tuple[dict[str, list[Any]], Usage]:
    """Labelled rows by query, and what was counted."""
    corpus = {key: Document(key, "", text) for key, text in TEXTS.items()}
    common.write_corpus(folder(root, "corpus"), corpus)
    inputs = {"corpus": root / "corpus", "triplets": folder(root, "triplets")}
    write_jsonl(root / "triplets" / TRIPLETS_FILE, TRIPLETS)
    given = {
        "by": "mined", "model": None, "use_suggested": False, "passage_tokens": 9, "max_new_tokens": 9,
        "batch_size": 2, "failure_limit": 0.5, **changes,
    }  # fmt: skip
    if given["by"] in ("bm25", "fusion") or given.get("depth"):
        index(IndexSpec(kind="dense", retriever=Retriever()), inputs, folder(root, "dense"), 0, silent)
        index(IndexSpec(kind="bm25"), inputs, folder(root, "bm25"), 0, silent)
        inputs |= {"dense": root / "dense", "bm25": root / "bm25"}
    usage = label(LabelSpec.model_validate({"retriever": Retriever(), **given}), inputs, folder(root, "out"), 0, silent)
    return {query: list(rows) for query, rows in by_query(load_jsonl(root / "out" / LABELS_FILE)).items()}, usage


def test_mined_labels_are_one_for_positives_and_nought_for_negatives(tmp_path: Path) -> None:
    rows, usage = labelled(tmp_path)
    kiln = [(row["doc_id"], row["score"], row["positive"]) for row in rows["kiln for lime"]]
    # d4 is a mined negative of one pair and the positive of another: it is positive.
    assert kiln == [("d1", 1.0, True), ("d4", 1.0, True), ("d2", 0.0, False), ("d3", 0.0, False)]
    assert usage.units == usage.notes["passages labelled"] == 7
    assert "nobody" in usage.notes["labelled by"]


@pytest.mark.parametrize("by", ["bm25", "fusion"])
def test_a_free_teacher_scores_within_its_list_and_knows_the_positives(by: str, tmp_path: Path) -> None:
    rows, _ = labelled(tmp_path, by=by)
    scores = {row["doc_id"]: row["score"] for row in rows["mail on ice"]}
    assert scores["d2"] == 1.0
    assert 0 <= scores["d3"] < scores["d5"] < 1
    assert {row["score"] for row in rows["kiln for lime"] if row["positive"]} == {1.0}


@pytest.mark.parametrize("depth", [2, 3, 5, 50])
def test_lists_are_filled_to_the_depth_as_far_as_the_corpus_goes(depth: int, tmp_path: Path) -> None:
    rows, usage = labelled(tmp_path, by="fusion", depth=depth)
    for found in rows.values():
        ids = [row["doc_id"] for row in found]
        assert len(ids) == len(set(ids)) == min(depth, len(TEXTS))
        assert found[0]["positive"]
        assert not all(row["positive"] for row in found)
    assert usage.units == sum(map(len, rows.values()))


def judged(monkeypatch: pytest.MonkeyPatch, *answers: RelevanceLabel) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []

    def judge(labeler: Any, items: Any, *rest: Any) -> RelevanceLabels:
        asked.extend(items)
        return RelevanceLabels([answers[number % len(answers)] for number in range(len(items))], 70, 30, len(items))

    monkeypatch.setattr(labelling, "label_pairs", judge)
    return asked


def test_what_a_model_says_is_the_label_and_failures_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = judged(
        monkeypatch,
        RelevanceLabel(0.7, "why", "", ""),
        RelevanceLabel(0.2, "", "", ""),
        RelevanceLabel(None, "", "", "no JSON"),
    )
    rows, usage = labelled(tmp_path, by="llm")
    assert len(asked) == 7
    assert usage.notes["labels that failed"] == 2
    assert (usage.llm_calls, usage.prompt_tokens, usage.new_tokens) == (7, 70, 30)
    assert sum(map(len, rows.values())) == 5
    assert {row["score"] for found in rows.values() for row in found} == {0.7, 0.2}
    failed = load_jsonl(tmp_path / "out" / FAILED_FILE)
    assert [row["reason"] for row in failed] == ["no JSON", "no JSON"]


def test_more_failures_than_the_limit_end_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, RelevanceLabel(0.7, "", "", ""), RelevanceLabel(None, "", "", "no JSON"))
    labelled(tmp_path / "some", by="llm", failure_limit=0.5)
    with pytest.raises(ValueError, match=r"3 of 7 labels could not be read, more than failure_limit 40 %.*no JSON"):
        labelled(tmp_path / "more", by="llm", failure_limit=0.4)


def test_a_vague_query_may_be_replaced_by_the_one_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, RelevanceLabel(0.3, "", "how hot is a lime kiln", ""))
    rows, usage = labelled(tmp_path, by="llm", use_suggested=True)
    # The second vague query is not made equal to the first.
    assert list(rows) == ["how hot is a lime kiln", "mail on ice"]
    assert usage.notes["vague queries replaced"] == 1
    judged(monkeypatch, RelevanceLabel(0.9, "", "how hot is a lime kiln", ""))
    assert list(labelled(tmp_path, by="llm", use_suggested=True)[0]) == ["kiln for lime", "mail on ice"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12))
def test_scaled_scores_span_nought_to_one_in_their_order(scores: list[float]) -> None:
    scaled = labelling._scaled(scores)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    if max(scores) - min(scores) > 1e-3:
        assert (scaled.min(), scaled.max()) == (0.0, 1.0)
    order = sorted(range(len(scores)), key=lambda place: scores[place])
    assert [scaled[place] for place in order] == sorted(scaled)
