"""Tables of scores by query: from the rows of an outcome, and as text that is easy to review in a diff.

A table has a line per query and a column per measure, with nine decimals at most. Scores compared with it are rounded
in the same way (`as_accepted`), so equal scores differ by exactly 0 whichever processor computed them. Rounding moves
an interval by less than 1e-8. This module must not know suites, outcomes or statistics.
"""

from __future__ import annotations

import math
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.data import formats
from harness.errors import ConfigError, Problem
from harness.hashing import digest_of
from harness.results.damage import HINT, conflict
from harness.values.measures import parse
from harness.values.records import Score

DECIMALS = 9
NOT_APPLICABLE, FAILED = "-", "failed"
Key = tuple[str, int]
"""Name and seed of a system."""


class Table(NamedTuple):
    """Scores of one system: measure -> query -> value (None if it failed), over its population; and the groups."""

    values: Mapping[str, Mapping[str, float | None]]
    groups: Mapping[str, str]


Tables = Mapping[Key, Table]


def as_accepted(value: float) -> float:
    """Return a score with the precision of accepted scores."""
    return round(value, DECIMALS) + 0.0


def tables_of(rows: Iterable[Score], split: str) -> dict[Key, Table]:
    """Return the score rows of a split as a table per system, rounded like accepted scores."""
    values: dict[Key, dict[str, dict[str, float | None]]] = {}
    groups: dict[Key, dict[str, str]] = {}
    for row in rows:
        if row.split == split and row.status != "not_applicable":
            key = (row.system, row.seed)
            value = None if row.value is None else as_accepted(row.value)
            values.setdefault(key, {}).setdefault(row.measure, {})[row.query_id] = value
            groups.setdefault(key, {})[row.query_id] = row.group
    return {key: Table(columns, groups[key]) for key, columns in values.items()}


def digest_of_table(table: Table) -> str:
    """Return the digest of a table's content, independent of line ends."""
    return digest_of([{name: dict(column) for name, column in table.values.items()}, dict(table.groups)])


def scores_in(path: Path) -> list[Score]:
    """Read the score rows of an outcome's `scores.parquet`; raise ConfigError if they cannot be read."""
    try:
        rows = formats.read_parquet(path)
        scores = [Score(**{name: row[name] for name in Score._fields if name in row}) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(Problem(str(path), "its scores cannot be read", "run the suite again")) from error
    if not all(math.isfinite(row.value) for row in scores if row.value is not None):
        raise ConfigError(Problem(str(path), "a score is not a finite number", "run the suite again"))
    return scores


def text_of(table: Table) -> str:
    """Return a table as tab-separated text: a line per query, sorted, and a column per measure, as in the suite."""
    names = list(table.values)
    lines = ["\t".join(("query", "group", *names))]
    for query in sorted(table.groups):
        cells = (_cell(table.values[name], query) for name in names)
        lines.append("\t".join((_escaped(query), _escaped(table.groups[query]), *cells)))
    return "\n".join(lines) + "\n"


def _cell(column: Mapping[str, float | None], query: str) -> str:
    if query not in column:
        return NOT_APPLICABLE
    value = column[query]
    return FAILED if value is None else f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def _escaped(text: str) -> str:
    """An id as one field: ``%``, unprintable characters and blanks at the ends are escaped as in a URL."""
    escaped = "".join(urllib.parse.quote(char) if char == "%" or not char.isprintable() else char for char in text)
    return re.sub(r"^ | $", "%20", escaped)


def read_table(path: Path, problems: list[Problem]) -> Table | None:
    """Read a table; return None and append every problem if it is damaged."""
    before = len(problems)
    lines = list(formats.read_lines(path, problems))
    unmerged = conflict(path, lines)
    if unmerged is not None:
        problems.append(unmerged)
        return None
    rows = [(number, line.split("\t")) for number, line in lines]
    header = rows[0][1] if rows else []
    if header[:2] != ["query", "group"] or not _measures(header[2:]):
        if len(problems) == before:
            problems.append(Problem(f"{path}:1", "not a table of accepted scores", HINT))
        return None
    values: dict[str, dict[str, float | None]] = {name: {} for name in header[2:]}
    groups: dict[str, str] = {}
    for number, fields in rows[1:]:
        where = f"{path}:{number}"
        if len(fields) != len(header):
            problems.append(Problem(where, f"{len(fields)} fields instead of {len(header)}", HINT))
            continue
        query, group = map(urllib.parse.unquote, fields[:2])
        if query in groups:
            problems.append(Problem(where, f"query {query!r} occurs twice", HINT))
        groups[query] = group
        for name, text in zip(header[2:], fields[2:], strict=True):
            _put(values[name], query, text, where, problems)
    return Table(values, groups) if len(problems) == before else None


def _measures(names: Sequence[str]) -> bool:
    try:
        return [str(parse(name)) for name in names] == list(names) and len(set(names)) == len(names)
    except ValueError:
        return False


def _put(column: dict[str, float | None], query: str, text: str, where: str, problems: list[Problem]) -> None:
    if text == FAILED:
        column[query] = None
    elif re.fullmatch(r"-?\d+(\.\d+)?", text):
        column[query] = float(text)
    elif text != NOT_APPLICABLE:
        problems.append(Problem(where, f"{text!r} is not a score", HINT))
