"""Pictures as plain values: what is where, and what is read out for each mark. `charts.draw` draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from harness.report import format as fmt
from harness.report.view import BASELINE
from harness.text import decimals

Role = Literal["baseline", "candidate"]
CostUnit = Literal["seconds", "milliseconds", "dollars"]
COSTS: Mapping[CostUnit, Callable[[float | None], str]] = {
    "seconds": fmt.duration,
    "milliseconds": lambda value: f"{fmt.milliseconds(value)} ms",
    "dollars": fmt.dollars,
}


class Mark(NamedTuple):
    """A gain on one measure: bounds are None where there are none, and so is a gain that could not be measured."""

    gain: float | None
    low: float | None
    high: float | None
    verdict: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One measure: its margin, and a mark for each system, in their order; None where nothing was compared."""

    measure: str
    margin: float
    lower: bool
    marks: tuple[Mark | None, ...]


@dataclass(frozen=True)
class Forest:
    """Gains with intervals: systems by measures; `roles` and `systems` name the rows of every panel."""

    name: str
    systems: tuple[str, ...]
    roles: tuple[Role, ...]
    panels: tuple[Panel, ...]
    section: str = ""
    note: str = ""

    @property
    def marks(self) -> list[str]:
        """What is read out for each mark, in the order in which they are drawn."""
        return [mark.label for panel in self.panels for mark in panel.marks if mark is not None]

    @property
    def description(self) -> str:
        """The picture in words."""
        parts = []
        for panel in self.panels:
            named = {
                verdict: [
                    name
                    for name, mark in zip(self.systems, panel.marks, strict=True)
                    if mark and mark.verdict == verdict
                ]
                for verdict in ("improved", "regressed")
            }
            said = [f"{fmt.listed(names)} {verdict}" for verdict, names in named.items() if names]
            parts.append(f"{panel.measure}: {'; '.join(said) or 'none improved or regressed'}.")
        return f"Gains over {BASELINE} with simultaneous intervals. {' '.join(parts)}"


@dataclass(frozen=True)
class ScatterPoint:
    """A system: its gain with its interval, and its cost. `front`: none gains as much for less."""

    system: str
    short: str
    role: Role
    gain: float
    low: float | None
    high: float | None
    verdict: str
    cost: float
    label: str
    front: bool = False


@dataclass(frozen=True)
class Scatter:
    """Gain against one kind of cost; `left_out` names the systems with a gain and no such cost."""

    name: str
    measure: str
    title: str
    axis: str
    unit: CostUnit
    points: tuple[ScatterPoint, ...]
    left_out: tuple[str, ...] = ()
    section: str = ""
    note: str = ""

    @property
    def front(self) -> list[ScatterPoint]:
        """The points that no other dominates, by cost."""
        return sorted((point for point in self.points if point.front), key=lambda point: (point.cost, point.gain))

    @property
    def marks(self) -> list[str]:
        return [point.label for point in self.points]

    @property
    def description(self) -> str:
        """The picture in words."""
        names = fmt.listed([point.system for point in self.front])
        return f"{self.title}, {fmt.counted(len(self.points), 'system')}. On the Pareto front: {names}."


class Bar(NamedTuple):
    """From `start` to `end`, perhaps with an interval; `text` stands beside it, `label` is read out for it."""

    name: str
    start: float
    end: float
    tone: str
    text: str
    label: str
    low: float | None = None
    high: float | None = None
    hollow: bool = False


@dataclass(frozen=True)
class Bars:
    """Groups of bars, each under a heading (none if it is empty), on one scale: shares of a whole, or differences."""

    name: str
    section: str
    title: str
    groups: tuple[tuple[str, tuple[Bar, ...]], ...]
    shares: bool = False
    note: str = ""

    @property
    def marks(self) -> list[str]:
        return [bar.label for _, bars in self.groups for bar in bars if bar.start != bar.end]

    @property
    def description(self) -> str:
        """The picture in words."""
        parts = [
            f"{heading + ': ' if heading else ''}{'; '.join(f'{bar.name} {bar.text}' for bar in bars)}."
            for heading, bars in self.groups
        ]
        return " ".join([f"{self.title}.", *parts])


class Dot(NamedTuple):
    """A value at a place, with its interval; `tick` is the text of the axis there. `now`: the present setting."""

    at: float
    value: float
    low: float | None
    high: float | None
    tick: str
    label: str
    now: bool = False


@dataclass(frozen=True)
class LineChart:
    """A curve; `signed`: its values are differences, and zero is drawn as a line."""

    name: str
    section: str
    title: str
    axis: str
    dots: tuple[Dot, ...]
    signed: bool = False
    note: str = ""

    @property
    def marks(self) -> list[str]:
        return [dot.label for dot in self.dots]

    @property
    def description(self) -> str:
        """The picture in words."""
        write = decimals.signed if self.signed else decimals.fixed
        parts = [f"{dot.tick}{' (now)' if dot.now else ''} {write(dot.value)}" for dot in self.dots]
        return f"{self.title} by {self.axis}: {', '.join(parts)}."


Chart = Forest | Scatter | Bars | LineChart
