"""Documents and a testset about them in one ingest: contexts that are parts of documents become spans of these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import runner
from ingesting import Here, ids, rows, run

from harness.data.datasets import load_dataset
from harness.ingest import update
from harness.suite.sources import DatasetSource

PUMP = "The pump lifts water from the lower basin.\nIts valve opens at four bar and closes at three."
MILL = "The mill grinds rye between two stones.\n\nThe upper stone turns, the lower stone rests on oak beams."
LOST = "A paragraph that none of these documents holds, about the lighthouse."


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "Apart", Here)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    for name, text in (("pump", PUMP), ("mill", MILL)):
        path = tmp_path / "docs" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path.parent


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def ragas(*contexts: list[str]) -> list[dict[str, Any]]:
    return [
        {"user_input": f"Question {n}?", "reference": f"Answer {n}.", "reference_contexts": found}
        for n, found in enumerate(contexts)
    ]


def evidence(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """The judged documents of each question with the text of their spans."""
    texts = {row["_id"]: row["text"] for row in rows(folder)}
    found: dict[str, list[tuple[str, str]]] = {}
    questions = {row["_id"]: row["text"] for row in rows(folder, "queries.jsonl")}
    for row in rows(folder, "spans.jsonl"):
        text = texts[row["doc_id"]][row["start"] : row["end"]]
        found.setdefault(questions[row["query_id"]], []).append((row["doc_id"], text))
    return found


def qrels(folder: Path) -> set[tuple[str, str]]:
    questions = {row["_id"]: row["text"] for row in rows(folder, "queries.jsonl")}
    lines = [line.split("\t") for path in folder.glob("qrels/*.tsv") for line in path.read_text().splitlines()[1:]]
    return {(questions[query], doc) for query, doc, _ in lines}


def test_contexts_of_a_testset_become_spans_of_the_documents_beside_it(docs: Path, tmp_path: Path) -> None:
    loose = "Its valve  opens at four bar\nand closes at three."
    goldens = [{"input": "Golden?", "expected_output": "four", "context": ["The upper stone turns, the lower stone"]}]
    testset = written(tmp_path / "testset.json", ragas(["The pump lifts water from the lower basin."], [loose], [LOST]))
    deepeval = written(tmp_path / "goldens.json", goldens)
    # The testset comes first: what is a context is decided when all documents were seen.
    report = run(testset, docs, deepeval, into=tmp_path / "data")
    assert evidence(tmp_path / "data") == {
        "Question 0?": [("pump.txt", "The pump lifts water from the lower basin.")],
        "Question 1?": [("pump.txt", "Its valve opens at four bar and closes at three.")],
        "Golden?": [("mill.txt", "The upper stone turns, the lower stone")],
    }
    (lost,) = [row["_id"] for row in rows(tmp_path / "data") if row["text"] == LOST]
    assert ids(tmp_path / "data") == ["mill.txt", "pump.txt", lost]
    pairs = {("Question 0?", "pump.txt"), ("Question 1?", "pump.txt"), ("Question 2?", lost), ("Golden?", "mill.txt")}
    assert qrels(tmp_path / "data") == pairs
    assert report.as_json()["contexts"] == {"parts_of_documents": 3, "not_found": 1}
    (missing,) = [line for line in report.remarks if "2 of 3 contexts" in line]
    assert "the others stay documents of their own; check that the documents are those" in missing
    dataset = load_dataset(DatasetSource(path=str(tmp_path / "data")), "test")
    assert sum(map(bool, dataset.splits["test"].spans.values())) == 3
    answers = {row["_id"]: row["source_passages"] for row in rows(tmp_path / "data", "answers.jsonl")}
    assert {name for names in answers.values() for name in names} == {"pump.txt", "mill.txt", lost}


def test_answers_of_squad_keep_their_places_and_paragraphs_that_are_found_leave_their_article(
    docs: Path, tmp_path: Path
) -> None:
    def paragraph(context: str, answer: str) -> dict[str, Any]:
        answers = [{"text": answer, "answer_start": context.index(answer)}]
        return {"context": context, "qas": [{"id": answer, "question": f"{answer}?", "answers": answers}]}

    # Other line ends, as a copy of the document may have.
    paragraphs = [paragraph(MILL.replace("\n\n", " "), "oak beams"), paragraph(LOST, "lighthouse"),
                  paragraph("Its valve opens at four bar and closes at three.", "four bar")]  # fmt: skip
    squad = written(tmp_path / "squad.json", {"data": [{"title": "Machines", "paragraphs": paragraphs}]})
    report = run(docs, squad, into=tmp_path / "data")
    assert evidence(tmp_path / "data") == {
        "oak beams?": [("mill.txt", "oak beams")],
        "lighthouse?": [("Machines", "lighthouse")],
        "four bar?": [("pump.txt", "four bar")],
    }
    assert {row["_id"]: row["text"] for row in rows(tmp_path / "data")}["Machines"] == LOST
    assert qrels(tmp_path / "data") == {
        ("oak beams?", "mill.txt"),
        ("lighthouse?", "Machines"),
        ("four bar?", "pump.txt"),
    }
    assert (report.placed, report.contexts) == (2, 3)


def test_a_document_that_comes_later_takes_the_place_of_its_context(docs: Path, tmp_path: Path) -> None:
    testset = written(tmp_path / "testset.json", ragas(["The pump lifts water from the lower basin."], [LOST]))
    first = run(docs, testset, into=tmp_path / "data")
    assert (first.placed, first.contexts) == (1, 2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()}
    again = run(docs, testset, into=tmp_path / "data")
    assert again.changes["changed"] == again.changes["added"] == again.changes["removed"] == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()}
    assert {name for name in after if after[name] != before[name]} <= {"ingest.json"}
    (docs / "light.txt").write_text(f"Lights.\n{LOST}", encoding="utf-8")
    later = run(docs, testset, into=tmp_path / "data", keep_missing=True)
    assert (later.changes["added"], later.changes["removed"], later.placed) == (1, 1, 2)
    assert ids(tmp_path / "data") == ["light.txt", "mill.txt", "pump.txt"]
    assert evidence(tmp_path / "data")["Question 1?"] == [("light.txt", LOST)]


def test_questions_about_parts_of_one_document_share_a_split(docs: Path, tmp_path: Path) -> None:
    parts = ["The pump lifts water from the lower basin.", "Its valve opens at four bar", "closes at three."]
    testset = written(tmp_path / "testset.json", ragas(*([part] for part in parts), ["two stones.\n\nThe upper stone"]))
    run(docs, testset, into=tmp_path / "data", split=True)
    by_split = {path.stem: path.read_text().count("pump.txt") for path in (tmp_path / "data").glob("qrels/*.tsv")}
    assert sorted(by_split.values())[-1] == 3
    assert sum(by_split.values()) == 3


def test_a_context_may_be_called_like_a_document(docs: Path, tmp_path: Path) -> None:
    row = {
        "id": "pump.txt",
        "question": "What?",
        "context_ids": ["pump.txt"],
        "contexts": [MILL.split("\n")[0]],
        "answer": "rye",
    }
    testset = written(tmp_path / "testset.json", [row])
    run(docs, testset, into=tmp_path / "data")
    assert evidence(tmp_path / "data") == {"What?": [("mill.txt", "The mill grinds rye between two stones.")]}
    assert qrels(tmp_path / "data") == {("What?", "mill.txt")}


def test_a_testset_alone_is_as_it_was(tmp_path: Path) -> None:
    testset = written(tmp_path / "testset.json", ragas(["The pump lifts water from the lower basin."], [LOST]))
    report = run(testset, into=tmp_path / "data")
    assert report.as_json()["contexts"] == {"parts_of_documents": 0, "not_found": 0}
    assert len(ids(tmp_path / "data")) == 2
    assert not any("contexts are" in line for line in report.remarks)


def test_the_command_counts_them(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    testset = written(tmp_path / "testset.json", ragas(["The pump lifts water from the lower basin."], [LOST]))
    code, out, _ = runner(monkeypatch, capsys, columns=80)("ingest", docs, testset, tmp_path / "data")
    assert code == 0
    assert (
        "contexts 1 of 2 are parts of documents, and spans of these now; not found, and documents of their own: 1"
        in " ".join(out.split())
    )
