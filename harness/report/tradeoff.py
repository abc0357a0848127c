"""Gain against what it costs, as plain values: the points of each picture, and which of them no other beats.

It computes no number of an outcome; it only says which systems stand where. This module must not know how a point is
drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from harness.report import figures
from harness.report.view import BASELINE, View, is_rank
from harness.values.findings import SystemInfo

Unit = Literal["seconds", "milliseconds", "dollars"]
WORDS: dict[Unit, Callable[[float | None], str]] = {
    "seconds": figures.duration,
    "milliseconds": lambda value: f"{figures.milliseconds(value)} ms",
    "dollars": figures.dollars,
}


@dataclass(frozen=True)
class Point:
    """A system: its gain with its interval, and its cost. `front`: none gains as much for less."""

    label: str
    short: str
    role: Literal["baseline", "candidate"]
    gain: float
    low: float | None
    high: float | None
    verdict: str
    cost: float
    told: str
    front: bool = False


@dataclass(frozen=True)
class Picture:
    """One measure against one kind of cost; `left_out` names the systems with a gain and no such cost."""

    name: str
    measure: str
    title: str
    axis: str
    unit: Unit
    points: tuple[Point, ...]
    left_out: tuple[str, ...] = ()

    @property
    def front(self) -> list[Point]:
        """The points that no other beats, by cost."""
        return sorted((point for point in self.points if point.front), key=lambda point: (point.cost, point.gain))

    @property
    def told(self) -> str:
        """The picture in words, for who cannot see it."""
        names = figures.listed([point.label for point in self.front])
        return f"{self.title}, {figures.counted(len(self.points), 'system')}. On the Pareto front: {names}."


class _Cost(NamedTuple):
    name: str
    title: str
    axis: str
    unit: Unit
    of: Callable[[SystemInfo], float | None]


def pictures(view: View) -> tuple[Picture, ...]:
    """A picture for each gated measure and each kind of cost that any two systems have."""
    found = []
    for measure in view.gated:
        for cost in _costs(view, measure):
            picture = _picture(view, measure, cost)
            if len(picture.points) > 1:
                found.append(picture)
    return tuple(found)


def _costs(view: View, measure: str) -> tuple[_Cost, ...]:
    """Once: dollars if an endpoint was paid, else seconds. Latency: of the parts that the measure judges."""
    in_dollars = any(row.llm_dollars for row in view.outcome.ledger)
    once = (
        _Cost("make", "one-time cost", "dollars to make", "dollars", lambda info: info.build_dollars)
        if in_dollars
        else _Cost("make", "one-time cost", "time to make", "seconds", lambda info: info.build_seconds)
    )
    part = "retrieval" if is_rank(measure) else "total"
    return (
        once,
        _Cost("p95", "latency", f"{part} p95", "milliseconds", lambda info: _p95(info, part)),
        _Cost("serve", "cost to serve", "dollars per 1,000 queries", "dollars", _per_1000),
    )


def _p95(info: SystemInfo, part: str) -> float | None:
    timing = getattr(info.serving, part, None)
    return timing.p95_ms if timing else None


def _per_1000(info: SystemInfo) -> float | None:
    return info.serving.dollars_per_1000 if info.serving else None


def _picture(view: View, measure: str, cost: _Cost) -> Picture:
    points, left_out = [], []
    for info in view.deployable():
        gain = view.gain(info, measure)
        difference = 0.0 if info.name == BASELINE else figures.finite(gain.difference if gain else None)
        if difference is None:
            continue
        price = figures.finite(cost.of(info))
        if price is None:
            left_out.append(info.label)
            continue
        bounds = (figures.finite(gain.low), figures.finite(gain.high)) if gain else (None, None)
        verdict = gain.verdict if gain else "baseline"
        shown = f"{figures.signed(difference)} {figures.interval(*bounds)} {verdict}" if gain else verdict
        told = f"{info.label}: {measure} {shown}; {cost.axis} {WORDS[cost.unit](price)}"
        short = info.name if len(view.seeds) < 2 else info.label
        points.append(Point(info.label, short, info.role, difference, *bounds, verdict, price, told))
    slug = "".join(sign if sign.isalnum() else "-" for sign in measure)
    title = f"Gain in {measure} against {cost.title}"
    return Picture(
        f"{slug}-{cost.name}", measure, title, cost.axis, cost.unit, tuple(_fronted(points)), tuple(left_out)
    )


def _fronted(points: Sequence[Point]) -> list[Point]:
    """Mark the Pareto front: no other point gains at least as much for no more, and one of both for better."""
    return [
        Point(**{**vars(point), "front": True, "told": f"{point.told}; on the Pareto front"})
        if not any(_beats(other, point) for other in points)
        else point
        for point in points
    ]


def _beats(one: Point, other: Point) -> bool:
    as_good = one.gain >= other.gain and one.cost <= other.cost
    return as_good and (one.gain > other.gain or one.cost < other.cost)
