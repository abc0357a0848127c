"""Bars with their counts or intervals, and curves, drawn by matplotlib as SVG in the manner of `report.charts`.

What stands where is a plain value (`Bars`, `Line`). This module must not know diagnoses or outcomes.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report import figures
from harness.report.charts import LOG_FROM, SMALL, TEXT
from harness.report.hostile import plain
from harness.report.svg import colour, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 380
"""In points, and in pixels of the page: its texts are read on a small screen too."""
LEFT, RIGHT = 128, 66
ROW, HEAD, TOP, FOOT = 26, 27, 30, 30
LINE_HEIGHT = 250
LONGEST = 22
APART = 30
"""The least distance between the texts of two ticks."""


class Bar(NamedTuple):
    """From `start` to `end`, perhaps with an interval; `text` stands beside it, `told` is read out for it."""

    label: str
    start: float
    end: float
    tone: str
    text: str
    told: str
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
    def told(self) -> str:
        """The picture in words, for who cannot see it."""
        parts = [
            f"{heading + ': ' if heading else ''}{'; '.join(f'{bar.label} {bar.text}' for bar in bars)}."
            for heading, bars in self.groups
        ]
        return " ".join([f"{self.title}.", *parts])


class Dot(NamedTuple):
    """A value at a place, with its interval; `tick` is what the axis says there. `now`: where things stand."""

    at: float
    value: float
    low: float | None
    high: float | None
    tick: str
    told: str
    now: bool = False


@dataclass(frozen=True)
class Line:
    """A curve; `signed`: its values are differences, and no difference is drawn as a line."""

    name: str
    section: str
    title: str
    axis: str
    dots: tuple[Dot, ...]
    signed: bool = False
    note: str = ""

    @property
    def told(self) -> str:
        """The picture in words, for who cannot see it."""
        write = figures.signed if self.signed else figures.fixed
        parts = [f"{dot.tick}{' (now)' if dot.now else ''} {write(dot.value)}" for dot in self.dots]
        return f"{self.title} by {self.axis}: {', '.join(parts)}."


Plot = Bars | Line


def draw(plot: Plot, style: str = "") -> str:
    """Return a picture as SVG text; with `style` (a style sheet) as a file that stands alone."""
    if isinstance(plot, Bars):
        told = [bar.told for _, bars in plot.groups for bar in bars if bar.start != bar.end]
        return _drawn(plot, _height(plot), lambda figure: _bars(figure, plot), told, style)
    return _drawn(plot, LINE_HEIGHT, lambda figure: _line(figure, plot), [dot.told for dot in plot.dots], style)


def _drawn(plot: Plot, height: float, paint: Callable[[Figure], None], told: Sequence[str], style: str) -> str:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "harness", "font.size": TEXT}
    with matplotlib.rc_context({**settings, "text.parse_math": False}), warnings.catch_warnings():
        # Letters are drawn by whoever looks at the picture; here only their widths are guessed.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="none")
        FigureCanvasAgg(figure)
        paint(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    marks: Mapping[str, str] = {f"point-{number}": plain(one) for number, one in enumerate(told)}
    return fit(text.getvalue(), plot.name, plain(plot.told), marks, style)


# ---- bars


def _height(plot: Bars) -> float:
    return TOP + FOOT + sum(HEAD * bool(heading) + ROW * len(bars) for heading, bars in plot.groups)


def _bars(figure: Figure, plot: Bars) -> None:
    """Names to the left, numbers to the right, and a light line down at each tick."""
    height = _height(plot)
    inner = height - TOP - FOOT
    box = (LEFT / WIDTH, FOOT / height, (WIDTH - LEFT - RIGHT) / WIDTH, inner / height)
    axes = _frame(figure, box, plot.title, height)
    axes.set_ylim(inner, 0)
    axes.set_xlim(*_reach(plot))
    axes.set_yticks([])
    ticks = _ticks(axes, plot.shares)
    at, number = 0.0, 0
    for heading, bars in plot.groups:
        if heading:
            _write(axes, heading, at + HEAD * 0.62, -LEFT, "left", "muted")
            at += HEAD
        _grid(axes, ticks, at, at + ROW * len(bars))
        for bar in bars:
            middle = at + ROW / 2
            _write(axes, _shortened(bar.label), middle, -8, "right", "ink")
            _write(axes, bar.text, middle, WIDTH - LEFT - RIGHT + 8, "left", "ink")
            if bar.start != bar.end:
                _bar(axes, bar, middle, f"point-{number}")
                number += 1
            at += ROW


def _frame(figure: Figure, box: tuple[float, float, float, float], title: str, height: float) -> Axes:
    axes = figure.add_axes(box, facecolor="none")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=colour("muted"), pad=5)
    figure.text(0.005, 1 - 6 / height, title, ha="left", va="top", fontsize=TEXT, color=colour("ink"), parse_math=False)
    return axes


def _reach(plot: Bars) -> tuple[float, float]:
    if plot.shares:
        return 0.0, 1.0
    ends = [value for _, bars in plot.groups for bar in bars for value in (bar.end, bar.low, bar.high)]
    low, high = (pick(0.0, *(end for end in ends if end is not None)) for pick in (min, max))
    slack = 0.03 * ((high - low) or 1.0)
    return low - (slack if low < 0 else 0.0), high + slack


def _ticks(axes: Axes, shares: bool) -> list[float]:
    """Put ticks on the scale, and return where they are."""
    if shares:
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    else:
        axes.locator_params(axis="x", nbins=4)
        axes.xaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+.6g}")
    low, high = axes.get_xlim()
    return [float(tick) for tick in axes.get_xticks() if low <= tick <= high]


def _grid(axes: Axes, ticks: Sequence[float], top: float, bottom: float) -> None:
    """Lines behind the bars of a group; its heading stands free of them."""
    axes.vlines(ticks, top, bottom, color=colour("grid"), linewidth=1, zorder=0.5)
    axes.vlines(0, top, bottom, color=colour("muted"), linewidth=1, zorder=2.5)


def _write(axes: Axes, text: str, y: float, x: float, align: Any, tone: str) -> None:
    """Write beside the bars; `x` counts points from where they begin."""
    axes.annotate(
        plain(text), (0, y), xycoords=("axes fraction", "data"), xytext=(x, 0), textcoords="offset points", ha=align,
        va="center", fontsize=TEXT, color=colour(tone), parse_math=False, annotation_clip=False,
    )  # fmt: skip


def _bar(axes: Axes, bar: Bar, y: float, name: str) -> None:
    tone = colour(bar.tone)
    low, high = min(bar.start, bar.end), max(bar.start, bar.end)
    # A bar of next to nothing still has to be seen.
    least = 0.005 * (axes.get_xlim()[1] - axes.get_xlim()[0])
    axes.barh(
        y, max(high - low, least), left=low, height=ROW * 0.58, color=colour("paper") if bar.hollow else tone,
        edgecolor=tone, linewidth=1.5 if bar.hollow else 0, zorder=2, gid=name,
    )  # fmt: skip
    if bar.low is not None and bar.high is not None:
        axes.hlines(y, bar.low, bar.high, color=colour("ink"), linewidth=1.5, zorder=3)
        axes.vlines([bar.low, bar.high], y - 3.5, y + 3.5, color=colour("ink"), linewidth=1.5, zorder=3)


def _shortened(label: str) -> str:
    text = " ".join(plain(label).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


# ---- curves


def _line(figure: Figure, plot: Line) -> None:
    axes = _frame(figure, (0.125, 0.185, 0.84, 0.665), plot.title, LINE_HEIGHT)
    axes.set_xlabel(_axis(plot), fontsize=TEXT, color=colour("ink"), loc="right")
    _places(axes, plot)
    ends = [value for dot in plot.dots for value in (dot.value, dot.low, dot.high) if value is not None]
    low, high = (pick([*ends, *([0.0] if plot.signed else [])]) for pick in (min, max))
    slack = 0.07 * ((high - low) or 0.1)
    axes.set_ylim(low - slack, high + slack)
    axes.locator_params(axis="y", nbins=5)
    if plot.signed:
        axes.yaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+.6g}")
        axes.axhline(0, color=colour("muted"), linewidth=1, zorder=1)
    axes.grid(axis="y", color=colour("grid"), linewidth=1)
    axes.plot(
        [dot.at for dot in plot.dots], [dot.value for dot in plot.dots], color=colour("front"), linewidth=2, zorder=2
    )
    for number, dot in enumerate(plot.dots):
        _dot(axes, dot, f"point-{number}")


def _axis(plot: Line) -> str:
    return f"{plot.axis}, log scale" if _by_logarithm(plot) else plot.axis


def _by_logarithm(plot: Line) -> bool:
    places = [dot.at for dot in plot.dots]
    return min(places) > 0 and max(places) / min(places) >= LOG_FROM


def _places(axes: Axes, plot: Line) -> None:
    """A tick at each dot that has room for its text, first of all where things stand."""
    from matplotlib.ticker import FixedLocator, NullLocator

    low, high = min(dot.at for dot in plot.dots), max(dot.at for dot in plot.dots)
    if _by_logarithm(plot):
        axes.set_xscale("log")
        reach = (high / low) ** 0.05
        axes.set_xlim(low / reach, high * reach)
    else:
        slack = 0.06 * ((high - low) or 1.0)
        axes.set_xlim(low - slack, high + slack)
    across = [axes.transData.transform((dot.at, 0.5))[0] for dot in plot.dots]
    kept: list[int] = []
    for number in sorted(range(len(across)), key=lambda one: (not plot.dots[one].now, one)):
        if all(math.fabs(across[number] - across[other]) >= APART for other in kept):
            kept.append(number)
    axes.xaxis.set_major_locator(FixedLocator([plot.dots[number].at for number in kept]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([plain(plot.dots[number].tick) for number in kept])


def _dot(axes: Axes, dot: Dot, name: str) -> None:
    tone = colour("front")
    if dot.low is not None and dot.high is not None:
        axes.vlines(dot.at, dot.low, dot.high, color=tone, linewidth=1.5, alpha=0.45, zorder=2)
    if dot.now:
        axes.axvline(dot.at, color=colour("muted"), linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        axes.annotate(
            "now", (dot.at, 0), xycoords=("data", "axes fraction"), xytext=(5, 4), textcoords="offset points",
            ha="left" if _has_room(axes, dot) else "right", fontsize=SMALL, color=colour("muted"),
        )  # fmt: skip
    axes.plot(
        [dot.at], [dot.value], "D" if dot.now else "o", markersize=9 if dot.now else 7, markeredgewidth=1.5, zorder=3,
        markeredgecolor=tone, markerfacecolor=colour("paper") if dot.now else tone, gid=name, clip_on=False,
    )  # fmt: skip


def _has_room(axes: Axes, dot: Dot) -> bool:
    """Whether there is room for a word to the right of a dot."""
    across = axes.transAxes.inverted().transform(axes.transData.transform((dot.at, 0.5)))[0]
    return bool(across < 0.85)
