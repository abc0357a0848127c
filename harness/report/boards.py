"""The leaderboard in words and tables, and as Markdown.

This module must not know where outcomes lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.report import figures
from harness.report.markdown import environment
from harness.report.values import VERDICT_TONES, Cell, Column, Table, cells, left, sentences
from harness.report.view import BASELINE, is_rank
from harness.values.boards import Board, Past, Placed

TEMPLATE = "leaderboard.md.j2"
PASTS_SHOWN = 5
GAIN = f"gain over {BASELINE}"
"""The column of gains."""


def render_boards(boards: Sequence[Board]) -> str:
    """The leaderboard as one Markdown text."""
    parts = [(board, standing(board), history(board), list(told(board))) for board in boards]
    return environment().get_template(TEMPLATE).render(parts=parts, accepted=from_accepted(boards))


def from_accepted(boards: Sequence[Board]) -> bool:
    """Whether the boards show what was accepted."""
    return any(board.accepted for board in boards)


def told(board: Board) -> Iterable[str]:
    """Who is first, as surely as can be said."""
    top = [row.label for row in board.rows if row.top]
    if len(top) == 1:
        yield f"{top[0]} is first: every other system is surely worse."
    elif len(top) == len(board.rows):
        yield "No system is surely worse than another here: this test set cannot rank them."
    else:
        yield (
            f"The top group: {figures.listed(top)}. None of them is surely worse than any other system; every "
            "system outside is."
        )
    if board.unranked:
        yield f"Not ranked, as some of their scores failed: {figures.listed(list(board.unranked))}."


def facts(board: Board) -> tuple[str, ...]:
    """What the board stands on: questions, date, commit, and why it was accepted."""
    changed = " and changes that were not committed" if board.dirty else ""
    found = (
        f"{figures.counted(board.queries, 'query', 'queries')} in {figures.counted(board.groups, 'group')}",
        f"split {board.split}, scored {figures.counted(board.times_scored, 'time')}",
        f"run on {board.created[:10]}",
        f"commit {board.commit[:10]}{changed}" if board.commit else "",
        f"accepted on {board.accepted[:10]} ({board.reason})" if board.accepted else "",
    )
    return tuple(filter(None, found))


def standing(board: Board) -> Table:
    """Systems by rank, with gain, cost and latency."""
    part = "retrieval" if is_rank(board.measure) else "total"
    columns = (
        *left("rank", "system"),
        Column(board.measure),
        *left(GAIN, "cost to make"),
        *map(Column, ("time to make", f"{part} p95 ms", "$ per 1,000 queries")),
    )
    machine = f" ({board.machine})" if board.machine else ""
    return Table(
        f"{board.suite}: {board.measure}",
        columns,
        tuple(_row(row) for row in board.rows),
        sentences(
            f"{', '.join(facts(board))}.",
            "A rank is given as the places that a system may truly have, by simultaneous intervals of all pairwise "
            f"differences. Times are of one machine{machine} and compare with no other.",
        ),
        keys=2,
    )


def _row(row: Placed) -> tuple[Cell, ...]:
    return (
        Cell(rank_text(row)),
        Cell(row.label),
        Cell(figures.fixed(row.mean)),
        _gain(row),
        Cell(cost_class(row.build_dollars)),
        Cell(figures.duration(row.build_seconds)),
        Cell(figures.milliseconds(row.p95_ms)),
        Cell(figures.dollars(row.dollars_per_1000)),
    )


def rank_text(row: Placed) -> str:
    """``1``, or ``2-5`` with a dash between numbers."""
    return f"{row.best}" if row.best == row.worst else f"{row.best}\N{EN DASH}{row.worst}"


def _gain(row: Placed) -> Cell:
    if row.verdict is None:
        return Cell("baseline" if row.label == BASELINE else figures.NONE)
    bounds = figures.interval(row.low, row.high)
    number = figures.signed(row.gain) if figures.finite(row.gain) is not None else ""
    text = sentences(number, bounds if bounds != figures.NONE else "", row.verdict)
    return Cell(text, VERDICT_TONES.get(row.verdict, ""))


def cost_class(dollars: float) -> str:
    """The power of ten under which the one-time cost stays: ``under $0.01`` at the least."""
    power = max(math.ceil(math.log10(dollars)) if dollars > 0 else -2, -2)
    return f"under ${10.0**power:,.2f}" if power < 0 else f"under ${10**power:,}"


def dates_of(board: Board) -> list[str]:
    """When the outcomes were made that the board has means of, oldest first."""
    return sorted({past.created for row in board.rows for past in row.history})


def history(board: Board) -> Table | None:
    """Means of the last outcomes that measured the same; None if there is but one."""
    dates = dates_of(board)[-PASTS_SHOWN:]
    if len(dates) < 2:
        return None
    rows = []
    for row in board.rows:
        known = {past.created: past for past in row.history}
        rows.append(cells((row.label, *(_past(known.get(date), row) for date in dates))))
    caption = (
        "Only outcomes with the same measurement identity. * another system identity: the recipe has changed since."
    )
    columns = (*left("system"), *(Column(date[:16].replace("T", " ")) for date in dates))
    return Table(f"{board.suite}: history of {board.measure}", columns, tuple(rows), caption)


def _past(past: Past | None, row: Placed) -> str:
    if past is None:
        return figures.NONE
    return figures.fixed(past.mean) + ("" if past.identity == row.history[-1].identity else "*")
