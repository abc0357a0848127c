"""AutoRAG's corpus and qa tables, as its chunkers and its qa maker write them."""

from __future__ import annotations

import datetime
import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_imports_tables import asked, left_out, notes, read

from harness.data.imports.autorag import Passage, joined
from harness.data.imports.cells import nested_ids

NOW = datetime.datetime(2025, 1, 1)
TEXT = "Pumps move water. They were built in 1698. One is in a museum."


def passage(doc_id: str, contents: str, start: int, path: str = "docs/pump.md", **metadata: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "contents": contents,
        "path": path,
        "start_end_idx": (start, start + len(contents) - 1),
        "metadata": {"last_modified_datetime": NOW, "prev_id": None, "next_id": None, **metadata},
    }


def tables(folder: Path, corpus: list[dict[str, Any]], qa: list[dict[str, Any]], name: str = "qa.parquet") -> Path:
    import pandas

    folder.mkdir(exist_ok=True)
    pandas.DataFrame(corpus).to_parquet(folder / "corpus.parquet")
    pandas.DataFrame(qa).to_parquet(folder / name)
    return folder


def qa(retrieval: Any, generation: Any = ("1698",), qid: str = "1", query: str = "When?") -> dict[str, Any]:
    return {"qid": qid, "query": query, "retrieval_gt": retrieval, "generation_gt": generation}


PARTS = [passage("a", TEXT[:17], 0), passage("b", TEXT[18:42], 18), passage("c", TEXT[35:], 35)]


def test_passages_are_joined_to_their_file_and_judgements_become_spans(tmp_path: Path) -> None:
    imported = read(tables(tmp_path / "d", PARTS, [qa([["b", "c"], ["a"]]), qa([["b"]], qid="2", query="Who?")]))
    (document,) = imported.documents
    assert (document["_id"], document["title"], document["text"]) == (
        "docs/pump.md", "pump.md", TEXT.replace(". They", ".\nThey")
    )  # fmt: skip
    spans = [(one["query_id"], document["text"][one["start"] : one["end"]]) for one in imported.spans]
    assert spans == [(key, PARTS[n]["contents"]) for key, n in (("1", 1), ("1", 2), ("1", 0), ("2", 1))]
    assert imported.qrels == {"test": {"1": {"docs/pump.md": 1}, "2": {"docs/pump.md": 1}}}
    assert [row["answers"] for row in imported.answers] == [["1698"], ["1698"]]


@pytest.mark.parametrize(
    "language", ["file_name: {}\n contents: {}", "파일 제목: {}\n 내용: {}", "ファイル名: {}\n 내용: {}"]
)
def test_the_name_of_the_file_is_taken_from_the_contents(tmp_path: Path, language: str) -> None:
    parts = [{**part, "contents": language.format("pump.md", part["contents"])} for part in PARTS]
    (document,) = read(tables(tmp_path / "d", parts, [qa([["b"]])])).documents
    assert document["text"] == TEXT.replace(". They", ".\nThey")


def test_pages_of_a_file_are_documents(tmp_path: Path) -> None:
    parts = [passage("a", "One.", 0, page=1), passage("b", "Two.", 5, page=1), passage("c", "Three", 0, page=2)]
    imported = read(tables(tmp_path / "d", parts, [qa([["b"]])]))
    titles = {row["_id"]: row["title"] for row in imported.documents}
    assert titles == {"docs/pump.md#1": "pump.md, page 1", "c": "pump.md"}


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([PARTS[0], PARTS[2]], id="a part is missing"),
        pytest.param([PARTS[0], passage("b", "other", 3)], id="parts contradict each other"),
        pytest.param([PARTS[0], {**PARTS[1], "start_end_idx": (0, 0)}], id="the splitter did not find it"),
        pytest.param([{**part, "path": ""} for part in PARTS], id="no file"),
    ],
)
def test_what_cannot_be_joined_stays_passages(tmp_path: Path, parts: list[dict[str, Any]]) -> None:
    imported = read(tables(tmp_path / "d", parts, [qa([[parts[1]["doc_id"]]])]))
    texts = {row["_id"]: row["text"] for row in imported.documents}
    assert texts == {one["doc_id"]: one["contents"] for one in parts}
    assert imported.spans == []
    assert ("are documents: parts of their files are missing" in notes(imported)) == bool(parts[0]["path"])


def test_places_that_are_sums_of_lengths_become_those_of_the_file(tmp_path: Path) -> None:
    one, two = "Pumps move water and were built.", "Long ago they were of wood, not of iron at all."
    three = "they were of wood, not of iron at all. Now one is in a museum."
    parts = [passage("a", one, 0), passage("b", two, len(one)), passage("c", three, len(one) + len(two))]
    imported = read(tables(tmp_path / "d", parts, [qa([["c"]])]))
    assert imported.documents[0]["text"] == f"{one}\n{two} Now one is in a museum."
    (span,) = imported.spans
    assert imported.documents[0]["text"][span["start"] : span["end"]] == three


def test_older_tables_without_places_are_passages(tmp_path: Path) -> None:
    corpus = [{"doc_id": "a", "contents": "One.", "metadata": {"last_modified_datetime": NOW}}]
    imported = read(tables(tmp_path / "d", corpus, [qa([["a"]], "just text")]))
    assert asked(imported) == [("When?", ["just text"], ["One."])]


def test_train_and_test_are_told_from_the_names_of_files(tmp_path: Path) -> None:
    folder = tables(tmp_path / "d", PARTS, [qa([["a"]])], "qa_train.parquet")
    tables(folder, PARTS, [qa([["b"]], qid="9")], "qa_test.parquet")
    assert {split: list(part) for split, part in read(folder).qrels.items()} == {"train": ["1"], "test": ["9"]}
    shutil.move(folder / "qa_test.parquet", folder / "qa.parquet")
    assert len(read(folder / "qa.parquet").documents) == 1


def test_a_question_without_passages_is_unanswerable(tmp_path: Path) -> None:
    imported = read(tables(tmp_path / "d", PARTS, [qa([[]], ["I don't know"]), qa([["a"]], qid="2", query="b?")]))
    assert imported.answers[0] == {"_id": "1", "answers": [], "answerable": False, "source_passages": []}
    assert "questions without retrieval_gt are unanswerable" in notes(imported)


def test_damaged_rows_cost_themselves(tmp_path: Path) -> None:
    corpus = [*PARTS, passage("b", "another", 90), passage("", "x", 0), passage("d", " ", 0)]
    questions = [qa([["a"]]), qa([["a"]], query="Again?"), qa([["a"]], qid="3", query=" ")]
    imported = read(tables(tmp_path / "d", corpus, questions))
    assert [row["_id"] for row in imported.queries] == ["1"]
    assert [line.rpartition(": ")[2].partition(";")[0] for line in left_out(imported)][:3] == [
        "document id 'b' is used twice", "no doc_id", "a passage without contents"
    ]  # fmt: skip
    assert len(left_out(imported)) == 5


@pytest.mark.parametrize(
    "value",
    [
        "a", ["a"], [["a"]], [["a"], []], "['a']", "[['a']]", '[["a"]]', "[array(['a'], dtype=object)]",
        "[array(['a'], dtype='<U1') array(['a'],\n      dtype=object)]", (("a",), ("a",)),
    ],
)  # fmt: skip
def test_ids_are_found_however_they_are_nested_and_written(value: Any) -> None:
    assert nested_ids(value) == ["a"]


def numbered(blanks: list[str]) -> str:
    """A text whose words differ, so that parts are alike only where they overlap."""
    return "".join(f"{blank}word{number}" for number, blank in enumerate(blanks))


@settings(max_examples=150, deadline=None)
@given(
    text=st.lists(st.sampled_from([" ", "\n", ".  ", "\n\n\t"]), min_size=1, max_size=15).map(numbered),
    cuts=st.lists(st.tuples(st.integers(0, 120), st.integers(1, 20)), max_size=8),
)
def test_passages_of_any_text_are_found_again_at_their_places(text: str, cuts: list[tuple[int, int]]) -> None:
    edges = sorted({0, *(start for start, _ in cuts if start < len(text)), len(text)})
    pieces = [(start, text[start:end]) for start, end in itertools.pairwise(edges)]
    pieces += [(start, text[start : start + length]) for start, length in cuts if start < len(text)]
    stripped = [(start + len(piece) - len(piece.lstrip()), piece.strip()) for start, piece in pieces if piece.strip()]
    passages = [Passage(str(n), piece, "f", -1, start, {}, "") for n, (start, piece) in enumerate(stripped)]
    whole = joined(passages)
    if whole is not None:
        assert [whole[0][start:end] for start, end in whole[1]] == [one.text for one in passages]
        assert "".join(whole[0].split()) == "".join(text.split())
    else:
        assert "         " in text.replace("\n", " ").replace("\t", " ")
