"""Tables as a page draws them: each cell with what it is sorted by, its verdict apart, its interval as a small plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from harness.report import format as fmt
from harness.report.format import BEST_NOTE, bounds_text, cell_text, value_text
from harness.report.model import Cell, Column, Table, Tone, join

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


class DifferenceText(NamedTuple):
    """The texts of a difference."""

    value: str
    interval: str
    word: str


class PageCell(NamedTuple):
    text: str
    tone: Tone
    sort: str
    parts: DifferenceText | None
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
    """Prepare a table to be drawn; footnotes follow the caption."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    scales = [_Scale(cells, margins.get(column.name)) for column, cells in zip(table.columns, columns, strict=True)]
    rows = tuple(tuple(_cell(cell, scale) for cell, scale in zip(row, scales, strict=True)) for row in table.rows)
    return PageTable(
        slug=f"t-{fmt.slug(table.title.lower())}",
        title=table.title,
        columns=table.columns,
        upper=rows[: table.upper],
        lower=rows[table.upper :],
        notes=tuple(filter(None, (join(table.caption, BEST_NOTE if table.has_best else ""), *table.notes))),
        keys=table.keys,
        sortable=len(rows) > 2,
        searchable=len(rows) >= LONG,
    )


class _Scale:
    """Where a number of a column lies in its small plots; nothing is plotted in a column without intervals."""

    def __init__(self, cells: Iterable[Cell], margin: float | None) -> None:
        self.margin = margin or 0.0
        ends = [end for cell in cells if _is_plotted(cell) for end in (cell.low, cell.high) if end is not None]
        self.low, self.high = min([0.0, -self.margin, *ends]), max([0.0, self.margin, *ends])
        self.empty = not ends or self.low == self.high

    def plot(self, cell: Cell) -> Plot | None:
        if self.empty or not _is_plotted(cell) or cell.low is None or cell.high is None:
            return None
        band = (self.at(-self.margin), self.at(self.margin)) if self.margin else None
        return Plot(self.at(cell.low), self.at(cell.value or 0.0), self.at(cell.high), self.at(0.0), band)

    def at(self, value: float) -> float:
        return round(PAD + (value - self.low) / (self.high - self.low) * (WIDTH - 2 * PAD), 1)


def _is_plotted(cell: Cell) -> bool:
    return cell.unit == "difference" and cell.value is not None and cell.low is not None


def _cell(cell: Cell, scale: _Scale) -> PageCell:
    has_parts = cell.unit == "difference" and cell.value is not None and (cell.tone != "" or cell.low is not None)
    parts = DifferenceText(value_text(cell), bounds_text(cell), cell.verdict) if has_parts else None
    sort = "" if cell.value is None else f"{cell.value:.10g}"
    return PageCell(cell_text(cell), cell.tone, sort, parts, scale.plot(cell))
