"""What came after a diagnosis: predictions beside outcomes, and what gains return for their cost.

A report without these has no such section. This module must not know how a section is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.report import amounts, figures
from harness.report.advice import again
from harness.report.elsewhere import first, forgetting, reasons, slices
from harness.report.sections import Section, filled
from harness.report.values import VERDICT_TONES, Cell, Column, Table, cells, left, sentences
from harness.report.view import BASELINE, View, row_label
from harness.values.findings import Outcome
from harness.values.gains import Roi
from harness.values.insights import Prediction

Row = TypeVar("Row", Prediction, Roi)


def sections(view: View) -> tuple[Section, ...]:
    """The sections that this outcome has something for, in the order in which a reader wants them."""
    outcome = view.outcome
    return filled(
        (
            returned(outcome),
            again(outcome.diagnosis) if outcome.diagnosis else Section("loss", "Loss", "Where the loss was"),
            worth(outcome),
            slices(view),
            forgetting(outcome),
        )
    )


# ---- predictions


def worth(outcome: Outcome) -> Section:
    """What each candidate could buy, beside what it bought."""
    section = "worth", "Advice checked", "What the advice was worth"
    rows = sorted(outcome.predictions, key=lambda row: (row.rank is None, row.rank or 0))
    if not rows:
        return Section(*section)
    caption = sentences(
        "Could buy: what an ideal part bought in the diagnosis, at most where it is a bound, about where it is an "
        f"estimate. Bought: the gain over {BASELINE} with its simultaneous interval.",
        _other_split(outcome),
        f"{figures.NONE} as advice: no rule spoke of it." if any(row.rank is None for row in rows) else "",
    )
    tables = [_predictions(outcome, measure, found) for measure, found in _by_measure(rows)]
    return Section(*section, tables=(*_captioned(tables, caption), _paid(outcome, rows)))


def _captioned(tables: Iterable[Table], caption: str) -> list[Table]:
    """Tables of one kind: only the first has to say how they are read."""
    return [replace(table, caption="" if number else caption) for number, table in enumerate(tables)]


def _predictions(outcome: Outcome, measure: str, rows: Sequence[Prediction]) -> Table:
    """One row for each candidate, in the order of the advice."""
    columns = (
        Column("advice"), *left("system"), Column("could buy"), Column("bought", "left"),
        Column("what is said", "left", wraps=True),
    )  # fmt: skip
    return Table(
        f"Prediction beside outcome: {measure}",
        columns,
        tuple(_prediction(outcome, row) for row in rows),
        keys=2,
    )


def _paid(outcome: Outcome, rows: Sequence[Prediction]) -> Table:
    """What each candidate was thought to cost, and cost."""
    costs = {
        row_label(outcome, row.system, row.seed): (
            amounts.once(row.estimated_seconds, row.estimated_dollars),
            amounts.once(row.paid_seconds, row.paid_dollars),
        )
        for row in rows
    }
    columns = (*left("system"), Column("estimated"), Column("paid"))
    caption = (
        f"One-time costs, with parts that candidates share counted for each; {figures.NONE}: no estimate was made."
    )
    return Table(
        "Cost estimated beside cost paid", columns, tuple(cells((who, *both)) for who, both in costs.items()), caption
    )


def _other_split(outcome: Outcome) -> str:
    before = outcome.diagnosis.split if outcome.diagnosis else outcome.split
    if before == outcome.split:
        return ""
    return f"Predicted on the split {before}, bought on {outcome.split}."


def _prediction(outcome: Outcome, row: Prediction) -> tuple[Cell, ...]:
    rank = figures.NONE if row.rank is None else figures.count(row.rank)
    how = "at most" if row.bound else "about"
    could = figures.NONE if figures.finite(row.could_buy) is None else f"{how} {figures.signed(row.could_buy)}"
    return (
        *cells((f"{rank}, against" if row.against else rank, row_label(outcome, row.system, row.seed))),
        Cell(could),
        Cell(amounts.gain(row.bought, row.low, row.high, row.verdict), VERDICT_TONES.get(row.verdict, "")),
        Cell(amounts.sentence(row.conclusion) or figures.NONE),
    )


# ---- returns


def returned(outcome: Outcome) -> Section:
    """What a gain costs: once, per query, and when it has paid for itself."""
    caption = (
        "In brackets: what the interval of the gain makes of the ratio, costs taken as they are (exploratory). "
        f"Break-even: after so many queries the gains have paid for the making; {figures.NONE} where that never comes, "
        "or where the suite does not price a right answer. On the front: no other system gains as much for less."
    )
    tables = [_returns(outcome, measure, rows) for measure, rows in _by_measure(outcome.roi)]
    return Section(
        "roi", "Return", "What the gains return for their cost", tuple(_fronts(outcome)),
        tuple(_captioned(tables, caption)), brief=False,
    )  # fmt: skip


def _returns(outcome: Outcome, measure: str, rows: Sequence[Roi]) -> Table:
    columns = (
        *left("system"), Column("gain"), Column("gain per $", wraps=True), Column("added p95 ms"),
        Column("gain per added 100 ms", wraps=True), Column("break-even, queries", wraps=True),
        Column("front", "left", wraps=True),
    )  # fmt: skip
    return Table(
        f"Return on what was paid: {measure}",
        columns,
        tuple(_return(outcome, row) for row in rows),
        notes=tuple(reasons(outcome, rows)),
    )


def _return(outcome: Outcome, row: Roi) -> tuple[Cell, ...]:
    beaten = figures.listed(first(row.dominated_by))
    value, low, high = (None if end is None else 100 * end for end in (row.per_ms, row.per_ms_low, row.per_ms_high))
    return cells(
        (
            row_label(outcome, row.system, row.seed),
            figures.signed(row.gain),
            amounts.between(row.per_dollar, row.per_dollar_low, row.per_dollar_high, amounts.ratio),
            amounts.added(row.added_p95_ms, figures.milliseconds),
            amounts.between(value, low, high, amounts.ratio),
            amounts.between(row.break_even, row.break_even_low, row.break_even_high, amounts.whole),
            "on the front" if row.front else f"beaten by {beaten}" if beaten else figures.NONE,
        )
    )


def _fronts(outcome: Outcome) -> Iterable[str]:
    for measure, rows in _by_measure(outcome.roi):
        front = [row_label(outcome, row.system, row.seed) for row in rows if row.front]
        beaten = sum(1 for row in rows if row.dominated_by)
        rest = f" {figures.counted(beaten, 'system is', 'systems are')} beaten by one that gains as much for less."
        if front:
            yield f"{measure}: on the front {figures.listed(front)}.{rest if beaten else ''}"


def _by_measure(rows: Iterable[Row]) -> Iterable[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.measure, []).append(row)
    return found.items()
