"""The leaderboard as one page: ranks as bars, earlier scores of each system as a line.

It shows the words and the numbers of `content.boards`; only the places of bars and lines are computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from harness.report import format as fmt
from harness.report.content.boards import GAIN, dates_of, facts, from_accepted, history, rank_text, sentences, standing
from harness.report.model import Column
from harness.report.render.html import SCRIPTS, STYLES, page
from harness.report.render.page_tables import PageCell, PageTable, page_table
from harness.report.seedless import of_board
from harness.text import decimals
from harness.values.boards import Board, Past, Placed

TEMPLATE = "leaderboard.html.j2"
BAR, LINE, EDGE = (96.0, 18.0), (104.0, 26.0), 5.0
"""Size of the drawing of a rank and of a history, and what is kept free around both."""
OUTCOMES_SHOWN = 40
LEAST_SPAN = 0.02
"""A history in which less than this moved does not fill its height: noise should not look like a cliff."""


class RankBar(NamedTuple):
    """Where the best, the present and the worst place of a system lie, and every place there is."""

    best: float
    at: float
    worst: float
    places: tuple[float, ...]


class HistoryDot(NamedTuple):
    """An earlier mean; `other` says that the system had another identity then."""

    x: float
    y: float
    other: bool


class HistoryLine(NamedTuple):
    """The history of a system; `label` says it in words."""

    dots: tuple[HistoryDot, ...]
    label: str

    @property
    def path(self) -> str:
        return "M" + "L".join(f"{dot.x} {dot.y}" for dot in self.dots)


class BoardRow(NamedTuple):
    """A system; `cells` are those after rank and name, under their columns."""

    placed: Placed
    rank: str
    cells: tuple[tuple[Column, PageCell], ...]
    bar: RankBar
    line: HistoryLine | None


class ShownBoard(NamedTuple):
    """A board with all that is drawn of it."""

    slug: str
    board: Board
    sentences: tuple[str, ...]
    facts: tuple[str, ...]
    top: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]
    history: PageTable | None


class ShownSuite(NamedTuple):
    slug: str
    name: str
    title: str
    boards: tuple[ShownBoard, ...]


def render_page(boards: Sequence[Board]) -> str:
    """Return the leaderboard as one HTML text."""
    shown = map(of_board, boards)
    suites = tuple(_suite(name, list(found)) for name, found in groupby(shown, key=lambda board: board.suite))
    return page(
        TEMPLATE,
        SCRIPTS[:1],
        (*STYLES, "leaderboard.css"),
        suites=suites,
        accepted=from_accepted(boards),
        bar=BAR,
        line_size=LINE,
        counted=(fmt.counted(len(suites), "suite"), fmt.counted(len(boards), "board")),
        has_history=any(shown.history for suite in suites for shown in suite.boards),
    )


def _suite(name: str, boards: Sequence[Board]) -> ShownSuite:
    return ShownSuite(_slug(name), name, boards[0].title, tuple(map(_shown, boards)))


def _slug(text: str) -> str:
    return f"s-{fmt.slug(text.lower())}"


def _shown(board: Board) -> ShownBoard:
    table = page_table(standing(board), {GAIN: board.margin})
    past = history(board)
    rows = zip(board.rows, (*table.upper, *table.lower), strict=True)
    return ShownBoard(
        slug=_slug(f"{board.suite} {board.measure}"),
        board=board,
        sentences=tuple(sentences(board)),
        facts=facts(board),
        top=tuple(row.label for row in board.rows if row.top),
        columns=table.columns,
        rows=tuple(_row(board, table.columns, *both) for both in rows),
        history=page_table(past, {}) if past else None,
    )


def _row(board: Board, columns: Sequence[Column], placed: Placed, cells: Sequence[PageCell]) -> BoardRow:
    pairs = tuple(zip(columns, cells, strict=True))[2:]
    return BoardRow(placed, rank_text(placed), pairs, _bar(placed, len(board.rows)), _line(board, placed))


def _bar(placed: Placed, count: int) -> RankBar:
    def at(place: int) -> float:
        return _along(place - 1, count - 1, BAR[0])

    return RankBar(at(placed.best), at(placed.place), at(placed.worst), tuple(map(at, range(1, count + 1))))


def _along(step: float, steps: int, length: float) -> float:
    return round(EDGE + step / max(1, steps) * (length - 2 * EDGE), 1)


def _line(board: Board, placed: Placed) -> HistoryLine | None:
    """Return a history on the scale that all histories of the board share, each around its own middle."""
    dates = dates_of(board)[-OUTCOMES_SHOWN:]
    pasts = [past for past in placed.history if past.created in dates]
    if len(dates) < 2 or not pasts:
        return None
    span = max(LEAST_SPAN, 2 * board.margin, *(_reach(row.history, dates) for row in board.rows))
    means = [past.mean for past in pasts]
    middle = (min(means) + max(means)) / 2
    dots = tuple(
        HistoryDot(
            _along(dates.index(past.created), len(dates) - 1, LINE[0]),
            round(LINE[1] / 2 - (past.mean - middle) / span * (LINE[1] - 2 * EDGE), 1),
            past.identity != pasts[-1].identity,
        )
        for past in pasts
    )
    return HistoryLine(dots, f"{placed.label}: {'; '.join(_past(past, placed) for past in pasts)}")


def _reach(pasts: Sequence[Past], dates: Sequence[str]) -> float:
    means = [past.mean for past in pasts if past.created in dates]
    return max(means) - min(means) if means else 0.0


def _past(past: Past, placed: Placed) -> str:
    other = " (another recipe)" if past.identity != placed.history[-1].identity else ""
    return f"{past.created[:10]} {decimals.fixed(past.mean)}{other}"
