"""Whether more training data would pay: table and sentences of a `harness curve`."""

from __future__ import annotations

from typing import NamedTuple

from harness.report import format as fmt
from harness.report.content.questions import first_line
from harness.report.model import Cell, Column, Table, cells, difference, left, number
from harness.report.view import BASELINE
from harness.text import decimals
from harness.values.insights import CurvePoint, LearningCurve


class CurveContents(NamedTuple):
    """The answer by measure, what to keep in mind, and the table."""

    synthetic: str
    title: str
    subject: str
    said: tuple[str, ...]
    warnings: tuple[str, ...]
    table: Table


def curve_contents(curve: LearningCurve) -> CurveContents:
    """Return everything that is said of a learning curve."""
    return CurveContents(
        synthetic=first_line(curve.questions),
        title=f"Would more training data pay for {curve.candidate}?",
        subject=f"Suite {curve.suite}, candidate {curve.candidate}, split {curve.split}, took "
        f"{fmt.duration(curve.seconds)}",
        said=tuple(f"{measure}: {fmt.sentence(text)}" for measure, text in curve.said.items()),
        warnings=tuple(map(fmt.sentence, curve.notes)),
        table=_table(curve),
    )


def _table(curve: LearningCurve) -> Table:
    columns = (
        *left("measure"),
        *map(Column, ("share", "examples", "mean")),
        *left(f"gain over {BASELINE}", "step from the share before"),
        Column("build time"),
    )
    margins = [f"{name} {decimals.fixed(margin)}" for name, margin in curve.margins.items()]
    return Table(
        "By share of the training data",
        columns,
        tuple(_row(row) for row in ordered(curve)),
        "Intervals are simultaneous." + (f" Margins: {', '.join(margins)}." if margins else ""),
        keys=2,
    )


def ordered(curve: LearningCurve) -> list[CurvePoint]:
    """Measure by measure, each from the least share to the largest."""
    measures = list(dict.fromkeys((*curve.said, *(row.measure for row in curve.points))))
    return sorted(curve.points, key=lambda row: (measures.index(row.measure), row.share))


def _row(row: CurvePoint) -> tuple[Cell, ...]:
    return cells(
        row.measure,
        number(row.share, "percent"),
        number(row.examples, "count"),
        number(row.mean, "mean"),
        difference(row.gain, row.gain_low, row.gain_high),
        difference(row.step, row.step_low, row.step_high, row.step_verdict or ""),
        number(row.seconds, "seconds"),
    )
