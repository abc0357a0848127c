"""Damaged and senseless tables: never another exception than a sentence, and what is read can always be written."""

from __future__ import annotations

import datetime
import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_imports_articles import FIRST, SECOND, article, question, squad
from test_imports_autorag import PARTS, qa, tables
from test_imports_tables import in_format
from test_imports_testsets import GOLDENS, goldens

from harness.data.beir import read_folder
from harness.data.imports import Imported, Note, read_import, split_by_document, write_folder
from harness.errors import DataError
from harness.suite.sources import ReadingRule
from harness.values.repairs import Repairing

CELLS = {"question": 'What "is" it?', "answer": "A pump; or\nnot", "context": "It, moves water.", "split": "test"}
ROWS = [{**CELLS, "id": str(n), "question": f"{CELLS['question']} {n}"} for n in range(6)]
SQUAD = squad(
    article("Pump", (FIRST, [question("When?", ("1698", 37))]), (SECOND, [question("Where?", ("museum", 23))]))
)


def _squad(folder: Path) -> Path:
    path = folder / "dev.json"
    path.write_text(SQUAD, encoding="utf-8")
    return path


def _saved(folder: Path) -> Path:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_list(ROWS).save_to_disk(folder / "saved")
    return folder / "saved"


MAKERS: dict[str, Callable[[Path], Path]] = {
    "csv": lambda folder: in_format(folder / "t.csv", ROWS),
    "tsv": lambda folder: in_format(folder / "t.tsv", ROWS),
    "json": lambda folder: in_format(folder / "t.json", ROWS),
    "jsonl": lambda folder: in_format(folder / "t.jsonl", ROWS),
    "parquet": lambda folder: in_format(folder / "t.parquet", ROWS),
    "squad": _squad,
    "goldens": lambda folder: goldens(folder, "csv", GOLDENS),
    "autorag": lambda folder: tables(folder / "d", PARTS, [qa([["b", "c"], ["a"]])]),
    "saved": _saved,
}


def checked(imported: Imported | None, folder: Path) -> None:
    """Check that a dataset folder of it can be read without a fault of form, and that every reference is known."""
    if imported is None:
        return
    documents = {row["_id"]: row for row in imported.documents}
    queries = {row["_id"] for row in imported.queries}
    judged = [key for part in imported.qrels.values() for key in part]
    assert len(documents) == len(imported.documents)
    assert sorted(judged) == sorted(queries)
    for span in imported.spans:
        assert 0 <= span["start"] < span["end"] <= len(documents[span["doc_id"]]["text"])
        assert any(span["doc_id"] in part.get(span["query_id"], {}) for part in imported.qrels.values())
    for problem in imported.problems:
        assert "\n" not in problem.what
        assert isinstance(problem, Note) or problem.where
    assert {key for part in split_by_document(imported).qrels.values() for key in part} == queries
    write_folder(imported, folder)
    faults: list[Any] = []
    read_folder(folder, faults, Repairing(), ReadingRule())
    expected = (" holds no document", " holds no query", "no judgements")
    assert [str(one) for one in faults if not any(text.strip() in str(one) for text in expected)] == []


def damaged(raw: bytes, dice: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(dice.randint(1, 8)):
        if not data:
            break
        place, kind = dice.randrange(len(data)), dice.randrange(7)
        if kind == 0:
            data[place] = dice.randrange(256)
        elif kind == 1:
            del data[place : place + dice.randint(1, 40)]
        elif kind == 2:
            data[place:place] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 9)))
        elif kind == 3:
            data[place:place] = dice.choice([b'"', b"'", b"\n", b"\r", b",", b"\t", b"\\", b"[", b"{", b"\0", b"\xff"])
        elif kind == 4:
            data[place:place] = data[dice.randrange(len(data)) :][: dice.randint(1, 99)]
        elif kind == 5:
            data = data[:place]
        else:
            other = dice.randrange(len(data))
            data[place], data[other] = data[other], data[place]
    return bytes(data)


@pytest.mark.parametrize("form", MAKERS)
def test_damaged_files_are_never_a_traceback(tmp_path: Path, form: str) -> None:
    source = MAKERS[form](tmp_path)
    files = [path for path in ([source] if source.is_file() else sorted(source.rglob("*"))) if path.is_file()]
    whole = {path: path.read_bytes() for path in files}
    dice = random.Random(form)
    read = 0
    for number in range(30 if form == "saved" else 70):
        broken = dice.choice(files) if dice.random() < 0.7 else None
        for path in files:
            path.write_bytes(damaged(whole[path], dice) if path == broken else whole[path])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                imported = read_import(str(source))
        except DataError:
            continue
        read += imported is not None
        checked(imported, tmp_path / "out" / str(number))
    assert read > (5 if form == "saved" else 15)


TEXT = st.text(max_size=12) | st.sampled_from(
    [
        "['a', 'b']",
        "[['a'] ['b']]",
        "[{'role': 'user', 'content': 'x'}]",
        "a|b",
        "|a|",
        "<1-hop>",
        "\ud800",
        "nan",
        "[",
        "null",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "content", "role", "type", "answer_start", "input"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
NAMES = [
    "_id", "id", "qid", "doc_id", "text", "title", "contents", "question", "query", "user_input", "input", "answer",
    "answers", "reference", "ground_truth", "expected_output", "context", "contexts", "reference_contexts",
    "reference_context_ids", "retrieved_contexts", "retrieval_gt", "generation_gt", "start_end_idx", "path",
    "metadata", "turns", "scenario", "split", "is_impossible", "answerable", "query-id", "corpus-id", "score", "",
    "source_file", "paragraphs", "qas", "data",
]  # fmt: skip
TABLE = st.lists(st.dictionaries(st.sampled_from(NAMES), PLAIN, max_size=6), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=TABLE, form=st.sampled_from(["t.json", "t.jsonl", "train.json"]))
def test_senseless_tables_are_never_a_traceback(tmp_path: Path, rows: list[dict[str, Any]], form: str) -> None:
    path = tmp_path / form
    text = json.dumps(rows) if form.endswith("json") else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    try:
        imported = read_import(str(path))
    except DataError:
        return
    checked(imported, tmp_path / "out")


SQUADDISH = st.fixed_dictionaries(
    {},
    optional={
        "title": PLAIN,
        "paragraphs": PLAIN
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "context": PLAIN,
                    "qas": PLAIN
                    | st.lists(
                        st.fixed_dictionaries(
                            {}, optional={"id": PLAIN, "question": PLAIN, "answers": PLAIN, "is_impossible": PLAIN}
                        ),
                        max_size=2,
                    ),
                },
            ),
            max_size=2,
        ),
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(articles=st.lists(SQUADDISH | PLAIN, min_size=1, max_size=3))
def test_senseless_articles_are_never_a_traceback(tmp_path: Path, articles: list[Any]) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    try:
        imported = read_import(str(path))
    except DataError:
        return
    checked(imported, tmp_path / "out")


def test_values_that_only_parquet_has_are_kept_or_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    day = datetime.date(2025, 1, 2)
    table = pa.table({"question": ["a?", "b?"], "day": [day, None], "raw": [b"x", b"y"], "answer": [b"\xff", None]})
    pq.write_table(table, tmp_path / "t.parquet")
    imported = read_import(str(tmp_path / "t.parquet"))
    assert imported is not None
    assert [row["text"] for row in imported.queries] == ["b?"]
    assert "'answer' is a value of type bytes" in str(imported.problems[0])
    checked(imported, tmp_path / "out")
