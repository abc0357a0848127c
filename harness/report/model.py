"""What a report shows, as values: cells, tables, sections and a summary. `format` makes text of numbers.

A cell holds its value with unit, interval and verdict, so that every rendering can write, sort and draw it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from harness.text.decimals import finite

Tone = Literal["", "best", "improved", "equivalent", "inconclusive", "regressed", "failed"]
Align = Literal["left", "right"]
Unit = Literal[
    "", "mean", "figure", "difference", "p", "seconds", "dollars", "ms", "count", "bytes", "megabytes", "percent",
    "ratio", "queries", "added ms", "added dollars",
]  # fmt: skip
VERDICT_TONES: Mapping[str, Tone] = {
    "improved": "improved",
    "equivalent": "equivalent",
    "inconclusive": "inconclusive",
    "regressed": "regressed",
    "failed": "failed",
    "missing": "failed",
    "not comparable": "failed",
    "stopped": "inconclusive",
}


class Cell(NamedTuple):
    """A number in a `unit` with its bounds and verdict, or words alone, in `text`, where there is no unit.

    With a number, `before` and `text` stand around it. A share has values from 0 to 1. A page sorts by `value`.
    """

    text: str = ""
    tone: Tone = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: Unit = ""
    verdict: str = ""
    before: str = ""


def number(value: float | None, unit: Unit, text: str = "", tone: Tone = "") -> Cell:
    """Return a cell for a number; `text` follows it."""
    return Cell(text, tone, finite(value), unit=unit)


def interval(low: float | None, high: float | None) -> Cell:
    """Return a cell for the bounds of a difference alone."""
    return within(None, low, high, "difference")


def within(value: float | None, low: float | None, high: float | None, unit: Unit, text: str = "") -> Cell:
    """Return a cell for a number with its bounds."""
    return Cell(text, "", finite(value), finite(low), finite(high), unit)


def difference(value: float | None, low: float | None, high: float | None, verdict: str = "") -> Cell:
    """Return a cell for a difference with its interval and verdict, in the tone of the verdict."""
    tone = VERDICT_TONES.get(verdict, "")
    return Cell("", tone, finite(value), finite(low), finite(high), "difference", verdict)


def queries_and_groups(queries: int, groups: int) -> Cell:
    """Return the cell of the column ``queries / groups``."""
    return number(queries, "count", f" / {groups:,}")


@dataclass(frozen=True)
class Column:
    """A column of a table, under its name.

    `wraps`: may be broken into lines. `starts`: a good place to continue in a second table if one is too wide.
    `minor`: left out first where a terminal is narrow.
    """

    name: str
    align: Align = "right"
    wraps: bool = False
    starts: bool = False
    minor: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; the first `keys` columns name the row. `notes` are footnotes, one a line.

    The first `upper` rows are set off from the rest: baseline rows from candidates. `name` is for code that looks for
    a table. A terminal leaves out one that is `folded`, unless the user asks for more.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    keys: int = 1
    upper: int = 0
    name: str = ""
    folded: bool = False

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.title!r}: a row has not {len(self.columns)} cells")

    @property
    def has_best(self) -> bool:
        return any(cell.tone == "best" for row in self.rows for cell in row)


class Headline(NamedTuple):
    """The answer in a paragraph: its first sentence, the sentences that support it, and the tone of the whole."""

    tone: Tone
    first: str
    rest: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """An entry of a list, with lines below it: `lines` has pairs of a heading and its sentences.

    `yaml` is what to paste into a suite, below the words `paste`.
    """

    title: str
    lines: tuple[tuple[str, tuple[str, ...]], ...] = ()
    yaml: str = ""
    paste: str = "Put into the suite"


@dataclass(frozen=True)
class Section:
    """Sentences, tables and lists under one heading.

    `slug` is its id in a page and says which pictures belong to it; `short` is its name in a menu. `tables` and `items`
    are always shown in files; `in_full` is folded there, under the words `folded`. On a terminal a section that is not
    `brief` has its sentences only, unless the user asks for more.
    """

    slug: str
    short: str
    title: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    items: tuple[Item, ...] = ()
    in_full: tuple[Table, ...] = ()
    folded: str = "The whole table"
    brief: bool = True

    def __bool__(self) -> bool:
        return bool(self.sentences or self.tables or self.items or self.in_full)


def present(*tables: Table | None) -> tuple[Table, ...]:
    """Return the tables that are not None."""
    return tuple(table for table in tables if table is not None)


def cells(*values: Cell | str) -> tuple[Cell, ...]:
    """Return a row, or a part of one; a text becomes a cell of words."""
    return tuple(Cell(value) if isinstance(value, str) else value for value in values)


def left(*names: str) -> list[Column]:
    """Return columns of words."""
    return [Column(name, "left") for name in names]


def join(*parts: str) -> str:
    """Return the parts that are not empty, with blanks between them."""
    return " ".join(part for part in parts if part)
