"""The rounds of a search: what each candidate reached on dev with how much training data, and who went on."""

from __future__ import annotations

from harness.report import format as fmt
from harness.report.model import Cell, Column, Table, left, number
from harness.report.view import View
from harness.values.search import RoundScore


def rounds(view: View) -> Table | None:
    """Return the candidates of every round before the last, the best first."""
    shown = view.outcome.rounds
    if not shown:
        return None
    columns = (
        *left("round", "candidate"),
        Column("training data"),
        Column(f"{shown[0].measure} on dev"),
        Column("training time"),
        *left("then"),
    )
    seconds = sum(row.seconds for row in shown)
    trained = len({row.candidate for row in shown})
    stopped = len({row.candidate for row in shown if not row.kept})
    scored = any(info.stopped for info in view.outcome.systems)
    what = (
        f"A stopped candidate is scored on {view.outcome.split} as it was when it was stopped: it counts in every "
        "family of comparisons, and its training in the tables of costs."
        if scored
        else f"Stopped candidates were not scored on {view.outcome.split}: they are in no other table."
    )
    return Table(
        "Which candidates were trained to the end?",
        columns,
        tuple(map(_row, shown)),
        f"Successive halving on dev stopped {stopped} of {fmt.counted(trained, 'candidate')}; these trainings took "
        f"{fmt.duration(seconds)}. A round searches a pool: what is judged, and what untuned systems find. {what}",
        keys=2,
    )


def _row(row: RoundScore) -> tuple[Cell, ...]:
    value = number(row.value, "mean") if row.value is not None else Cell("failed", "failed")
    then = Cell("went on" if row.kept else "stopped", "" if row.kept else "inconclusive")
    share, time = number(row.share, "percent"), number(row.seconds, "seconds")
    return number(row.round, "count"), Cell(row.candidate), share, value, time, then
