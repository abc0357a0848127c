"""Lines of JSON with an id and texts, as people and tools write them: whole numbers, other names of fields, NaN.

What has one reading is read and counted; what has two, or none, is a problem with its line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.formats import read_jsonl
from harness.errors import Problem
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


class Row(NamedTuple):
    """An object with its id as text, and where it stands (``file:line``)."""

    key: str
    fields: dict[str, Any]
    where: str


def read_objects(path: Path, problems: list[Problem], repairing: Repairing) -> Iterator[Row]:
    """Yield the objects of a JSON Lines file that have an id."""
    for number, fields in read_jsonl(path, problems, repairing):
        where = f"{path}:{number}"
        key = _id_of(fields, where, problems, repairing)
        if key is not None:
            yield Row(key, fields, where)


def _id_of(fields: Mapping[str, Any], where: str, problems: list[Problem], repairing: Repairing) -> str | None:
    """The id as text; None, and a problem, if there is none or if there are two."""
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
        key = value
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
    """What a value is, for a sentence."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return "an empty text"
    return "a list" if isinstance(value, list) else "an object"


def text_of(row: Row, kind: str, problems: list[Problem], repairing: Repairing) -> str:
    """The text of a document or a query, under whatever name it has; empty if there is none."""
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


def field_of(row: Row, name: str, problems: list[Problem], repairing: Repairing) -> str:
    """A field as text; empty if it is missing, null or NaN."""
    value = row.fields.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float) and math.isnan(value):
        repairing.note("not-a-number", row.where, f"{name!r}")
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        repairing.note("number-text", row.where, f"{name!r} is {value!r}")
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        if value:
            repairing.note("text-list", row.where, f"{name!r}")
        return " ".join(value)
    problems.append(Problem(row.where, f"{name!r} is {_said(value)}", f'write "{name}": "..."'))
    return ""


def typed(row: Row, field: str, kind: type[list[Any]] | type[dict[str, Any]], problems: list[Problem]) -> Any:
    """The value of a field that may be left out; one of another type is a problem."""
    value = row.fields.get(field)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return kind()
    if not isinstance(value, kind):
        what, form = ("list", '["..."]') if kind is list else ("object", '{"...": ...}')
        problems.append(Problem(row.where, f"{field!r} is no {what}", f'write "{field}": {form}'))
        return kind()
    return value
