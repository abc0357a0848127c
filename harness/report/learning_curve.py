"""Whether more training data would pay: table, sentences and pictures of a `harness curve`.

It reads a Growth and computes nothing. This module must not know where its words are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.report import amounts, figures
from harness.report.plots import Dot, Line
from harness.report.values import VERDICT_TONES, Cell, Column, Table, cells, left
from harness.report.view import BASELINE
from harness.values.insights import CurvePoint, LearningCurve


class GrowthContents(NamedTuple):
    """The answer by measure, what to keep in mind, and the table."""

    title: str
    subject: str
    said: tuple[str, ...]
    warnings: tuple[str, ...]
    table: Table


def grown(curve: LearningCurve) -> GrowthContents:
    """Make everything that is said of a growth."""
    return GrowthContents(
        title=f"Would more training data pay for {curve.candidate}?",
        subject=f"Suite {curve.suite}, candidate {curve.candidate}, split {curve.split}, took "
        f"{figures.duration(curve.seconds)}",
        said=tuple(f"{measure}: {amounts.sentence(text)}" for measure, text in curve.said.items()),
        warnings=tuple(map(amounts.sentence, curve.notes)),
        table=_table(curve),
    )


def _table(curve: LearningCurve) -> Table:
    columns = (
        *left("measure"), Column("share"), Column("examples"), Column("mean"),
        Column(f"gain over {BASELINE}", "left"), Column("step from the share before", "left"), Column("took"),
    )  # fmt: skip
    margins = [f"{name} {figures.fixed(margin)}" for name, margin in curve.margins.items()]
    return Table(
        "By share of the training data",
        columns,
        tuple(_row(row) for row in _ordered(curve)),
        "Intervals are simultaneous." + (f" Margins: {', '.join(margins)}." if margins else ""),
        keys=2,
    )


def _ordered(curve: LearningCurve) -> list[CurvePoint]:
    """Measure by measure, each from the least share to the largest."""
    measures = list(dict.fromkeys((*curve.said, *(row.measure for row in curve.points))))
    return sorted(curve.points, key=lambda row: (measures.index(row.measure), row.share))


def _row(row: CurvePoint) -> tuple[Cell, ...]:
    verdict = row.step_verdict or ""
    return (
        *cells((row.measure, amounts.percent(row.share), figures.count(row.examples), figures.fixed(row.mean))),
        Cell(amounts.gain(row.gain, row.gain_low, row.gain_high)),
        Cell(amounts.gain(row.step, row.step_low, row.step_high, verdict), VERDICT_TONES.get(verdict, "")),
        Cell(figures.duration(row.seconds)),
    )


# ---- pictures


def growth_pictures(curve: LearningCurve) -> tuple[Line, ...]:
    """One picture for each measure that has two shares with a gain, in the order of the table."""
    rows = _ordered(curve)
    found = (_line([row for row in rows if row.measure == name]) for name in dict.fromkeys(row.measure for row in rows))
    return tuple(line for line in found if len(line.dots) > 1)


def _line(rows: Sequence[CurvePoint]) -> Line:
    """The gain with its interval: the mean, but for the mean of the untuned pipeline."""
    measure = rows[0].measure
    dots = [
        Dot(
            row.share,
            gain,
            figures.finite(row.gain_low),
            figures.finite(row.gain_high),
            amounts.percent(row.share),
            _told(row),
        )
        for row in rows
        if (gain := figures.finite(row.gain)) is not None
    ]
    slug = "".join(sign if sign.isalnum() else "-" for sign in measure)
    return Line(
        name=f"growth-{slug}", section="growth", title=f"gain in {measure} over {BASELINE}",
        axis="share of the training data", dots=tuple(dots), signed=True,
    )  # fmt: skip


def _told(row: CurvePoint) -> str:
    gain = amounts.gain(row.gain, row.gain_low, row.gain_high)
    examples = figures.counted(row.examples, "example")
    return (
        f"{amounts.percent(row.share)} of the data ({examples}): {row.measure} {figures.fixed(row.mean)}, gain {gain}"
    )
