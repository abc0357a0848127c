"""The leaderboard in words and tables.

This module must not know where outcomes lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.boards import Board, Placed
from harness.report import figures
from harness.report.markdown import environment
from harness.report.values import VERDICT_TONES, Cell, Column, Table, cells, left, sentences

TEMPLATE = "leaderboard.md.j2"
PASTS_SHOWN = 5


def render_boards(boards: Sequence[Board]) -> str:
    """The leaderboard as one Markdown text."""
    parts = [(board, standing(board), history(board), list(told(board))) for board in boards]
    return environment().get_template(TEMPLATE).render(parts=parts)


def told(board: Board) -> Iterable[str]:
    """Who is first, as surely as can be said."""
    top = [row.label for row in board.rows if row.best == 1]
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


def standing(board: Board) -> Table:
    """Systems by rank, with gain, cost and latency."""
    columns = (
        *left("rank", "system"),
        Column(board.measure),
        Column("gain over untuned"),
        Column("verdict", "left"),
        Column("cost to make", "left"),
        Column("total p95 ms"),
        Column("$ per 1,000 queries"),
    )
    seen = [f"{figures.counted(board.queries, 'query', 'queries')} in {figures.counted(board.groups, 'group')}"]
    seen += [f"split {board.split}, scored {figures.counted(board.times_scored, 'time')}", board.created[:10]]
    seen += [f"commit {board.commit[:10]}"] if board.commit else []
    return Table(
        f"{board.suite}: {board.measure}",
        columns,
        tuple(_row(row) for row in board.rows),
        sentences(
            f"{', '.join(seen)}.",
            "A rank is given as the places that a system may truly have, by simultaneous intervals of all pairwise "
            "differences. Times are of one machine and compare with no other.",
        ),
        keys=2,
    )


def _row(row: Placed) -> tuple[Cell, ...]:
    rank = f"{row.best}" if row.best == row.worst else f"{row.best}\N{EN DASH}{row.worst}"
    return (
        Cell(rank),
        Cell(row.label),
        Cell(figures.fixed(row.mean)),
        Cell(figures.signed(row.gain)),
        Cell(row.verdict or figures.NONE, VERDICT_TONES.get(row.verdict or "", "")),
        Cell(cost_class(row.make_dollars)),
        Cell(figures.milliseconds(row.p95_ms)),
        Cell(figures.dollars(row.dollars_per_1000)),
    )


def cost_class(dollars: float) -> str:
    """The power of ten under which the one-time cost stays: ``under $0.01`` at the least."""
    power = max(math.ceil(math.log10(dollars)) if dollars > 0 else -2, -2)
    return f"under ${10.0**power:,.2f}" if power < 0 else f"under ${10**power:,}"


def history(board: Board) -> Table | None:
    """Means of the last outcomes that measured the same; None if there is but one."""
    dates = sorted({past.created for row in board.rows for past in row.history})[-PASTS_SHOWN:]
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


def _past(past: object, row: Placed) -> str:
    known = next((one for one in row.history if one is past), None)
    if known is None:
        return figures.NONE
    return figures.fixed(known.mean) + ("" if known.identity == row.history[-1].identity else "*")
