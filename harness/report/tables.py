"""The tables of a report as plain values, made once, so that a terminal and a file show the same numbers.

Here are the tables that answer the suite's question: quality, gain, cost, and how surely. This module must not know
how a table is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from harness.report import figures
from harness.report.values import VERDICT_TONES, Cell, Column, Table, cells, left, sentences
from harness.report.view import BASELINE, View, identical, is_rank, less_is_better, row_label
from harness.values.findings import Comparison, SystemInfo

EXPLORATORY = "°"
PARTIAL = "†"
BEST_NOTE = "Bold: the best among systems that could be deployed and have no failed score."


def quality(view: View) -> Table:
    """One row per system, one column per measure."""
    rank, answers = ([name for name in view.measures if is_rank(name) == wanted] for wanted in (True, False))
    columns = left("system") + [
        Column(_measure_name(view, name), starts=bool(rank) and name in answers[:1]) for name in view.measures
    ]
    best = {name: _best(view, name) for name in view.measures}
    rows = [
        (Cell(info.label), *(_mean_cell(view, info, name, best[name]) for name in view.measures))
        for info in view.systems
    ]
    gated = f"Gated: {figures.listed(list(view.gated))}." if view.gated else "No measure is gated."
    has_exploratory = set(view.measures) - set(view.gated)
    exploratory = f"{EXPLORATORY} exploratory: no verdict rests on it." if has_exploratory else ""
    return Table(
        "Does tuning pay?",
        tuple(columns),
        tuple(rows),
        sentences(f"Means over {_populations(view)}.", gated, exploratory)
        if view.measures
        else "Nothing was measured.",
        tuple(_partial_notes(view)),
        upper=_references(view.systems),
    )


def _measure_name(view: View, name: str) -> str:
    return name if name in view.gated else name + EXPLORATORY


def _best(view: View, measure: str) -> str:
    """The best mean as it is shown, or nothing if there is no contest."""
    means = [mean for info in view.deployable() if (mean := view.mean(info, measure)) is not None]
    shown = {figures.fixed(mean) for mean in means}
    best = min if less_is_better(measure) else max
    return figures.fixed(best(means)) if len(shown) > 1 else ""


def _mean_cell(view: View, info: SystemInfo, measure: str, best: str) -> Cell:
    summary = view.summary(info, measure)
    if summary is None:
        return Cell("failed", "failed") if info.failed else Cell(figures.NONE)
    text = figures.fixed(summary.mean)
    if text == figures.NONE:
        return Cell(f"failed ({figures.count(summary.failed)})", "failed") if summary.failed else Cell(text)
    if summary.failed:
        return Cell(text + PARTIAL)
    return Cell(text, "best" if text == best and info in view.deployable() else "")


def _populations(view: View) -> str:
    """``246 queries (ndcg@10, mrr@10) and 120 queries (utility)``."""
    groups: dict[int, list[str]] = {}
    for name in view.measures:
        size = max(row.n + row.failed for row in view.outcome.summaries if row.measure == name)
        groups.setdefault(size, []).append(name)
    return figures.listed(
        [f"{figures.counted(size, 'query', 'queries')} ({', '.join(names)})" for size, names in groups.items()]
    )


def _partial_notes(view: View) -> Iterable[str]:
    for info in view.systems:
        parts = [
            f"{name} {figures.count(row.failed)} of {figures.count(row.n + row.failed)}"
            for name in view.measures
            if (row := view.summary(info, name)) and row.failed and figures.finite(row.mean) is not None
        ]
        if parts:
            yield f"{PARTIAL} mean over the queries that have a score; {info.label} failed on: {', '.join(parts)}."


def gains(view: View) -> Table | None:
    """Gain of every system on every gated measure, with interval and verdict."""
    if not view.gains:
        return None
    shown = [
        info
        for info in view.systems
        if any(view.gain(info, name) for name in view.gated) or info.name == BASELINE or info.failed
    ]
    rows = [(Cell(info.label), *(gain_cell(view, info, name) for name in view.gated)) for info in shown]
    notes = [f"{info.label}: identical {what} to {whom}." for info in view.systems for what, whom in identical(info)]
    return Table(
        f"Gain over {BASELINE}, with verdict",
        (Column("system", "left"), *(Column(name, "left") for name in view.gated)),
        tuple(rows),
        "Intervals are simultaneous: they hold for all gains of this table at once.",
        tuple(notes),
        upper=_references(shown),
    )


def _references(systems: Iterable[SystemInfo]) -> int:
    return sum(info.role == "baseline" for info in systems)


def gain_cell(view: View, info: SystemInfo, measure: str) -> Cell:
    """``+0.041 [+0.012, +0.070] improved``, or why there is no such thing."""
    comparison = view.gain(info, measure)
    if comparison is None:
        return Cell("failed", "failed") if info.failed else Cell("baseline" if info.name == BASELINE else figures.NONE)
    return Cell(difference_text(comparison), VERDICT_TONES.get(comparison.verdict, ""))


def difference_text(comparison: Comparison) -> str:
    if figures.finite(comparison.difference) is None:
        count = f" ({figures.count(comparison.failed)})" if comparison.verdict == "failed" and comparison.failed else ""
        return comparison.verdict + count
    bounds = figures.interval(comparison.low, comparison.high)
    text = sentences(
        figures.signed(comparison.difference), bounds if bounds != figures.NONE else "", comparison.verdict
    )
    return figures.Shown(text, comparison.difference or 0.0)


def cost(view: View) -> Table:
    """What each system costs to make and to serve, beside its gain."""
    first = view.gated[0] if view.gains else ""
    columns = [
        *left("system"),
        Column("to make"),
        Column("$ to make"),
        *([Column(f"gain {first}")] if first else []),
        Column("retrieval p50 ms", starts=True),
        Column("retrieval p95 ms"),
        Column("total p95 ms"),
        Column("$ per 1,000 queries"),
    ]
    return Table(
        "What it costs, beside the gain",
        tuple(columns),
        tuple(_cost_row(view, info, first) for info in view.systems),
        sentences(
            "Cost to make is paid once, the rest per query (exploratory, this machine only).",
            _probe_sizes(view),
            _sharing(view),
        ),
        upper=_references(view.systems),
    )


def _sharing(view: View) -> str:
    """How much was made once for several systems."""
    planned, alone = view.outcome.calls_planned, view.outcome.calls_without_sharing
    if not planned:
        return ""
    return f"Stage calls: {figures.count(planned)} distinct; {figures.count(alone)} if nothing were shared."


def _cost_row(view: View, info: SystemInfo, first: str) -> tuple[Cell, ...]:
    serving = info.serving
    retrieval, total = (serving.retrieval, serving.total) if serving else (None, None)
    comparison = view.gain(info, first)
    gain = (
        Cell(figures.signed(comparison.difference), VERDICT_TONES.get(comparison.verdict, "")) if comparison else None
    )
    return (
        *cells((info.label, figures.duration(info.build_seconds), figures.dollars(info.build_dollars))),
        *((gain or gain_cell(view, info, first),) if first else ()),
        Cell(figures.milliseconds(retrieval.p50_ms if retrieval else None)),
        Cell(figures.milliseconds(retrieval.p95_ms if retrieval else None)),
        Cell(figures.milliseconds(total.p95_ms if total else None)),
        Cell(figures.dollars(serving.dollars_per_1000 if serving else None)),
    )


def _probe_sizes(view: View) -> str:
    """How many single queries the latencies stand on."""
    servings = [info.serving for info in view.systems if info.serving]
    parts = []
    for name, timings in (
        ("retrieval", [serving.retrieval for serving in servings if serving.retrieval]),
        ("total", [serving.total for serving in servings if serving.total]),
    ):
        sizes = sorted({timing.n for timing in timings})
        if sizes:
            parts.append(f"{name} {' to '.join(dict.fromkeys(figures.count(n) for n in (sizes[0], sizes[-1])))}")
    return f"Single queries timed: {', '.join(parts)}." if parts else "No latency was measured."


def comparisons(view: View, family: Literal["gain", "regression"]) -> Table | None:
    """Every comparison of a family with all that its verdict rests on."""
    against = BASELINE if family == "gain" else "the accepted scores"
    change = "gain" if family == "gain" else "change"
    return compared(view, family, f"What differs from {against}, and how surely", change, "")


def compared(view: View, family: str, title: str, change: str, caption: str) -> Table | None:
    """The table of a family; None if nothing of it was compared."""
    found = [row for row in view.outcome.comparisons if row.family == family]
    if not found:
        return None
    columns = [
        *left("system", "measure"),
        Column(change),
        Column("simultaneous interval", "left"),
        *(Column(name) for name in ("p", "margin", "smallest detectable", "queries / groups")),
        Column("verdict", "left"),
    ]
    adjusted = "p is adjusted for all rows of this table."
    least = "Smallest detectable: a smaller difference would not have shown."
    return Table(
        title,
        tuple(columns),
        tuple(_comparison_row(view, row) for row in found),
        sentences(caption, adjusted, least),
        tuple(_reasons(view, found)),
        keys=2,
    )


def _comparison_row(view: View, row: Comparison) -> tuple[Cell, ...]:
    return (
        *cells((row_label(view.outcome, row.system, row.seed), row.measure, figures.signed(row.difference))),
        *cells((figures.interval(row.low, row.high), figures.p_value(row.p_value), figures.fixed(row.margin))),
        Cell(figures.fixed(row.detectable)),
        Cell(f"{figures.count(row.n_queries)} / {figures.count(row.n_groups)}"),
        Cell(row.verdict, VERDICT_TONES.get(row.verdict, "")),
    )


def _reasons(view: View, rows: Sequence[Comparison]) -> Iterable[str]:
    for row in rows:
        failed = f"{figures.counted(row.failed, 'failed score')}" if row.failed else ""
        why = "; ".join(part for part in (row.reason, failed) if part)
        if why:
            yield f"{row_label(view.outcome, row.system, row.seed)}, {row.measure}: {why}."
