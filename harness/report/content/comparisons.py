"""Tables of comparisons, each row with all that its verdict rests on: of an outcome, of a gate, of two run files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from harness.report import format as fmt
from harness.report.model import (
    VERDICT_TONES,
    Cell,
    Column,
    Table,
    difference,
    interval,
    join,
    left,
    number,
    queries_and_groups,
)
from harness.report.view import BASELINE, View, row_label
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.findings import Comparison, SystemInfo

MDE = "minimum detectable effect"
Labels = Mapping[tuple[str, int], str]


def comparison_cell(row: Comparison) -> Cell:
    """Return the cell of a difference with its verdict, or the verdict alone where there is no difference."""
    if finite(row.difference) is None:
        failed = f" ({fmt.count(row.failed)})" if row.verdict == "failed" and row.failed else ""
        return Cell(row.verdict + failed, VERDICT_TONES.get(row.verdict, ""))
    return difference(row.difference, row.low, row.high, row.verdict)


def gain_cell(view: View, info: SystemInfo, measure: str) -> Cell:
    """Return the cell of a system's gain on a measure; of one that has none, why."""
    comparison = view.gain(info, measure)
    if comparison is None:
        return Cell("failed", "failed") if info.failed else Cell("baseline" if info.name == BASELINE else decimals.NONE)
    return comparison_cell(comparison)


def comparisons(view: View, family: Literal["gain", "untrained", "regression"]) -> Table | None:
    """Return every comparison of a family with all that its verdict rests on."""
    best = view.outcome.best_untrained
    against, change = {
        "gain": (BASELINE, "gain"),
        "untrained": (f"{best.system if best else BASELINE}, the best without training", "gain"),
        "regression": ("the accepted scores", "change"),
    }[family]
    return _family(view, family, f"Difference from {against}, in full", change, "")


def advisory(view: View) -> Table | None:
    """Return the gains in what an LLM judged."""
    caption = (
        "Advisory: no gate rests on it. Only queries that both systems answered are compared, which favours a system "
        "that abstains on hard queries. A gain is an improvement, also where less is better."
    )
    return _family(view, "advisory", f"LLM-judged measures, against {BASELINE}", "gain", caption)


def _family(view: View, family: str, title: str, change: str, caption: str) -> Table | None:
    rows = [row for row in view.outcome.comparisons if row.family == family]
    labels = {(row.system, row.seed): row_label(view.outcome, row.system, row.seed) for row in rows}
    return compared(rows, labels, title, change=change, caption=caption) if rows else None


def compared(
    rows: Sequence[Comparison], labels: Labels, title: str, *, change: str = "difference", caption: str = ""
) -> Table:
    """Return a table of comparisons whose intervals hold together; `labels` go by name and seed of a system."""
    columns = (
        *left("system", "measure"),
        Column(change),
        Column("simultaneous interval", "left"),
        *(Column(name, minor=True) for name in ("p", "margin", MDE, "queries / groups")),
        Column("verdict", "left"),
    )
    return Table(
        title,
        columns,
        tuple((Cell(_label(labels, row)), Cell(row.measure), *comparison_cells(row)) for row in rows),
        join(
            caption,
            "p and the intervals are adjusted for all rows of this table.",
            f"{MDE.capitalize()}: a smaller difference would not have shown.",
            "" if all(row.margin for row in rows) else "Without a margin, no difference is called equivalent.",
        ),
        tuple(_reasons(rows, labels)),
        keys=2,
    )


def comparison_cells(row: Comparison) -> tuple[Cell, ...]:
    """Return difference, interval, p, margin, MDE, queries and verdict of a comparison."""
    return (
        number(row.difference, "difference"),
        interval(row.low, row.high),
        number(row.p_value, "p"),
        number(row.margin or None, "mean"),
        number(row.detectable, "mean"),
        queries_and_groups(row.n_queries, row.n_groups),
        Cell(row.verdict, VERDICT_TONES.get(row.verdict, "")),
    )


def _label(labels: Labels, row: Comparison) -> str:
    return labels.get((row.system, row.seed), row.system)


def _reasons(rows: Sequence[Comparison], labels: Labels) -> Iterable[str]:
    """Return each reason once, with the systems and measures that it is about."""
    about: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        failed = fmt.counted(row.failed, "failed score") if row.failed else ""
        why = "; ".join(part for part in (fmt.bare(row.reason), failed) if part)
        if why:
            about.setdefault((why, row.measure), []).append(_label(labels, row))
    shared: dict[tuple[str, str], list[str]] = {}
    for (why, measure), names in about.items():
        shared.setdefault((why, fmt.listed(names)), []).append(measure)
    return (f"{who}, {fmt.listed(measures)}: {why}." for (why, who), measures in shared.items())
