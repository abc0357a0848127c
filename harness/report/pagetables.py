"""Tables as a page draws them: each cell with what it is sorted by, its verdict apart, its interval as a small plot.

A cell is sorted by the number that its text carries (`figures.Shown`); where it carries none, by what stands in the
text. Must not know outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from harness.report.cellparts import Difference, difference, sort_key
from harness.report.figures import Shown
from harness.report.tables import BEST_NOTE
from harness.report.values import Cell, Column, Table, Tone

WIDTH, HEIGHT = 112, 18
PAD = 5
LONG = 12
"""Rows from which on a table can be searched."""


class Plot(NamedTuple):
    """An interval on the scale of its column, in units of the drawing. `band`: the margin around zero, or nothing."""

    low: float
    point: float
    high: float
    zero: float
    band: tuple[float, float] | None


class PageCell(NamedTuple):
    text: str
    tone: Tone
    sort: str
    parts: Difference | None
    plot: Plot | None


@dataclass(frozen=True)
class PageTable:
    """A table with its place in the page: `slug` is the id of its title."""

    slug: str
    title: str
    columns: tuple[Column, ...]
    upper: tuple[tuple[PageCell, ...], ...]
    lower: tuple[tuple[PageCell, ...], ...]
    notes: tuple[str, ...]
    keys: int
    sortable: bool
    searchable: bool


def page_tables(tables: Iterable[Table], margins: Mapping[str, float]) -> list[PageTable]:
    """Prepare tables to be drawn; `margins` go by the name of the column (a measure)."""
    return [page_table(table, margins) for table in tables]


def page_table(table: Table, margins: Mapping[str, float]) -> PageTable:
    """Prepare a table; one with footnotes keeps them after the caption."""
    scales = [_Scale(column.name, (row[number] for row in table.rows), margins) for number, column in _numbered(table)]
    rows = tuple(tuple(_cell(cell, scale) for cell, scale in zip(row, scales, strict=True)) for row in table.rows)
    notes = (" ".join(filter(None, (table.caption, BEST_NOTE if table.has_best else ""))), *table.notes)
    slug = "t-" + "".join(sign if sign.isalnum() else "-" for sign in table.title.lower())
    return PageTable(
        slug, table.title, table.columns, rows[: table.upper], rows[table.upper :], tuple(filter(None, notes)),
        table.keys, len(rows) > 2, len(rows) >= LONG,
    )  # fmt: skip


def _numbered(table: Table) -> Iterable[tuple[int, Column]]:
    return enumerate(table.columns)


class _Scale:
    """Where a number of a column lies in its small plots; nothing is plotted in a column without intervals."""

    def __init__(self, name: str, column: Iterable[Cell], margins: Mapping[str, float]) -> None:
        found = [parts for cell in column if (parts := difference(cell.text)) and parts.low is not None]
        self.margin = margins.get(name)
        ends = [end for parts in found for end in (parts.low, parts.high) if end is not None]
        self.low, self.high = min([0.0, *ends]), max([0.0, *ends])
        if self.margin:
            self.low, self.high = min(self.low, -self.margin), max(self.high, self.margin)
        self.empty = not found or self.low == self.high

    def plot(self, parts: Difference) -> Plot | None:
        if self.empty or parts.low is None or parts.high is None:
            return None
        band = (self.at(-self.margin), self.at(self.margin)) if self.margin else None
        return Plot(self.at(parts.low), self.at(parts.number), self.at(parts.high), self.at(0.0), band)

    def at(self, value: float) -> float:
        return round(PAD + (value - self.low) / (self.high - self.low) * (WIDTH - 2 * PAD), 1)


def _cell(cell: Cell, scale: _Scale) -> PageCell:
    parts = difference(cell.text) if cell.tone or "[" in cell.text else None
    carried = cell.text.value if isinstance(cell.text, Shown) else None
    number = carried if carried is not None else sort_key(cell.text) if parts is None else parts.number
    key = "" if number is None else f"{number:.10g}"
    return PageCell(cell.text, cell.tone, key, parts, scale.plot(parts) if parts else None)
