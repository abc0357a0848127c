"""Read judgements in every common form: BEIR tables, TREC qrels, tables with other headers, JSON Lines.

A line holds a query, a document and an integer grade. Folders of suites and `harness score` both use this module.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.data.formats import read_jsonl, read_lines
from harness.errors import Problem
from harness.values.records import Qrels
from harness.values.repairs import Repairing

COLUMNS = ("query-id", "corpus-id", "score")
QUERY_NAMES = frozenset(["query-id", "queryid", "query", "qid", "q-id", "topic", "topic-id"])
DOCUMENT_NAMES = frozenset(
    ["corpus-id", "corpusid", "doc-id", "docid", "document-id", "doc", "document", "docno", "pid", "passage-id", "did"]
)
SHOWN = 40
GRADE_NAMES = frozenset(["score", "relevance", "rel", "grade", "label", "judgement", "judgment", "relevance-score"])
FORM = "query, document and relevance, split by tabs"


class Judgement(NamedTuple):
    """One line: query, document, grade, and its place (``file:line``)."""

    query_id: str
    doc_id: str
    grade: int
    where: str


class Layout(NamedTuple):
    """The columns of query, document and grade in a line, and its separator; `fields` counts the columns."""

    query: int
    document: int
    grade: int
    fields: int
    comma: bool = False
    quoted: bool = False


def read_judgements(path: Path, problems: list[Problem], repairing: Repairing) -> Iterator[Judgement]:
    """Yield the judgements of a file; report lines that are no judgement or have no integer grade, and go on."""
    if path.name.removesuffix(".gz").endswith((".jsonl", ".json")):
        yield from _of_objects(path, problems, repairing)
        return
    lines = read_lines(path, problems, repairing)
    first = next(lines, None)
    if first is None:
        return
    layout = _layout(first[1])
    if layout is None:
        lines = itertools.chain([first], lines)
    elif layout.comma:
        repairing.note("commas", str(path))
    elif tuple(_normal(name) for name in first[1].split("\t")) != COLUMNS:
        repairing.note("header", f"{path}:{first[0]}", " ".join(first[1].split()))
    for number, line in lines:
        where = f"{path}:{number}"
        if layout is not None and line == first[1]:
            repairing.note("same-header", where)
            continue
        fields = _fields(line, layout, where, problems, repairing)
        if fields is None:
            continue
        query_id, doc_id, text = fields
        grade = _grade(text, where, problems, repairing)
        if not query_id or not doc_id:
            problems.append(Problem(where, f"no {'document' if query_id else 'query'} id", f"write {FORM}"))
        elif grade is not None:
            yield Judgement(query_id, doc_id, grade, where)


def add(item: Judgement, qrels: Qrels, lines: dict[str, str], problems: list[Problem], repairing: Repairing) -> None:
    """Add a judgement to the others. An equal repeat is counted; another grade for the same pair is a problem.

    `lines` maps ``query<tab>document`` to its place.
    """
    grades, pair = qrels.setdefault(item.query_id, {}), f"{item.query_id}\t{item.doc_id}"
    if item.doc_id not in grades:
        grades[item.doc_id] = item.grade
        lines[pair] = item.where
    elif grades[item.doc_id] == item.grade:
        repairing.note("same-judgement", item.where, f"as {lines[pair]}")
    else:
        what = f"query {item.query_id!r} judges document {item.doc_id!r} twice, with the grades "
        what += f"{grades[item.doc_id]} ({lines[pair]}) and {item.grade}"
        problems.append(Problem(item.where, what, "remove one"))


def _normal(name: str) -> str:
    return name.strip().strip('"').lower().replace("_", "-")


def _layout(line: str) -> Layout | None:
    """Return the layout that the header of a table names; None if the line is no header."""
    split_by = [("\t", False)] if "\t" in line else [(",", True), (None, False)]
    for sign, comma in split_by:
        names = [_normal(name) for name in line.split(sign)]
        places = [
            next((place for place, name in enumerate(names) if name in known), None)
            for known in (QUERY_NAMES, DOCUMENT_NAMES, GRADE_NAMES)
        ]
        query, document, grade = places
        if query is not None and document is not None and grade is not None:
            return Layout(query, document, grade, len(names), comma, line.startswith('"'))
    return None


def _fields(
    line: str, layout: Layout | None, where: str, problems: list[Problem], repairing: Repairing
) -> tuple[str, str, str] | None:
    """Return query, document and grade of a line; None, with a problem, if it lacks one."""
    comma = layout is not None and layout.comma
    by_tabs = "\t" in line
    if comma or (layout is not None and layout.quoted and by_tabs):
        fields = next(csv.reader([line], delimiter="," if comma else "\t"))
    else:
        fields = line.split("\t") if by_tabs else line.split()
    fields = [field.strip() for field in fields]
    if not fields[-1] and len(fields) > (len(COLUMNS) if layout is None else layout.fields):
        fields.pop()
    if layout is not None and len(fields) == layout.fields:
        if not comma and not by_tabs:
            repairing.note("spaces", where)
        return fields[layout.query], fields[layout.document], fields[layout.grade]
    if layout is None or layout.fields == len(COLUMNS):
        fields_of_line = _by_count(fields, by_tabs, where, repairing)
        if fields_of_line is not None and not comma:
            return fields_of_line
    wanted = len(COLUMNS) if layout is None else layout.fields
    problems.append(Problem(where, f"{len(fields)} fields instead of {wanted} ({FORM})"))
    return None


def _by_count(fields: Sequence[str], by_tabs: bool, where: str, repairing: Repairing) -> tuple[str, str, str] | None:
    if len(fields) == 3:
        if not by_tabs:
            repairing.note("spaces", where)
        return fields[0], fields[1], fields[2]
    if len(fields) == 4 and re.fullmatch(r"[Qq]?[0-9]+", fields[1]):
        repairing.note("trec-judgement", where)
        return fields[0], fields[2], fields[3]
    return None


def _grade(text: str, where: str, problems: list[Problem], repairing: Repairing) -> int | None:
    """Return a grade as an integer of 0 or more; None, with a problem, if it is no integer."""
    match = re.fullmatch(r'"?([-+]?[0-9]{1,9})(\.0*)?"?', text)
    if match is None:
        long = re.fullmatch(r'"?[-+]?[0-9]{10,}(\.0*)?"?', text)
        what = f"relevance {text[:SHOWN]!r} is {'too large' if long else 'not an integer'}"
        problems.append(Problem(where, what, "use grades such as 0, 1, 2"))
        return None
    if match[2]:
        repairing.note("decimal-grade", where, text)
    grade = int(match[1])
    if grade < 0:
        repairing.note("negative-grade", where, text)
    return max(grade, 0)


def _of_objects(path: Path, problems: list[Problem], repairing: Repairing) -> Iterator[Judgement]:
    """Judgements as JSON Lines: ``{"query-id": ..., "corpus-id": ..., "score": ...}``."""
    for number, row in read_jsonl(path, problems, repairing):
        where = f"{path}:{number}"
        names = {_normal(name): name for name in row}
        texts = []
        for known in (QUERY_NAMES, DOCUMENT_NAMES, GRADE_NAMES):
            name = next((names[key] for key in names if key in known), None)
            value = None if name is None else row[name]
            good = isinstance(value, str | int | float) and not isinstance(value, bool)
            texts.append(value if isinstance(value, str) else json.dumps(value) if good else "")
        query_id, doc_id, text = texts
        if not all(texts):
            hint = 'write {"query-id": "...", "corpus-id": "...", "score": 1}'
            problems.append(Problem(where, "no query, document or relevance", hint))
            continue
        grade = _grade(text, where, problems, repairing)
        if grade is not None:
            yield Judgement(query_id, doc_id, grade, where)
