"""The leaderboard as one page: ranks as bars, what each system scored before as a line.

It shows the words and the numbers of `report.boards`; only where a bar or a line lies is worked out here. The page asks
no network and trusts no text, as that of a report (`report.html`). This module must not know where outcomes lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from harness.report import figures
from harness.report.boards import GAIN, dates_of, facts, from_accepted, history, rank_text, standing, told
from harness.report.html import page
from harness.report.pagetables import PageCell, PageTable, page_table
from harness.report.values import Column
from harness.values.boards import Board, Past, Placed

TEMPLATE = "leaderboard.html.j2"
STYLES = ("chart.css", "report.css", "leaderboard.css")
SCRIPTS = ("report.js",)
BAR, LINE, EDGE = (96.0, 18.0), (104.0, 26.0), 5.0
"""Size of the drawing of a rank and of a history, and what is kept free around both."""
OUTCOMES_SHOWN = 40
LEAST_SPAN = 0.02
"""A history in which less than this moved does not fill its height: noise should not look like a cliff."""


class Bar(NamedTuple):
    """Where the best, the present and the worst place of a system lie, and every place there is."""

    best: float
    at: float
    worst: float
    places: tuple[float, ...]


class Dot(NamedTuple):
    """An earlier mean; `other` says that the system had another identity then."""

    x: float
    y: float
    other: bool


class Line(NamedTuple):
    """The history of a system; `told` says it in words."""

    dots: tuple[Dot, ...]
    told: str

    @property
    def path(self) -> str:
        return "M" + "L".join(f"{dot.x} {dot.y}" for dot in self.dots)


class Row(NamedTuple):
    """A system; `cells` are those after rank and name, under their columns."""

    placed: Placed
    rank: str
    cells: tuple[tuple[Column, PageCell], ...]
    bar: Bar
    line: Line | None


class Shown(NamedTuple):
    """A board with all that is drawn of it."""

    slug: str
    board: Board
    told: tuple[str, ...]
    facts: tuple[str, ...]
    top: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    history: PageTable | None


class Suite(NamedTuple):
    slug: str
    name: str
    title: str
    boards: tuple[Shown, ...]


def render_page(boards: Sequence[Board]) -> str:
    """The leaderboard as one HTML text."""
    suites = tuple(_suite(name, list(found)) for name, found in groupby(boards, key=lambda board: board.suite))
    return page(
        TEMPLATE, STYLES, SCRIPTS, suites=suites, accepted=from_accepted(boards), bar=BAR, line_size=LINE,
        counted=(figures.counted(len(suites), "suite"), figures.counted(len(boards), "board")),
        has_history=any(shown.history for suite in suites for shown in suite.boards),
    )  # fmt: skip


def _suite(name: str, boards: Sequence[Board]) -> Suite:
    return Suite(_slug(name), name, boards[0].title, tuple(map(_shown, boards)))


def _slug(text: str) -> str:
    return "s-" + "".join(sign if sign.isalnum() else "-" for sign in text.lower())


def _shown(board: Board) -> Shown:
    table = page_table(standing(board), {GAIN: board.margin})
    past = history(board)
    cells = (*table.upper, *table.lower)
    rows = (_row(board, table.columns, *both) for both in zip(board.rows, cells, strict=True))
    return Shown(
        _slug(f"{board.suite} {board.measure}"), board, tuple(told(board)), facts(board),
        tuple(row.label for row in board.rows if row.top), table.columns, tuple(rows),
        page_table(past, {}) if past else None,
    )  # fmt: skip


def _row(board: Board, columns: Sequence[Column], placed: Placed, cells: Sequence[PageCell]) -> Row:
    costs = [column.name == "cost to make" for column in columns]
    # A class of costs is sorted by the cost itself.
    sorts = [
        f"{placed.build_dollars:.10g}" if is_cost else cell.sort for is_cost, cell in zip(costs, cells, strict=True)
    ]
    sorted_by = [cell._replace(sort=sort) for cell, sort in zip(cells, sorts, strict=True)]
    pairs = tuple(zip(columns, sorted_by, strict=True))[2:]
    return Row(placed, rank_text(placed), pairs, _bar(placed, len(board.rows)), _line(board, placed))


def _bar(placed: Placed, count: int) -> Bar:
    def at(place: int) -> float:
        return _along(place - 1, count - 1, BAR[0])

    return Bar(at(placed.best), at(placed.place), at(placed.worst), tuple(map(at, range(1, count + 1))))


def _along(step: float, steps: int, length: float) -> float:
    return round(EDGE + step / max(1, steps) * (length - 2 * EDGE), 1)


def _line(board: Board, placed: Placed) -> Line | None:
    """A system's history on the scale that all histories of the board share, each around its own middle."""
    dates = dates_of(board)[-OUTCOMES_SHOWN:]
    pasts = [past for past in placed.history if past.created in dates]
    if len(dates) < 2 or not pasts:
        return None
    span = max(LEAST_SPAN, 2 * board.margin, *(_reach(row.history, dates) for row in board.rows))
    means = [past.mean for past in pasts]
    middle = (min(means) + max(means)) / 2
    dots = tuple(
        Dot(
            _along(dates.index(past.created), len(dates) - 1, LINE[0]),
            round(LINE[1] / 2 - (past.mean - middle) / span * (LINE[1] - 2 * EDGE), 1),
            past.identity != pasts[-1].identity,
        )
        for past in pasts
    )
    return Line(dots, f"{placed.label}: {'; '.join(_past(past, placed) for past in pasts)}")


def _reach(pasts: Sequence[Past], dates: Sequence[str]) -> float:
    means = [past.mean for past in pasts if past.created in dates]
    return max(means) - min(means) if means else 0.0


def _past(past: Past, placed: Placed) -> str:
    other = " (another recipe)" if past.identity != placed.history[-1].identity else ""
    return f"{past.created[:10]} {figures.fixed(past.mean)}{other}"
