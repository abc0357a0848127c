"""What changes without training gain, as measured by a diagnosis: a table, and each one as YAML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.diagnosis.pasted import of_training_free
from harness.report import format as fmt
from harness.report.model import Cell, Column, Item, Section, Table, cells, difference, left, number
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.insights import Diagnosis
from harness.values.training_free import SettingsGain, TrainingFree


def training_free(diagnosis: Diagnosis) -> Section:
    """Return the training-free candidates with their measured gains, best first, and how to paste each of them."""
    rows = _ordered(diagnosis)
    if not rows:
        return Section("training_free", "Without training", "What changes without training gain")
    sure = [row.name for row in rows if any(gain.is_sure for gain in row.gains)]
    said = (
        f"Significantly above the margin: {fmt.listed(sure)}." if sure else "No gain is significantly above the margin."
    )
    return Section(
        "training_free",
        "Without training",
        "What changes without training gain",
        (said,),
        tables=tuple(_table(rows, diagnosis)),
        items=tuple(Item(row.name, _lines(row), of_training_free(row)) for row in rows if _gains_some(row)),
    )


def _gains_some(row: TrainingFree) -> bool:
    """Whether it is worth pasting: a gain is significant."""
    return any(gain.verdict == "improved" for gain in row.gains)


def _ordered(diagnosis: Diagnosis) -> list[TrainingFree]:
    """Return the candidates by their gain on the first measure that they were measured on; failed ones last."""

    def place(row: TrainingFree) -> tuple[bool, float]:
        gains = (gain.difference for name in diagnosis.measures if (gain := row.gain(name)) is not None)
        return bool(row.failed), -(next(gains, None) or 0.0)

    return sorted(diagnosis.training_free, key=place)


def _table(rows: Sequence[TrainingFree], diagnosis: Diagnosis) -> Iterable[Table]:
    measures = [name for name in diagnosis.measures if any(row.gain(name) for row in rows)]
    family = sum(len(row.gains) for row in rows)
    columns = (
        *left("candidate"),
        *(Column(f"gain in {name}", "left") for name in measures),
        *(Column("added p95 ms"), Column("index size")),
        *(Column(f"{name} now", minor=True) for name in measures),
        Column("minimum detectable effect", minor=True),
    )
    caption = (
        f"Measured on the split {diagnosis.split} against untuned. Intervals are simultaneous: they hold for all "
        f"{fmt.counted(family, 'gain')} at once. Latency is that of retrieval."
    )
    yield Table(
        "Gains of changes without training",
        columns,
        tuple(_row(row, measures) for row in rows),
        caption,
        tuple(_reasons(rows)),
    )


def _row(row: TrainingFree, measures: Sequence[str]) -> tuple[Cell, ...]:
    gains = [row.gain(name) for name in measures]
    detectable = next((gain.detectable for gain in gains if gain is not None), None)
    return cells(
        row.name,
        *(_gain(gain, bool(row.failed)) for gain in gains),
        number(row.added_p95_ms, "added ms"),
        number(row.index_bytes, "bytes"),
        *(number(gain.untuned if gain else None, "mean") for gain in gains),
        number(detectable, "mean"),
    )


def _gain(gain: SettingsGain | None, failed: bool) -> Cell:
    if gain is None or finite(gain.difference) is None:
        return Cell("not computed", "failed") if failed or gain is not None else Cell(decimals.NONE)
    return difference(gain.difference, gain.low, gain.high, gain.verdict)


def _reasons(rows: Sequence[TrainingFree]) -> Iterable[str]:
    """Yield each reason once, with the candidates and measures that it holds for."""
    about: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.failed:
            about.setdefault(("failed", row.failed), []).append(row.name)
        for gain in row.gains:
            if gain.reason:
                about.setdefault((gain.measure, gain.reason), []).append(row.name)
    every = sum(not row.failed for row in rows)
    for (what, reason), names in about.items():
        who = "All" if len(names) == every and len(names) > 1 and what != "failed" else fmt.listed(names)
        yield f"{who} {what}: {fmt.bare(reason)}." if what == "failed" else f"{who}, {what}: {fmt.bare(reason)}."


def _lines(row: TrainingFree) -> tuple[tuple[str, tuple[str, ...]], ...]:
    weights = tuple(f"{name} is {weight:g}, chosen on dev." for name, weight in row.weights.items())
    return (("Weights", weights),) if weights else ()
