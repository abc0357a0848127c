"""Tables of questions and of documents: CSV in every dialect, JSON, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.imports import NO_COLUMNS, Columns, Imported, Note, read_import
from harness.errors import DataError

QUESTIONS = "question,answer,context\nWhat is it?,A pump,The pump moves water.\n"
slow_folder = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, columns: Columns = NO_COLUMNS) -> Imported:
    imported = read_import(str(path), columns)
    assert imported is not None
    return imported


def left_out(imported: Imported) -> list[str]:
    return [str(problem) for problem in imported.problems if not isinstance(problem, Note)]


def notes(imported: Imported) -> str:
    return "\n".join(str(problem) for problem in imported.problems if isinstance(problem, Note))


def written(tmp_path: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def asked(imported: Imported) -> list[tuple[str, list[str], list[str]]]:
    """Question, answers and contexts of every query."""
    texts = {row["_id"]: row["text"] for row in imported.documents}
    answers = {row["_id"]: row["answers"] for row in imported.answers}
    grades = {key: list(value) for part in imported.qrels.values() for key, value in part.items()}
    return [
        (row["text"], answers.get(row["_id"], []), [texts[doc_id] for doc_id in grades[row["_id"]]])
        for row in imported.queries
    ]


def test_a_table_of_questions_gives_queries_answers_and_judged_contexts(tmp_path: Path) -> None:
    imported = read(written(tmp_path, QUESTIONS))
    assert asked(imported) == [("What is it?", ["A pump"], ["The pump moves water."])]
    assert list(imported.qrels) == ["test"]
    assert "no query is in the splits 'train' and 'dev'" in notes(imported)
    assert imported.answers[0]["source_passages"] == [imported.documents[0]["_id"]]


def test_ids_are_the_same_again_and_do_not_depend_on_the_other_rows(tmp_path: Path) -> None:
    first = read(written(tmp_path, QUESTIONS))
    more = read(written(tmp_path, QUESTIONS.replace("What is it", "Why,Because,Reasons.\nWhat is it")))
    assert {row["_id"] for row in first.queries} < {row["_id"] for row in more.queries}
    assert {row["_id"] for row in first.documents} < {row["_id"] for row in more.documents}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiter_encoding_and_line_ends_are_told_from_the_file(
    tmp_path: Path, delimiter: str, encoding: str, newline: str
) -> None:
    rows = [["id", "question", "answer"]]
    rows += [[str(n), f"Où est l'élève n° {n}, à côté; là?", f"À l'école | là-bas {n}\tici"] for n in range(9)]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=newline).writerows(rows)
    imported = read(written(tmp_path, text.getvalue().encode(encoding)))
    assert [(row["_id"], row["text"]) for row in imported.queries] == [(row[0], row[1]) for row in rows[1:]]
    assert [row["answers"] for row in imported.answers] == [[row[2]] for row in rows[1:]]
    assert left_out(imported) == []


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=40).map(str.strip)
FILLED = CELL.filter(lambda text: bool(text) and text[0] not in "[{")


@slow_folder
@given(rows=st.lists(st.tuples(FILLED, FILLED, FILLED), min_size=1, max_size=8, unique_by=lambda row: row[0]))
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_what_is_written_is_read_in_every_format(tmp_path: Path, suffix: str, rows: list[tuple[str, ...]]) -> None:
    names = ("question", "answer", "context")
    items = [dict(zip(names, row, strict=True)) for row in rows]
    imported = read(in_format(tmp_path / f"table.{suffix}", items))
    assert [(text, answers[0]) for text, answers, _ in asked(imported)] == [row[:2] for row in rows]
    assert [contexts[0].strip() for _, _, contexts in asked(imported)] == [row[2] for row in rows]


def in_format(path: Path, items: list[dict[str, Any]]) -> Path:
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            writer = csv.DictWriter(file, list(items[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(items)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(items), encoding="utf-8")
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(items), path)
    return path


def test_a_damaged_row_costs_itself_and_is_named_with_its_line(tmp_path: Path) -> None:
    text = 'id,question,answer\n1,one,1\n2,"two,2\n3,three,3,3\n4,,4\n5,five\n6,"six\nlines",6\n7,se"ven,7\n'
    imported = read(written(tmp_path, text))
    assert [row["_id"] for row in imported.queries] == ["1", "6", "7"]
    assert [line.partition("table.csv:")[2][:22] for line in left_out(imported)] == [
        "3: a quotation mark is",
        "4: 4 fields instead of",
        "6: 2 fields instead of",
        "5: no question in 'que",
    ]


def test_bytes_that_are_not_utf8_cost_their_row(tmp_path: Path) -> None:
    lines = [f"{n},Où est n° {n}?,là".encode() for n in range(6)]
    lines[2] = lines[2].replace("°".encode(), b"\xb0")
    imported = read(written(tmp_path, b"id,question,answer\n" + b"\n".join(lines)))
    assert len(imported.queries) == 5
    assert left_out(imported)[0].endswith("table.csv:4: characters that are not Unicode; save the file as UTF-8")


def test_columns_can_be_named_and_a_missing_one_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = written(tmp_path, "Nr;Kunde fragt;Wir sagen\n1;Wie geht das?;So\n")
    columns = Columns(question="Kunde fragt", answer="Wir sagen", id="Nr")
    assert asked(read(path, columns)) == [("Wie geht das?", ["So"], [])]
    with pytest.raises(DataError, match="no column 'Kunde fragd'; it has Nr, Kunde fragt, Wir sagen; did you mean"):
        read(path, columns._replace(question="Kunde fragd"))
    with pytest.raises(DataError, match=r"no column of texts or questions .* Nr, Kunde fragt, Wir sagen; name them"):
        read(path)


def test_named_columns_decide_the_delimiter(tmp_path: Path) -> None:
    path = written(tmp_path, "a, b;c, d\nx, y;z, w\n")
    assert asked(read(path, Columns(question="c, d"))) == [("z, w", [], [])]


def test_a_table_of_documents_gives_a_corpus(tmp_path: Path) -> None:
    imported = read(written(tmp_path, "doc_id,title,body,topic\n7,Pumps,They pump.,water\n8,,,\n"))
    document = {"_id": "7", "title": "Pumps", "text": "They pump.", "metadata": {"topic": "water"}}
    assert imported.documents == [document]
    assert (imported.queries, imported.qrels, len(left_out(imported))) == ([], {}, 1)


def test_colliding_ids_keep_the_first_and_name_the_second(tmp_path: Path) -> None:
    rows = "".join(f"{n},Question {n}?,yes\n" for n in range(12))
    imported = read(written(tmp_path, f"id,question,answer\n{rows}3,Another?,no\n3,Question 3?,also\n"))
    assert len(imported.queries) == 12
    assert "table.csv:14: question id '3' is used twice (first in" in left_out(imported)[0]
    assert imported.answers[3]["answers"] == ["yes", "also"]


def test_a_column_that_repeats_its_values_is_no_id(tmp_path: Path) -> None:
    imported = read(written(tmp_path, "id,question\n1,a?\n1,b?\n1,c?\n"))
    assert len(imported.queries) == 3
    assert "the column 'id' repeats its values" in notes(imported)


def test_empty_answers_are_counted_and_not_called_unanswerable(tmp_path: Path) -> None:
    imported = read(written(tmp_path, "question,answer,context\na?,,c\nb?,yes,d\n"))
    assert [row["answers"] for row in imported.answers] == [["yes"]]
    assert len(imported.queries) == 2
    assert "1 of 2 questions have no answer ('answer')" in notes(imported)


def test_unanswerable_questions_keep_what_they_were_written_against(tmp_path: Path) -> None:
    imported = read(written(tmp_path, "question,answer,context,is_impossible\na?,,c,True\nb?,yes,d,False\n"))
    answer = imported.answers[0]
    assert (answer["answerable"], answer["answers"], len(answer["source_passages"])) == (False, [], 1)
    assert imported.qrels["test"][answer["_id"]] == {}


def test_a_huge_field_is_read(tmp_path: Path) -> None:
    text = "x" * 300_000
    assert read(written(tmp_path, f"question,answer,context\na?,b,{text}\n")).documents[0]["text"] == text


def test_given_splits_are_kept(tmp_path: Path) -> None:
    rows = "a?,Train\nb?,validation\nc?,testing\nd?,holdout\n"
    imported = read(written(tmp_path, f"question,split\n{rows}"))
    assert {split: len(part) for split, part in imported.qrels.items()} == {"train": 1, "dev": 1, "test": 2}
    assert "the split 'holdout' is read as 'test'" in notes(imported)


def test_a_folder_of_tables_named_by_split_is_one_dataset(tmp_path: Path) -> None:
    in_format(tmp_path / "train-00000-of-00001.parquet", [{"question": "a?", "answer": "x"}])
    in_format(tmp_path / "validation-00000-of-00001.parquet", [{"question": "b?", "answer": "y"}])
    (tmp_path / "README.md").write_text("# About", encoding="utf-8")
    assert {split: len(part) for split, part in read(tmp_path).qrels.items()} == {"train": 1, "dev": 1}
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    assert read_import(str(tmp_path)) is None


def test_contexts_that_are_parts_of_documents_become_spans(tmp_path: Path) -> None:
    in_format(tmp_path / "corpus.jsonl", [{"_id": "manual", "text": "First.\n\nThe pump  moves\nwater fast. Last."}])
    rows = [{"question": "a?", "context": "The pump moves water"}, {"question": "b?", "context": "Not there."}]
    in_format(tmp_path / "questions.csv", rows)
    imported = read(tmp_path)
    (span,) = imported.spans
    assert imported.documents[0]["text"][span["start"] : span["end"]] == "The pump  moves\nwater"
    assert list(next(iter(imported.qrels["test"].values()))) == ["manual"]
    assert [row["text"] for row in imported.documents[1:]] == ["Not there."]


def test_labelled_pairs_are_judged_by_their_label(tmp_path: Path) -> None:
    rows = [("What pumps?", "A pump does.", 1), ("What pumps?", "Bees hum.", 0)]
    items = [dict(zip(("query", "document", "label"), row, strict=True)) for row in rows]
    imported = read(in_format(tmp_path / "t.jsonl", items))
    assert [list(grades.values()) for grades in imported.qrels["test"].values()] == [[1, 0]]
    items[0]["label"] = 0.5
    imported = read(in_format(tmp_path / "t.jsonl", items))
    assert [list(grades.values()) for grades in imported.qrels["test"].values()] == [[1, 1]]


def test_a_named_column_that_no_table_of_a_folder_has_is_refused(tmp_path: Path) -> None:
    in_format(tmp_path / "train.jsonl", [{"question": "a?"}])
    in_format(tmp_path / "test.jsonl", [{"question": "b?"}])
    with pytest.raises(DataError, match="no column 'frage'; it has question"):
        read(tmp_path, Columns(question="frage"))


def test_a_document_of_another_kind_is_not_read() -> None:
    assert read_import(__file__) is None
    assert read_import("nowhere/at/all.csv") is None
