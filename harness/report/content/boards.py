"""The leaderboard in words and tables. `render.boards` writes it as Markdown and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.report import format as fmt
from harness.report.content.questions import first_line
from harness.report.model import VERDICT_TONES, Cell, Column, Table, cells, difference, join, left, number
from harness.report.seedless import seeds_told
from harness.report.view import BASELINE, is_rank
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.boards import Board, FileBoard, Past, Placed, RankedFile

PASTS_SHOWN = 5
GAIN = f"gain over {BASELINE}"
"""The column of gains."""
BUILD_COST = "build cost"
RANKS = "Ranks are given with their confidence intervals, from simultaneous intervals of all pairwise differences."


def from_accepted(boards: Sequence[Board]) -> bool:
    """Return whether the boards show accepted scores."""
    return any(board.accepted for board in boards)


def sentences(board: Board) -> Iterable[str]:
    """Return who is first, as far as the intervals allow to say; before it, that the questions are synthetic."""
    if synthetic := first_line(board.questions):
        yield synthetic
    yield from who_is_first(board, "system")
    if board.unranked:
        yield f"Not ranked, because scores failed: {fmt.listed(list(board.unranked))}."


def who_is_first(board: Board | FileBoard, what: str) -> Iterable[str]:
    """Return who is first, as far as the intervals allow to say; `what` is what the rows are."""
    top = [row.label for row in board.rows if row.top]
    if len(board.rows) < 2:
        return
    if len(top) == 1:
        yield f"{top[0]} is first: it is significantly better than every other {what}."
    elif len(top) == len(board.rows):
        yield f"No {what} is significantly better than another: this test set cannot rank them."
    else:
        yield (
            f"The top group: {fmt.listed(top)}. No {what} is significantly better than any of these; every other "
            f"{what} is significantly worse than one of them."
        )


def facts(board: Board) -> tuple[str, ...]:
    """Return what the board rests on: queries, date, commit, and why it was accepted."""
    changed = " with uncommitted changes" if board.dirty else ""
    parts = (
        fmt.over(board.queries, board.groups),
        f"split {board.split}, scored {fmt.counted(board.times_scored, 'time')}",
        seeds_told(board.seeds),
        f"run on {board.created[:10]}",
        f"commit {board.commit[:10]}{changed}" if board.commit else "",
        f"accepted on {board.accepted[:10]} ({board.reason})" if board.accepted else "",
    )
    return tuple(filter(None, parts))


def standing(board: Board) -> Table:
    """Return the systems by rank, with gain, cost and latency."""
    part = "retrieval" if is_rank(board.measure) else "total"
    columns = (
        *left("rank", "system", "trains"),
        Column(board.measure),
        *left(GAIN, BUILD_COST),
        *map(Column, ("build time", f"{part} p95 ms", "$ per 1,000 queries")),
    )
    machine = f" ({board.machine})" if board.machine else ""
    return Table(
        f"{board.suite}: {board.measure}",
        columns,
        tuple(_row(row) for row in board.rows),
        join(
            f"{', '.join(facts(board))}.",
            RANKS,
            f"Times are of one machine{machine} and do not compare with others.",
        ),
        keys=2,
    )


def _row(row: Placed) -> tuple[Cell, ...]:
    return cells(
        rank_text(row),
        row.label,
        ", ".join(row.tunes) or decimals.NONE,
        number(row.mean, "mean"),
        _gain(row),
        Cell(cost_class(row.build_dollars), value=row.build_dollars),
        number(row.build_seconds, "seconds"),
        number(row.p95_ms, "ms"),
        number(row.dollars_per_1000, "dollars"),
    )


def standing_of_files(board: FileBoard) -> Table:
    """Return files by rank, with who is first below."""
    unranked = f"Not ranked, because scores failed: {fmt.listed(list(board.unranked))}." if board.unranked else ""
    return Table(
        f"{board.measure} over {fmt.over(board.queries, board.groups)}",
        (*left("rank", "file"), Column(board.measure)),
        tuple(cells(rank_text(row), row.label, number(row.mean, "mean")) for row in board.rows),
        join(*who_is_first(board, "file"), unranked, RANKS),
        keys=2,
    )


def rank_text(row: Placed | RankedFile) -> str:
    """Return ``1``, or ``2-5`` with a dash between the ends of the interval of a rank."""
    return f"{row.best}" if row.best == row.worst else f"{row.best}\N{EN DASH}{row.worst}"


def _gain(row: Placed) -> Cell:
    if row.verdict is None:
        return Cell("baseline" if row.label == BASELINE else decimals.NONE)
    if finite(row.gain) is None:
        return Cell(row.verdict, VERDICT_TONES.get(row.verdict, ""))
    return difference(row.gain, row.low, row.high, row.verdict)


def cost_class(dollars: float) -> str:
    """Return the power of ten above the one-time cost: ``under $0.01`` at the least."""
    power = max(math.ceil(math.log10(dollars)) if dollars > 0 else -2, -2)
    return f"under ${10.0**power:,.2f}" if power < 0 else f"under ${10**power:,}"


def dates_of(board: Board) -> list[str]:
    """Return when the outcomes were made that the board has means of, oldest first."""
    return sorted({past.created for row in board.rows for past in row.history})


def history(board: Board) -> Table | None:
    """Return the means of the last outcomes that measured the same; None if there is only one."""
    dates = dates_of(board)[-PASTS_SHOWN:]
    if len(dates) < 2:
        return None
    rows = []
    for row in board.rows:
        known = {past.created: past for past in row.history}
        rows.append(cells(row.label, *(_past(known.get(date), row) for date in dates)))
    caption = "Outcomes with the same measurement identity. * another system identity: the recipe has changed since."
    columns = (*left("system"), *(Column(date[:16].replace("T", " ")) for date in dates))
    return Table(f"{board.suite}: history of {board.measure}", columns, tuple(rows), caption)


def _past(past: Past | None, row: Placed) -> Cell:
    if past is None:
        return Cell(decimals.NONE)
    return number(past.mean, "mean", "" if past.identity == row.history[-1].identity else "*")
