"""What indexes of other libraries lose against exact search, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import format as fmt
from harness.report.model import Cell, Column, Table, cells, left, number, within
from harness.report.view import View, row_label
from harness.text import decimals
from harness.values.indexes import LostByIndex

UNKNOWN = "not known"


def indexes(view: View) -> Table | None:
    """Return a row for each system with an index; None if there is none."""
    rows = view.outcome.indexes
    if not rows:
        return None
    measure = next((row.measure for row in rows if row.measure), "ndcg@10")
    columns = (
        *left("system"),
        Column("index", "left", wraps=True, minor=True),
        Column("recall of 10"),
        Column(f"recall of {_depths(rows)}", minor=True),
        Column(f"{measure} float32 exact", minor=True),
        Column("quantisation", "left", minor=True),
        Column("index loss", "left"),
        Column(f"{measure} index"),
        Column("p50 ms", starts=True, minor=True),
        Column("p95 ms"),
        Column("on disk"),
        Column("memory", minor=True),
        Column("build time"),
    )
    caption = (
        "Recall: share of the nearest neighbours of exact search in the same stored vectors. Differences are in "
        f"{measure} of the first stage alone: quantisation is exact search in the stored vectors against float32, "
        "index loss is the index against that. Their intervals hold for this table at once (exploratory). Latency "
        "includes the encoding of the query. Memory is known of indexes that are searched in this process."
    )
    return Table(
        "Indexes: what they lose, and what they cost",
        columns,
        tuple(_row(view, row) for row in rows),
        caption,
        tuple(_notes(view, rows)),
        name="indexes",
    )


def _depths(rows: Sequence[LostByIndex]) -> str:
    return fmt.span([row.depth for row in rows], fmt.count)


def _row(view: View, row: LostByIndex) -> tuple[Cell, ...]:
    return cells(
        row_label(view.outcome, row.system, row.seed),
        row.index,
        number(row.recall_10, "mean"),
        number(row.recall_depth, "mean"),
        number(row.float32, "mean"),
        _lost(row.quantisation, row.quantisation_low, row.quantisation_high),
        _lost(row.loss, row.loss_low, row.loss_high),
        number(row.indexed, "mean"),
        number(row.p50_ms, "ms"),
        number(row.p95_ms, "ms"),
        number(row.size_bytes, "bytes") if row.size_bytes is not None else Cell(UNKNOWN),
        number(row.memory_bytes, "bytes") if row.memory_bytes is not None else Cell(UNKNOWN),
        number(row.build_seconds, "seconds"),
    )


def _lost(value: float | None, low: float | None, high: float | None) -> Cell:
    return Cell(decimals.NONE) if value is None else within(value, low, high, "difference")


def _notes(view: View, rows: Sequence[LostByIndex]) -> Iterable[str]:
    for row in rows:
        who = row_label(view.outcome, row.system, row.seed)
        if row.reason:
            yield f"{who} was not compared: {fmt.bare(row.reason)}."
        if row.short:
            yield f"{who}: {fmt.counted(row.short, 'list')} of the index have fewer passages than were asked for."
