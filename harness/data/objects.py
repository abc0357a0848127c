"""Read JSON Lines with an id and texts in the forms that tools write: numbers as ids, other field names, NaN.

A line with one possible reading is read and counted; a line with two, or none, is a problem.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.formats import read_jsonl, read_lines
from harness.errors import Problem
from harness.text.decimals import is_finite
from harness.values.repairs import Repairing

ID_FIELDS = (
    "id", "docid", "doc_id", "docno", "document_id", "pid", "passage_id", "corpus-id", "corpus_id", "qid", "query_id",
    "query-id", "queryid",
)  # fmt: skip
TEXT_FIELDS = {
    "document": ("contents", "content", "passage", "body"),
    "query": ("query", "question", "contents", "content"),
}
EXACT = 2.0**53
"""Whole numbers from here on are not exact as floats."""


class RawRow(NamedTuple):
    """An object with its id as text, and its place (``file:line``)."""

    key: str
    fields: dict[str, Any]
    where: str


def read_objects(path: Path, problems: list[Problem], repairing: Repairing) -> Iterator[RawRow]:
    """Yield the objects of a JSON Lines file that have an id, or the lines of a table (`_table`) as objects."""
    packed = path.name.removesuffix(".gz")
    rows = _table if packed.endswith(".tsv") else read_jsonl
    for number, fields in rows(path, problems, repairing):
        where = f"{path}:{number}"
        key = _id_of(fields, where, problems, repairing)
        if key is not None:
            yield RawRow(key, fields, where)


def _table(path: Path, problems: list[Problem], repairing: Repairing) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield lines of ``id<tab>text`` as objects, as in MS MARCO and MIRACL; a header may name other columns."""
    lines = read_lines(path, problems, repairing)
    repairing.note("table", str(path))
    columns = ["_id", "text"]
    for place, (number, line) in enumerate(lines):
        cells = [cell.strip() for cell in line.split("\t")]
        if place == 0 and _is_header(cells):
            columns = cells
        elif len(cells) == len(columns):
            yield number, dict(zip(columns, cells, strict=True))
        else:
            what = f"{len(cells)} fields instead of {len(columns)} ({', '.join(columns)}, split by tabs)"
            problems.append(Problem(f"{path}:{number}", what, "name the columns in a header line"))


def _is_header(cells: Sequence[str]) -> bool:
    """Return whether a line is a header that names an id and a text."""
    texts = {"text", "title", *itertools.chain(*TEXT_FIELDS.values())}
    return bool({"_id", *ID_FIELDS} & set(cells)) and bool(texts & set(cells))


def _id_of(fields: Mapping[str, Any], where: str, problems: list[Problem], repairing: Repairing) -> str | None:
    """Return the id as text; None, with a problem, if there is none or if there are two."""
    name = "_id"
    if fields.get("_id") is None:
        others = [other for other in ID_FIELDS if fields.get(other) is not None]
        if len({str(fields[other]) for other in others}) > 1:
            known = ", ".join(repr(other) for other in others)
            problems.append(Problem(where, f"no '_id', and several other ids ({known})", 'write {"_id": "...", ...}'))
            return None
        if not others:
            names = ", ".join(map(str, list(fields)[:6])) or "nothing"
            what = "'_id' is null" if "_id" in fields else f"no '_id', but {names}"
            problems.append(Problem(where, what, 'write {"_id": "...", ...}'))
            return None
        name = others[0]
    value = fields[name]
    if isinstance(value, str) and value.strip():
        key = value.strip()
        if key != value:
            repairing.note("id-spaces", where, f"{value!r}")
    elif _whole(value):
        key = str(int(value))
        repairing.note("number-id", where, f"{name!r} is {value!r}, read as {json.dumps(key)}")
    else:
        problems.append(Problem(where, f"{name!r} is {_said(value)}", 'write {"_id": "...", ...}'))
        return None
    if name != "_id":
        repairing.note("other-id-field", where, f"{name!r}")
    return key


def _whole(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < EXACT)


def _said(value: Any) -> str:
    """Describe a value in a sentence."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return "an empty text"
    return "a list" if isinstance(value, list) else "an object"


def text_of(row: RawRow, kind: str, problems: list[Problem], repairing: Repairing) -> str:
    """Return the text of a document or a query, whatever its field is called; empty if there is none."""
    name = "text"
    if "text" not in row.fields:
        others = [other for other in TEXT_FIELDS[kind] if row.fields.get(other) is not None]
        if len(others) > 1:
            known = ", ".join(repr(other) for other in others)
            problems.append(Problem(row.where, f"no 'text', and several that could be it ({known})", 'name one "text"'))
            return ""
        if others:
            name = others[0]
            repairing.note("other-text-field", row.where, f"{name!r}")
    return field_of(row, name, problems, repairing)


def field_of(row: RawRow, name: str, problems: list[Problem], repairing: Repairing) -> str:
    """Return a field as text; empty if it is missing, null or NaN."""
    value = row.fields.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float) and math.isnan(value):
        repairing.note("not-a-number", row.where, f"{name!r}")
        return ""
    if is_finite(value) or (isinstance(value, int) and not isinstance(value, bool)):
        repairing.note("number-text", row.where, f"{name!r} is {value!r}")
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        if value:
            repairing.note("text-list", row.where, f"{name!r}")
        return " ".join(value)
    problems.append(Problem(row.where, f"{name!r} is {_said(value)}", f'write "{name}": "..."'))
    return ""


def typed(row: RawRow, field: str, kind: type[list[Any]] | type[dict[str, Any]], problems: list[Problem]) -> Any:
    """Return the value of an optional field; a value of another type is a problem."""
    value = row.fields.get(field)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return kind()
    if not isinstance(value, kind):
        what, form = ("list", '["..."]') if kind is list else ("object", '{"...": ...}')
        problems.append(Problem(row.where, f"{field!r} is no {what}", f'write "{field}": {form}'))
        return kind()
    return value
