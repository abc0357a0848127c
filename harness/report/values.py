"""What a table is, before anyone draws it: words in cells, with a tone that a drawing may show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Tone = Literal["", "best", "improved", "equivalent", "inconclusive", "regressed", "failed"]
Align = Literal["left", "right"]
VERDICT_TONES: dict[str, Tone] = {
    "improved": "improved",
    "equivalent": "equivalent",
    "inconclusive": "inconclusive",
    "regressed": "regressed",
    "failed": "failed",
    "missing": "failed",
    "not comparable": "failed",
}


class Cell(NamedTuple):
    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Column:
    """`wraps`: may be broken into lines. `starts`: a good place to go on in a second table if one is too wide."""

    name: str
    align: Align = "right"
    wraps: bool = False
    starts: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; the first `keys` columns name the row. `notes` are footnotes, one a line.

    The first `upper` rows are set off from the rest: reference rows from candidates.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    keys: int = 1
    upper: int = 0

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.title!r}: a row has not {len(self.columns)} cells")

    @property
    def has_best(self) -> bool:
        return any(cell.tone == "best" for row in self.rows for cell in row)


def cells(texts: Iterable[str]) -> tuple[Cell, ...]:
    return tuple(Cell(text) for text in texts)


def left(*names: str) -> list[Column]:
    return [Column(name, "left") for name in names]


def sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)
