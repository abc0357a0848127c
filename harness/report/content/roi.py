"""What followed a diagnosis: predictions beside results, and what gains return for their cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.report import format as fmt
from harness.report.content.advice import again
from harness.report.content.extras import forgetting, reasons, slices
from harness.report.model import Cell, Column, Section, Table, cells, difference, join, left, number, within
from harness.report.view import BASELINE, View, row_label
from harness.text import decimals
from harness.values.findings import Outcome
from harness.values.gains import Roi
from harness.values.insights import Prediction

Row = TypeVar("Row", Prediction, Roi)
NOT_SHOWN = ("is not shown to improve on", "are not shown to improve on")
AGAINST = {
    "equivalent": ("is equivalent to", "are equivalent to"),
    "regressed": ("regressed against", "regressed against"),
}
"""Verbs for one and for several trained systems that do not improve on the best without training, by verdict."""


def sections(view: View) -> tuple[Section, ...]:
    """Return the sections that this outcome has something for, in the order in which a reader wants them."""
    outcome = view.outcome
    before = [again(outcome.diagnosis)] if outcome.diagnosis else []
    found = (returned(outcome), *before, worth(outcome), slices(view), forgetting(outcome))
    return tuple(section for section in found if section)


# ---- predictions


def worth(outcome: Outcome) -> Section:
    """Return the predicted gain of each candidate beside the gain it had."""
    section = "worth", "Advice checked", "Predictions of the diagnosis, checked"
    rows = sorted(outcome.predictions, key=lambda row: (row.rank is None, row.rank or 0))
    if not rows:
        return Section(*section)
    caption = join(
        "Predicted: the oracle gain in the diagnosis, at most where it is a bound, about where it is an estimate. "
        f"Gained: the gain over {BASELINE} with its simultaneous interval.",
        _other_split(outcome),
        f"{decimals.NONE} as advice: no rule is about it." if any(row.rank is None for row in rows) else "",
    )
    tables = [_predictions(outcome, measure, group) for measure, group in _by_measure(rows)]
    return Section(*section, tables=(*_captioned(tables, caption), _paid(outcome, rows)))


def _captioned(tables: Iterable[Table], caption: str) -> list[Table]:
    """Return tables of one kind, the caption below the first alone."""
    return [replace(table, caption="" if number else caption) for number, table in enumerate(tables)]


def _predictions(outcome: Outcome, measure: str, rows: Sequence[Prediction]) -> Table:
    """Return a row for each candidate, in the order of the advice."""
    columns = (
        Column("advice"),
        *left("system"),
        Column("predicted"),
        *(Column("gained", "left"), Column("result", "left", wraps=True)),
    )
    return Table(
        f"Predicted and actual gain: {measure}",
        columns,
        tuple(_prediction(outcome, row) for row in rows),
        keys=2,
    )


def _paid(outcome: Outcome, rows: Sequence[Prediction]) -> Table:
    """Return the estimated and the actual build cost of each candidate."""
    costs = {
        row_label(outcome, row.system, row.seed): (
            fmt.build_cost_cell(row.estimated_seconds, row.estimated_dollars),
            fmt.build_cost_cell(row.paid_seconds, row.paid_dollars),
        )
        for row in rows
    }
    columns = (*left("system"), Column("estimated"), Column("actual"))
    caption = f"One-time costs; a part that candidates share counts for each. {decimals.NONE}: no estimate was made."
    return Table(
        "Estimated and actual build cost", columns, tuple(cells(who, *both) for who, both in costs.items()), caption
    )


def _other_split(outcome: Outcome) -> str:
    before = outcome.diagnosis.split if outcome.diagnosis else outcome.split
    if before == outcome.split:
        return ""
    return f"Predicted on the split {before}, gained on {outcome.split}."


def _prediction(outcome: Outcome, row: Prediction) -> tuple[Cell, ...]:
    rank = Cell(decimals.NONE) if row.rank is None else number(row.rank, "count")
    how = "at most" if row.bound else "about"
    return cells(
        rank._replace(text=", against") if row.against and row.rank is not None else rank,
        row_label(outcome, row.system, row.seed),
        number(row.could_buy, "difference")._replace(before=how),
        difference(row.bought, row.low, row.high, row.verdict or ""),
        fmt.sentence(row.conclusion) or decimals.NONE,
    )


# ---- return on cost


def returned(outcome: Outcome) -> Section:
    """Return what a gain costs: once, per query, and when it breaks even."""
    caption = (
        "In brackets: the ratio at the ends of the gain's interval; costs have no interval (exploratory). Break-even: "
        f"the queries after which the gains pay for the build cost; {decimals.NONE} where that never happens, or where "
        "the suite does not price a right answer. On the front: no other system gains as much for less."
    )
    tables = [_returns(outcome, measure, rows) for measure, rows in _by_measure(outcome.roi)]
    return Section(
        "roi",
        "ROI",
        "Return on investment",
        tuple(_fronts(outcome)),
        tuple(_captioned(tables, caption)),
        brief=False,
    )


def _returns(outcome: Outcome, measure: str, rows: Sequence[Roi]) -> Table:
    columns = (
        *(*left("system"), Column("gain"), Column("gain per $", wraps=True), Column("added p95 ms")),
        *(Column("gain per added 100 ms", wraps=True), Column("break-even, queries", wraps=True)),
        Column("on the Pareto front", "left", wraps=True),
    )
    return Table(
        f"ROI: {measure}",
        columns,
        tuple(_return(outcome, row) for row in rows),
        notes=tuple(reasons(outcome, rows)),
    )


def _return(outcome: Outcome, row: Roi) -> tuple[Cell, ...]:
    beaten = fmt.listed(fmt.first(row.dominated_by))
    value, low, high = (None if end is None else 100 * end for end in (row.per_ms, row.per_ms_low, row.per_ms_high))
    return cells(
        row_label(outcome, row.system, row.seed),
        number(row.gain, "difference"),
        within(row.per_dollar, row.per_dollar_low, row.per_dollar_high, "ratio"),
        number(row.added_p95_ms, "added ms"),
        within(value, low, high, "ratio"),
        within(row.break_even, row.break_even_low, row.break_even_high, "queries"),
        "yes" if row.front else f"dominated by {beaten}" if beaten else decimals.NONE,
    )


def _fronts(outcome: Outcome) -> Iterable[str]:
    for measure, rows in _by_measure(outcome.roi):
        front = [row_label(outcome, row.system, row.seed) for row in rows if row.front]
        if front:
            are = "is" if len(front) == 1 else "are"
            also = _behind(rows) + _not_beyond(outcome, rows)
            yield f"{measure}: on the Pareto front {are} {fmt.listed(front)}.{also}"


def _behind(rows: Iterable[Roi]) -> str:
    """Return how many systems are dominated, and how many have no place because the front lacks a cost of theirs."""
    others = [row for row in rows if not row.front]
    beaten = sum(1 for row in others if row.dominated_by)
    said = f" {fmt.counted(beaten, 'system is', 'systems are')} dominated: another gains as much for less."
    unplaced = len(others) - beaten
    lacking = f" {fmt.counted(unplaced, 'system is', 'systems are')} left out: a cost is not known, or a time is noisy."
    return (said if beaten else "") + (lacking if unplaced else "")


def _not_beyond(outcome: Outcome, rows: Iterable[Roi]) -> str:
    """Return which trained systems of the front do not improve on the best system without training."""
    best = outcome.best_untrained
    others = [row for row in rows if row.front and row.beyond not in (None, "improved")]
    if not others or best is None:
        return ""
    said: dict[tuple[str, str], list[str]] = {}
    for row in others:
        label = row_label(outcome, row.system, row.seed)
        said.setdefault(AGAINST.get(row.beyond or "", NOT_SHOWN), []).append(label)
    parts = [
        f"{fmt.listed(fmt.first(names))} {singular if len(names) == 1 else plural} {best.system}"
        for (singular, plural), names in said.items()
    ]
    return f" Of the front, {fmt.listed(parts)}, which trains nothing."


def _by_measure(rows: Iterable[Row]) -> Iterable[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.measure, []).append(row)
    return groups.items()
