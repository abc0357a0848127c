"""Tables in files: CSV, TSV, JSON, JSON Lines and Parquet, each as rows with their places."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.folders import SPLITS, split_named
from harness.data.formats import read_bytes, read_jsonl
from harness.data.imports.delimited import decoded, read_delimited
from harness.data.imports.imported import Row, Table
from harness.errors import DataError, Problem, json_fault
from harness.files import most_unpacked
from harness.values.repairs import Repairing

DELIMITED, JSON, LINES, PARQUET = (".csv", ".tsv"), (".json",), (".jsonl", ".ndjson"), (".parquet",)
SUFFIXES = (*DELIMITED, *JSON, *LINES, *PARQUET)
LARGEST = 2 << 30
"""Most bytes of one file."""
MANY, AT_ONCE = 1_000_000, 128
"""Rows that any Parquet file may have, and those that are unpacked at once: all of them may be one large value."""
ROLES = {
    "corpus": "corpus", "documents": "corpus", "docs": "corpus", "passages": "corpus", "collection": "corpus",
    "queries": "queries", "questions": "queries", "topics": "queries", "qrels": "qrels", "judgements": "qrels",
    "judgments": "qrels", "qa": "qa",
}  # fmt: skip
WRAPPERS = ("data", "rows", "samples", "examples", "goldens", "questions", "testset", "records", "items")


def suffix_of(path: Path) -> str:
    """Return the ending of a file that says its format, in lower case; ``.gz`` does not count."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def words_of(name: str) -> list[str]:
    """Return the words of a file name without its endings: ``qa``, ``train`` for ``qa_train.parquet``."""
    return re.findall(r"[a-z]+", name.lower().split(".")[0])


def role_of(name: str) -> str:
    """Return what a file holds by its name; empty if the name does not say."""
    return next((ROLES[word] for word in words_of(name) if word in ROLES), "")


def split_of(name: str) -> str | None:
    """Return the split that a file name holds; None if it names none, or several."""
    splits = {split for word in words_of(name) if (split := split_named(word)) in SPLITS}
    return splits.pop() if len(splits) == 1 else None


def check_size(path: Path) -> None:
    """Raise DataError if a file is too large to be read, or is not there."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(Problem(str(path), f"cannot be read ({error.strerror})", "give a readable file")) from None
    if size > LARGEST:
        raise DataError(Problem(str(path), f"{size:,} bytes, and at most {LARGEST:,} are read", "split the file"))


def read_table(path: Path, stated: Sequence[str], problems: list[Problem], value: Any = None) -> Table:
    """Return the rows of a file, with its role and its split by its name; `value` is that of a JSON file.

    Raises DataError if it cannot be read.
    """
    suffix = suffix_of(path)
    if suffix in DELIMITED:
        table = read_delimited(path, stated, problems)
    elif suffix in PARQUET:
        table = _parquet(path)
    elif suffix in LINES:
        table = _lines(path, problems)
    else:
        table = table_of(str(path), value, problems)
    if not table.rows:
        raise DataError([*problems[-1:], Problem(str(path), "holds no row that can be read", "give a table with rows")])
    return table._replace(name=role_of(path.name), split=split_of(path.name))


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            rows = _unpacked(path, file)
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"not a Parquet file that can be read ({str(error).splitlines()[0][:80]})"
        raise DataError(Problem(str(path), what, "write or download it again")) from None
    return from_rows(str(path), rows)


def _unpacked(path: Path, file: Any) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file, as long as they are not far larger than it; raises DataError if they are.

    A value that is written once may stand in any number of rows, and a run of equal values takes a few bytes.
    """
    size = path.stat().st_size
    most_bytes, most_rows = most_unpacked(size), max(MANY, size)
    taken, rows = 0, 0
    batches = []
    for batch in file.iter_batches(batch_size=AT_ONCE):
        # The values of a categorical column are shared by all batches.
        columns = (one.dictionary_decode() if hasattr(one, "dictionary") else one for one in batch.columns)
        taken, rows = taken + sum(column.nbytes for column in columns), rows + batch.num_rows
        if taken > most_bytes or rows > most_rows:
            what = f"its {size:,} bytes unpack to more than {most_bytes:,} bytes or {most_rows:,} rows"
            raise DataError(Problem(str(path), what, "write its rows as JSON Lines if you trust it"))
        batches.append(batch)
    return [row for batch in batches for row in batch.to_pylist()]


def _lines(path: Path, problems: list[Problem]) -> Table:
    rows = [Row(f"{path}:{number}", row) for number, row in read_jsonl(path, problems, Repairing())]
    return Table(str(path), "", None, columns_of(row.cells for row in rows), rows)


def from_rows(where: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return rows as a table, their places counted from 1."""
    placed = [Row(f"{where}:{number}", row) for number, row in enumerate(rows, start=1)]
    return Table(where, "", None, columns_of(row.cells for row in placed), placed)


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the columns that any row has, in order."""
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def read_json(path: Path, problems: list[Problem]) -> Any:
    """Return the value of a JSON file; JSON Lines are read as a list. Raises DataError if it is neither."""
    faults: list[Problem] = []
    raw = read_bytes(path, faults)
    if faults:
        raise DataError(faults)
    try:
        return json.loads(decoded(raw, path, problems))
    except (ValueError, RecursionError) as error:
        aside: list[Problem] = []
        rows = [row for _, row in read_jsonl(path, aside, Repairing())]
        if rows:
            problems += aside
            return rows
        raise DataError(
            Problem(str(path), f"not JSON: {json_fault(error, 'line')}", "write a list of objects, or JSON Lines")
        ) from None


def table_of(where: str, value: Any, problems: list[Problem]) -> Table:
    """Return a JSON value as a table: a list of objects, also below a key; an object of columns, as pandas writes.

    Raises DataError for any other value.
    """
    if isinstance(value, dict):
        inner = next((value[key] for key in WRAPPERS if isinstance(value.get(key), list)), None)
        value = inner if inner is not None else _of_columns(value)
    if not isinstance(value, list) or not any(isinstance(item, dict) for item in value):
        raise DataError(Problem(where, "no list of objects", 'write [{"question": ..., "answer": ...}, ...]'))
    rows = []
    for number, item in enumerate(value, start=1):
        if isinstance(item, dict):
            rows.append(Row(f"{where}:{number}", item))
        else:
            problems.append(Problem(f"{where}:{number}", "not a JSON object", "write objects only"))
    return Table(where, "", None, columns_of(row.cells for row in rows), rows)


def _of_columns(value: Mapping[str, Any]) -> Any:
    """Return the rows of an object of columns; None if the columns are not equally long lists or objects."""
    columns = list(value.values())
    if columns and all(isinstance(column, dict) for column in columns):
        keys = list(columns[0])
        if all(list(column) == keys for column in columns) and all(key.isdigit() for key in keys):
            return [{name: value[name][key] for name in value} for key in keys]
        return [{"_id": key, **row} for key, row in value.items()]
    if (
        columns
        and all(isinstance(column, list) for column in columns)
        and len({len(column) for column in columns}) == 1
    ):
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    return None
