"""Tables of scores by query: from the rows of an outcome, and as text that is easy to review in a diff.

A table has one query a line and one measure a column, nine decimals at most. What is compared with it is rounded in the
same way (`as_accepted`): equal scores differ by exactly 0, and the last bits that another processor computes are no
change. That moves a bound of an interval by less than 1e-8, unless a group that differed by less than that no longer
counts as one that differs. This module must not know suites, outcomes or statistics.
"""

from __future__ import annotations

import math
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.data import formats
from harness.errors import ConfigError, Problem
from harness.hashing import digest_of
from harness.results.damage import HINT, conflict
from harness.values.measures import parse
from harness.values.records import Score, ScoreColumn, ScoreTable, SystemKey, table_of

DECIMALS = 9
NOT_APPLICABLE, FAILED = "-", "failed"
Tables = Mapping[SystemKey, ScoreTable]


def as_accepted(value: float) -> float:
    """A score as precisely as it is accepted."""
    return round(value, DECIMALS) + 0.0


def tables_of(rows: Iterable[Score], split: str) -> dict[SystemKey, ScoreTable]:
    """Score rows of a split as a table for each system, rounded as they would be accepted."""
    by_system: dict[SystemKey, list[Score]] = {}
    for row in rows:
        rounded = row if row.value is None else row._replace(value=as_accepted(row.value))
        by_system.setdefault((row.system, row.seed), []).append(rounded)
    tables = {key: table_of(own, split) for key, own in by_system.items()}
    return {key: table for key, table in tables.items() if table.values}


def columns(tables: Tables, measure: str) -> dict[str, dict[int, ScoreColumn]]:
    """Return the values of a measure by system and seed."""
    by_system: dict[str, dict[int, ScoreColumn]] = {}
    for (name, seed), table in tables.items():
        if measure in table.values:
            by_system.setdefault(name, {})[seed] = table.values[measure]
    return by_system


def digest_of_table(table: ScoreTable) -> str:
    """Digest of what a table says, however its lines end."""
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


def text_of(table: ScoreTable) -> str:
    """A table as tab-separated text: one line a query, sorted, and one column a measure in the order of the suite."""
    names = list(table.values)
    lines = ["\t".join(("query", "group", *names))]
    for query in sorted(table.groups):
        cells = (_cell(table.values[name], query) for name in names)
        lines.append("\t".join((_escaped(query), _escaped(table.groups[query]), *cells)))
    return "\n".join(lines) + "\n"


def _cell(column: ScoreColumn, query: str) -> str:
    if query not in column:
        return NOT_APPLICABLE
    value = column[query]
    return FAILED if value is None else f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def _escaped(text: str) -> str:
    """An id as one field: ``%``, unprintable characters and blanks at the ends are escaped as in a URL."""
    escaped = "".join(urllib.parse.quote(char) if char == "%" or not char.isprintable() else char for char in text)
    return re.sub(r"^ | $", "%20", escaped)


def read_table(path: Path, problems: list[Problem]) -> ScoreTable | None:
    """Read a table; None, and every problem, if it is damaged."""
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
    return ScoreTable(values, groups) if len(problems) == before else None


def _measures(names: Sequence[str]) -> bool:
    try:
        return [str(parse(name)) for name in names] == list(names) and len(set(names)) == len(names)
    except ValueError:
        return False


def _put(column: dict[str, float | None], query: str, text: str, where: str, problems: list[Problem]) -> None:
    if text == FAILED:
        column[query] = None
    elif re.fullmatch(r"-?\d+(\.\d+)?", text) and formats.finite(text) is not None:
        column[query] = float(text)
    elif text != NOT_APPLICABLE:
        problems.append(Problem(where, f"{text!r} is not a score", HINT))
