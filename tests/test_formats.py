"""What is written is read again without loss, and a file that cannot be read is named with its line."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.data import formats
from harness.errors import DataError, Problem
from harness.files import write_atomically
from harness.values.records import Run

IDS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" %\t\n\r\u2003\x85\ufeff"), min_size=1)
SCORES = st.floats(allow_nan=False, allow_infinity=False)
HITS = st.dictionaries(IDS, SCORES, min_size=1, max_size=4).map(lambda hits: list(hits.items()))
RUNS = st.dictionaries(IDS, HITS, max_size=4)
VALUES = st.none() | st.booleans() | st.integers() | SCORES | st.text(st.characters(exclude_categories=["Cs"]))


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Give a path in a folder of its own (hypothesis calls a test many times with one tmp_path)."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / name


@given(RUNS)
@example({"a b": [("50% off", 1.0), ("%20", 0.5)], "\u3000": [("\u2028", -1e-300)]})
def test_a_run_is_read_as_it_was_written(run: Run) -> None:
    with scratch("run.trec") as path:
        formats.write_run(path, run)
        assert formats.read_run(path, escaped=True) == run
        assert list(formats.read_run(path, escaped=True)) == list(run)


def test_a_run_file_has_the_six_columns_of_trec(tmp_path: Path) -> None:
    run: Run = {"q1": [("d 1", 2.5), ("d%2", np.float64(1.0))], "empty": []}
    formats.write_run(tmp_path / "run.trec", run)
    assert (tmp_path / "run.trec").read_text() == "q1 Q0 d%201 1 2.5 harness\nq1 Q0 d%252 2 1.0 harness\n"


def test_a_run_of_another_system_is_not_unescaped(tmp_path: Path) -> None:
    (tmp_path / "run.trec").write_text("q%20 Q0 d%2x 1 0.5 other\n")
    assert formats.read_run(tmp_path / "run.trec") == {"q%20": [("d%2x", 0.5)]}
    assert formats.read_run(tmp_path / "run.trec", escaped=True) == {"q ": [("d%2x", 0.5)]}


def test_every_bad_line_of_a_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    lines = ["q Q0 a 1 1 t", "q Q0 b 2 nan t", "q Q0 c 3 -inf t", "q Q0 d 4 high t", "", "q Q0 a 5 0 t", "q a 1"]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        formats.read_run(path)
    form = "not 'query_id Q0 doc_id rank score tag' with a finite score"
    expected = [Problem(f"{path}:{number}", form) for number in (2, 3, 4, 7)]
    expected.insert(3, Problem(f"{path}:6", "query 'q' lists document 'a' twice"))
    assert list(caught.value.problems) == expected


@given(st.lists(st.dictionaries(st.text("ab\u2028é"), VALUES | st.lists(VALUES, max_size=2), max_size=3), max_size=4))
def test_json_lines_are_read_as_they_were_written(rows: list[dict[str, Any]]) -> None:
    with scratch("rows.jsonl") as path:
        formats.write_jsonl(path, rows)
        assert formats.load_jsonl(path) == rows
        assert [list(row) for row in formats.load_jsonl(path)] == [list(row) for row in rows]


def test_every_bad_line_of_json_is_named_and_the_good_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": }\n[1]\n{"a": "\xff"}\n{"a": "\\ud800"}\n{"a": "\\ud83d\\ude00"}'
    )
    problems: list[Problem] = []
    assert list(formats.read_jsonl(path, problems)) == [(1, {"a": 1}), (7, {"a": "\U0001f600"})]
    places = {problem.where: problem.what for problem in problems}
    assert places == {
        f"{path}:3": "not JSON: Expecting value at column 7",
        f"{path}:4": "not a JSON object",
        f"{path}:5": "not UTF-8 at byte 7",
        f"{path}:6": "half of a surrogate pair (\\ud...)",
    }
    with pytest.raises(DataError, match=r"rows\.jsonl:3: not JSON"):
        formats.load_jsonl(path)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert list(formats.read_lines(tmp_path / "none", problems)) == []
    assert [problem.what for problem in problems] == ["cannot be read (No such file or directory)"]


@pytest.mark.parametrize("header", ["query-id\tsplit\n", "query_id\tsplit\n", "Query-ID\tSplit\n"])
def test_the_header_of_a_table_is_passed_over(tmp_path: Path, header: str) -> None:
    (tmp_path / "t.tsv").write_text(header + "q1\ttest\nq2 test\nquery-id\tdev\n")
    problems: list[Problem] = []
    rows = list(formats.read_table(tmp_path / "t.tsv", ("query-id", "split"), problems))
    assert rows == [(2, ("q1", "test")), (4, ("query-id", "dev"))]
    what = "1 fields instead of 2 (query-id, split, split by tabs)"
    assert problems == [Problem(f"{tmp_path / 't.tsv'}:3", what)]


def test_judgements_are_read_as_they_were_written(tmp_path: Path) -> None:
    formats.write_qrels(tmp_path / "test.tsv", {"q1": {"d1": 2, "d 2": 0}, "q2": {"d1": 1}})
    problems: list[Problem] = []
    rows = formats.read_table(tmp_path / "test.tsv", ("query-id", "corpus-id", "score"), problems)
    assert [row for _, row in rows] == [("q1", "d1", "2"), ("q1", "d 2", "0"), ("q2", "d1", "1")]
    assert not problems


COLUMNS = {"name": "string", "count": "int64", "value": "double", "ok": "bool"}
ROWS = st.fixed_dictionaries(
    {
        "name": st.text(st.characters(exclude_categories=["Cs"])),
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "value": st.none() | SCORES,
        "ok": st.booleans(),
    }
)


@settings(max_examples=30)
@given(st.lists(ROWS, max_size=4))
def test_parquet_rows_are_read_as_they_were_written(rows: list[dict[str, Any]]) -> None:
    import pyarrow.parquet as pq

    with scratch("sub/rows.parquet") as path:
        formats.write_parquet(path, rows, COLUMNS)
        assert formats.read_parquet(path) == rows
        assert pq.read_schema(path).names == list(COLUMNS)
        assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.txt"
    write_atomically(path, "old\n")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new" * 10_000 + "\ud800")
    assert path.read_text() == "old\n"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]
    write_atomically(path, "new\n")
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
