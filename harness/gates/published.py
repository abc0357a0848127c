"""Read scores by query that others published: of trec_eval, ir_measures or pytrec_eval, in tables, and our own.

Only scores by a measure of the harness are taken, because its range and its direction must be known; other names are
kept, to be told. Nobody can see here how a score was computed. This module must not know suites, runs or outcomes.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.data import formats
from harness.errors import DataError, Problem, few_of_each
from harness.values.measures import Measure, parse
from harness.values.records import ScoreTable

ALIASES = {"p": "precision", "r": "recall", "rr": "mrr", "ap": "map", "success": "hit_rate", "hit": "hit_rate"}
"""Names of measures in trec_eval and ir_measures, where the harness has another name for the same."""
QUERY_NAMES = frozenset(["query", "query-id", "queryid", "qid", "q-id", "topic", "topic-id", "id", "task"])
"""Heads of the first column of a table; scores by task can be compared like scores by query."""
WHOLE = frozenset(["all", "amean", "mean"])
"""What stands in the place of a query where a mean is written."""
ABSENT, FAILED = frozenset(["", "-"]), frozenset(["failed", "nan", "none", "null"])
NO_SCORES = "no table of scores by query, and a run file needs judgements"
AS_PUBLISHED = "Scores are as published: nobody can see here whether all files were scored in the same way."


class ScoreFile(NamedTuple):
    """Scores by query; `unknown` are the measures that the harness does not have, which are left out.

    `grouped`: the file says which queries belong together. Without, every query is its own group.
    """

    table: ScoreTable
    unknown: tuple[str, ...] = ()
    grouped: bool = False


class _Row(NamedTuple):
    """One score as written."""

    where: str
    query: str
    measure: str
    value: Any


class _Rows(NamedTuple):
    rows: list[_Row]
    groups: dict[str, str]


def read_score_file(path: Path) -> ScoreFile:
    """Read a file of scores by query, plain or gzip.

    Read are the output of ``trec_eval -q`` and of ir_measures, a table (CSV or TSV) with a column of queries, perhaps
    one of groups, and one for each measure, JSON as of pytrec_eval, and that of ``harness score --json``. Raises
    DataError for a file of another kind, and with file and line for values that are no score of their measure.
    """
    problems: list[Problem] = []
    lines = list(formats.read_lines(path, problems))
    if problems:
        raise DataError(few_of_each(problems))
    found = _of_json(path, lines) or _of_table(path, lines, problems) or _of_triples(path, lines)
    if found is None:
        raise DataError(Problem(str(path), NO_SCORES, "add --qrels FILE"))
    values, unknown = _values(found.rows, problems)
    if problems:
        raise DataError(few_of_each(problems))
    if not values:
        what = f"none of its measures is one of the harness: {', '.join(unknown) or 'it has none'}"
        raise DataError(Problem(str(path), what, "see 'harness list' for those that are"))
    queries = dict.fromkeys(query for column in values.values() for query in column)
    groups = {query: found.groups.get(query, query) for query in queries}
    return ScoreFile(ScoreTable(values, groups), tuple(unknown), bool(found.groups))


def measure_named(text: str) -> Measure | None:
    """Return the measure that a name of trec_eval, ir_measures or the harness stands for; None if there is none."""
    name = text.strip().lower()
    match = re.fullmatch(r"([a-z_]+?)(?:_cut)?[@_.]([1-9][0-9]*)", name)
    try:
        return parse(f"{ALIASES.get(match[1], match[1])}@{match[2]}" if match else name)
    except ValueError:
        return None


def unknown_in_words(files: Mapping[str, ScoreFile]) -> list[str]:
    """Return which measures of each file were left out, as the harness does not have them."""
    return [
        f"{label}: left out, because the harness has no such measure: {', '.join(file.unknown)}."
        for label, file in files.items()
        if file.unknown
    ]


# ---- forms


def _of_json(path: Path, lines: Sequence[tuple[int, str]]) -> _Rows | None:
    """Objects within an object: by query and measure, by measure and query, or in the key ``per_query``."""
    if not lines or not lines[0][1].lstrip().startswith("{"):
        return None
    try:
        value = json.loads("\n".join(line for _, line in lines))
    except (ValueError, RecursionError):
        return None
    nested = value.get("per_query", value)
    if not isinstance(nested, dict) or not nested or not all(isinstance(inner, dict) for inner in nested.values()):
        return None
    by_measure = all(measure_named(name) for name in nested)
    rows = [
        _Row(str(path), *((inner, outer) if by_measure else (outer, inner)), value)
        for outer, of_outer in nested.items()
        for inner, value in of_outer.items()
    ]
    return _Rows(rows, {})


def _of_table(path: Path, lines: Sequence[tuple[int, str]], problems: list[Problem]) -> _Rows | None:
    """Lines of cells under a header whose first column holds queries."""
    header = lines[0][1] if lines else ""
    delimiter = next((sign for sign in "\t,;" if sign in header), "")
    names = _cells(header, delimiter) if delimiter else []
    if not names or names[0].lower().replace("_", "-") not in QUERY_NAMES:
        return None
    at = next((number for number, name in enumerate(names) if name.lower() == "group"), None)
    columns = [number for number in range(1, len(names)) if number != at]
    rows, groups = list[_Row](), dict[str, str]()
    for number, line in lines[1:]:
        where, cells = f"{path}:{number}", _cells(line, delimiter)
        if len(cells) != len(names):
            problems.append(Problem(where, f"{len(cells)} cells instead of {len(names)}", "write one line a query"))
            continue
        if at is not None:
            groups[cells[0]] = cells[at]
        rows += [_Row(where, cells[0], names[column], cells[column]) for column in columns]
    return _Rows(rows, groups)


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _of_triples(path: Path, lines: Sequence[tuple[int, str]]) -> _Rows | None:
    """Lines of measure, query and value, or of query, measure and value."""
    fields = [(number, line.split()) for number, line in lines]
    if not fields or any(len(parts) != 3 for _, parts in fields):
        return None
    known = [sum(measure_named(parts[place]) is not None for _, parts in fields) for place in (0, 1)]
    if not any(known):
        return None
    first, second = (0, 1) if known[0] >= known[1] else (1, 0)
    return _Rows([_Row(f"{path}:{number}", row[second], row[first], row[2]) for number, row in fields], {})


# ---- values


def _values(
    rows: Sequence[_Row], problems: list[Problem]
) -> tuple[dict[str, dict[str, float | None]], dict[str, None]]:
    """Scores by measure and query, and the names of measures that the harness does not have; means are left out."""
    values: dict[str, dict[str, float | None]] = {}
    unknown: dict[str, None] = {}
    for row in rows:
        if row.query in WHOLE:
            continue
        measure = measure_named(row.measure)
        if measure is None:
            unknown[row.measure] = None
            continue
        column = values.setdefault(str(measure), {})
        for value in _value(row, measure, problems):
            if row.query in column and column[row.query] != value:
                problems.append(Problem(row.where, f"query {row.query!r} has two scores of {measure}", "remove one"))
            column[row.query] = value
    return {name: column for name, column in values.items() if column}, unknown


def _value(row: _Row, measure: Measure, problems: list[Problem]) -> Iterator[float | None]:
    """Yield the score of a row, None for a failure; nothing where the measure does not apply, or for no score."""
    text = "null" if row.value is None else str(row.value).strip()
    if text in ABSENT:
        return
    if text.lower() in FAILED:
        yield None
        return
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    low, high = measure.kind.low, measure.kind.high
    if not low <= value <= high:
        hint = "divide percentages by 100" if value > high else "give the scores of this measure"
        problems.append(Problem(row.where, f"{text!r} is no {measure}, which is {low:g} to {high:g}", hint))
        return
    yield value
