"""The rounds of a search: what each candidate reached on dev with how much training data, and who went on."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report import format as fmt
from harness.report.model import Cell, Column, Table, interval, left, number
from harness.report.view import View
from harness.values.measures import parse
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
        Column("difference"),
        Column("interval", "left"),
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
        f"{fmt.duration(seconds)}. A round searches a pool: what is judged, and what untuned systems find. "
        f"{_told(shown)}{what}",
        keys=2,
    )


def _told(shown: Sequence[RoundScore]) -> str:
    """Say of how many stopped candidates dev shows that they were worse; empty where nothing was compared."""
    compared = [(row.low, row.high) for row in shown if row.low is not None and row.high is not None]
    lower = parse(shown[0].measure).kind.better == "lower"
    worse = [bounds for bounds in compared if (bounds[0] > 0 if lower else bounds[1] < 0)]
    if not any(row.difference is not None for row in shown):
        return ""
    if not compared:
        return "Dev has too few groups to show that any of them is worse than the last that went on. "
    rest = "; the order of the others is uncertain" if worse else ", so the order is uncertain"
    return (
        f"Dev shows {fmt.count(len(worse)) if worse else 'none'} of the {fmt.count(len(compared))} stopped to be worse "
        "than the last that went on in its round (difference, with simultaneous intervals)"
        f"{rest if len(worse) < len(compared) else ''}. "
    )


def _row(row: RoundScore) -> tuple[Cell, ...]:
    value = number(row.value, "mean") if row.value is not None else Cell("failed", "failed")
    then = Cell("went on" if row.kept else "stopped", "" if row.kept else "inconclusive")
    share, time = number(row.share, "percent"), number(row.seconds, "seconds")
    behind = number(row.difference, "difference"), interval(row.low, row.high)
    return number(row.round, "count"), Cell(row.candidate), share, value, time, then, *behind
