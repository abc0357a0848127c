"""Drawing of bars with their counts or intervals, and of curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.report.charts import canvas
from harness.report.charts.canvas import SMALL, TEXT
from harness.report.charts.svg import colour
from harness.report.charts.values import Bar, Bars, Dot, LineChart
from harness.report.untrusted import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 380.0
"""In points, and in pixels of the page: its texts are read on a small screen too."""
LEFT, RIGHT = 128, 66
ROW, HEAD, TOP, FOOT = 26, 27, 30, 30
LINE_HEIGHT = 250.0
LONGEST = 22
APART = 30
"""The least distance between the texts of two ticks."""


# ---- bars


def height(plot: Bars) -> float:
    """Return the height of a picture of bars, in points."""
    return TOP + FOOT + sum(HEAD * bool(heading) + ROW * len(bars) for heading, bars in plot.groups)


def paint_bars(figure: Figure, plot: Bars) -> None:
    """Draw bars with names to the left, numbers to the right, and a light line down at each tick."""
    high = height(plot)
    inner = high - TOP - FOOT
    axes = canvas.frame(figure, (LEFT / WIDTH, FOOT / high, (WIDTH - LEFT - RIGHT) / WIDTH, inner / high))
    _title(figure, plot.title, high)
    axes.set_ylim(inner, 0)
    axes.set_yticks([])
    ticks = _scale(axes, plot)
    at, number = 0.0, 0
    for heading, bars in plot.groups:
        if heading:
            _write(axes, heading, at + HEAD * 0.62, -LEFT, "left", "muted")
            at += HEAD
        _grid(axes, ticks, at, at + ROW * len(bars))
        for bar in bars:
            middle = at + ROW / 2
            _write(axes, canvas.shortened(bar.name, LONGEST), middle, -8, "right", "ink")
            _write(axes, bar.text, middle, WIDTH - LEFT - RIGHT + 8, "left", "ink")
            if bar.start != bar.end:
                _bar(axes, bar, middle, f"point-{number}")
                number += 1
            at += ROW


def _title(figure: Figure, title: str, high: float) -> None:
    figure.text(0.005, 1 - 6 / high, title, ha="left", va="top", fontsize=TEXT, color=colour("ink"), parse_math=False)


def _scale(axes: Axes, plot: Bars) -> list[float]:
    """Set the scale, and return where its ticks are."""
    if plot.shares:
        axes.set_xlim(0.0, 1.0)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    else:
        ends = [value for _, bars in plot.groups for bar in bars for value in (bar.end, bar.low, bar.high)]
        known = [0.0, *(end for end in ends if end is not None)]
        low, high = min(known), max(known)
        slack = 0.03 * ((high - low) or 1.0)
        axes.set_xlim(low - (slack if low < 0 else 0.0), high + slack)
        canvas.signed_scale(axes, "x", bins=4)
    low, high = axes.get_xlim()
    return [float(tick) for tick in axes.get_xticks() if low <= tick <= high]


def _grid(axes: Axes, ticks: Sequence[float], top: float, bottom: float) -> None:
    """Draw lines behind the bars of a group, not behind its heading."""
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


# ---- curves


def paint_line(figure: Figure, plot: LineChart) -> None:
    """Draw a curve with a tick at each dot that has room for its text."""
    axes = canvas.frame(figure, (0.125, 0.185, 0.84, 0.665))
    _title(figure, plot.title, LINE_HEIGHT)
    places = [dot.at for dot in plot.dots]
    logarithmic = canvas.is_logarithmic(places)
    name = f"{plot.axis}, log scale" if logarithmic else plot.axis
    axes.set_xlabel(name, fontsize=TEXT, color=colour("ink"), loc="right")
    _places(axes, plot, logarithmic)
    ends = [value for dot in plot.dots for value in (dot.value, dot.low, dot.high)]
    axes.set_ylim(*canvas.limits([*ends, *([0.0] if plot.signed else [])], 0.07))
    axes.locator_params(axis="y", nbins=5)
    if plot.signed:
        canvas.signed_scale(axes, "y")
        axes.axhline(0, color=colour("muted"), linewidth=1, zorder=1)
    axes.grid(axis="y", color=colour("grid"), linewidth=1)
    axes.plot(places, [dot.value for dot in plot.dots], color=colour("front"), linewidth=2, zorder=2)
    for number, dot in enumerate(plot.dots):
        _dot(axes, dot, f"point-{number}")


def _places(axes: Axes, plot: LineChart, logarithmic: bool) -> None:
    """Put a tick at each dot that has room for its text, first of all at the present setting."""
    low, high = min(dot.at for dot in plot.dots), max(dot.at for dot in plot.dots)
    if logarithmic:
        axes.set_xscale("log")
        reach = (high / low) ** 0.05
        axes.set_xlim(low / reach, high * reach)
    else:
        slack = 0.06 * ((high - low) or 1.0)
        axes.set_xlim(low - slack, high + slack)
    across = [axes.transData.transform((dot.at, 0.5))[0] for dot in plot.dots]
    shown: list[int] = []
    for number in sorted(range(len(across)), key=lambda place: (not plot.dots[place].now, place)):
        if all(math.fabs(across[number] - across[other]) >= APART for other in shown):
            shown.append(number)
    canvas.set_ticks(axes, [plot.dots[number].at for number in shown], [plot.dots[number].tick for number in shown])


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
    """Return whether there is room for a word to the right of a dot."""
    across = axes.transAxes.inverted().transform(axes.transData.transform((dot.at, 0.5)))[0]
    return bool(across < 0.85)
