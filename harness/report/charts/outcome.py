"""What the pictures of an outcome show: gains with intervals, and gains against costs. It computes no number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from harness.report import format as fmt
from harness.report.charts.values import COSTS, CostUnit, Forest, Mark, Panel, Scatter, ScatterPoint
from harness.report.content.comparisons import comparison_cell
from harness.report.view import BASELINE, View, is_rank, less_is_better
from harness.statistics.roi import CostPosition, dominated_by
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.findings import Comparison, SystemInfo
from harness.values.systems import BOUNDS

PANELS = 3
"""Measures side by side in one picture; with more, there is a second picture."""


# ---- gains with intervals


def forests(view: View) -> tuple[Forest, ...]:
    """Return pictures of all gains of systems that could be served; none if nothing was compared."""
    measures = [name for name in view.gated if any(key[2] == name for key in view.gains)]
    shown = [
        info for info in view.systems if info.name not in BOUNDS and any(view.gain(info, name) for name in measures)
    ]
    if not shown:
        return ()
    parts = [measures[start : start + PANELS] for start in range(0, len(measures), PANELS)]
    return tuple(
        Forest(
            "gains" if number == 1 else f"gains-{number}",
            tuple(info.label for info in shown),
            tuple(info.role for info in shown),
            tuple(_panel(view, shown, name) for name in part),
        )
        for number, part in enumerate(parts, start=1)
    )


def _panel(view: View, shown: Sequence[SystemInfo], measure: str) -> Panel:
    gains = [(info, view.gain(info, measure)) for info in shown]
    margin = max((row.margin for _, row in gains if row), default=0.0)
    marks = tuple(_mark(info, row) if row else None for info, row in gains)
    return Panel(measure, margin, less_is_better(measure), marks)


def _mark(info: SystemInfo, row: Comparison) -> Mark:
    low, high = finite(row.low), finite(row.high)
    if low is None or high is None:
        low = high = None
    label = f"{info.label}: {row.measure} {fmt.cell_text(comparison_cell(row))}"
    return Mark(finite(row.difference), low, high, row.verdict, label)


# ---- gains against costs


class _Cost(NamedTuple):
    name: str
    title: str
    axis: str
    unit: CostUnit
    of: Callable[[SystemInfo], float | None]


def scatters(view: View) -> tuple[Scatter, ...]:
    """Return a picture for each gated measure and each kind of cost that any two systems have."""
    pictures = (_scatter(view, measure, cost) for measure in view.gated for cost in _costs(view, measure))
    return tuple(picture for picture in pictures if len(picture.points) > 1)


def _costs(view: View, measure: str) -> tuple[_Cost, ...]:
    """Return build cost (dollars if an endpoint was paid, else seconds), latency of what is judged, serving cost."""
    in_dollars = any(row.llm_dollars for row in view.outcome.ledger)
    build = (
        _Cost("make", "build cost", "build cost in dollars", "dollars", lambda info: info.build_dollars)
        if in_dollars
        else _Cost("make", "build cost", "build time", "seconds", lambda info: info.build_seconds)
    )
    part = "retrieval" if is_rank(measure) else "total"
    return (
        build,
        _Cost("p95", "latency", f"{part} p95", "milliseconds", lambda info: _p95(info, part)),
        _Cost("serve", "serving cost", "dollars per 1,000 queries", "dollars", _per_1000),
    )


def _p95(info: SystemInfo, part: str) -> float | None:
    timing = getattr(info.serving, part, None)
    return timing.p95_ms if timing and not timing.noisy else None


def _per_1000(info: SystemInfo) -> float | None:
    serving = info.serving
    return None if serving is None or (serving.total and serving.total.noisy) else serving.dollars_per_1000


def _scatter(view: View, measure: str, cost: _Cost) -> Scatter:
    points, left_out = [], []
    for info in view.deployable():
        gain = view.gain(info, measure)
        difference = 0.0 if info.name == BASELINE else finite(gain.difference if gain else None)
        if difference is None:
            continue
        price = finite(cost.of(info))
        if price is None:
            left_out.append(info.label)
            continue
        low, high = (finite(gain.low), finite(gain.high)) if gain else (None, None)
        verdict = gain.verdict if gain else "baseline"
        shown = decimals.difference(difference, low, high, verdict) if gain else verdict
        label = f"{info.label}: {measure} {shown}; {cost.axis} {COSTS[cost.unit](price)}"
        short = info.name if len(view.seeds) < 2 else info.label
        points.append(ScatterPoint(info.label, short, info.role, difference, low, high, verdict, price, label))
    title = f"Gain in {measure} against {cost.title}"
    name = f"{fmt.slug(measure)}-{cost.name}"
    return Scatter(name, measure, title, cost.axis, cost.unit, tuple(with_front(points)), tuple(left_out))


def with_front(points: Sequence[ScatterPoint]) -> list[ScatterPoint]:
    """Return the points, those on the Pareto front marked."""
    beaten = dominated_by({str(place): CostPosition(point.gain, (point.cost,)) for place, point in enumerate(points)})
    return [
        point if beaten[str(place)] else replace(point, front=True, label=f"{point.label}; on the Pareto front")
        for place, point in enumerate(points)
    ]
