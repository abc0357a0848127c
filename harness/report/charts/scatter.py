"""Drawing of gains against costs: a mark for each system, its interval, its name, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report import format as fmt
from harness.report.charts import canvas
from harness.report.charts.canvas import MARKERS, SMALL, TEXT, tone_of
from harness.report.charts.svg import colour
from harness.report.charts.values import Scatter, ScatterPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (380.0, 300.0)
LONGEST = 28
REACH = 10
"""Distance of a label from the middle of its mark."""


class Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, wide) * max(0.0, high)


def paint(figure: Figure, picture: Scatter) -> None:
    """Draw scales and marks, then the names where they cover least."""
    axes = canvas.frame(figure, (0.145, 0.16, 0.82, 0.71))
    _scales(axes, picture)
    for number, point in enumerate(picture.points):
        _mark(axes, point, number)
    _labels(axes, picture)


def _scales(axes: Axes, picture: Scatter) -> None:
    """Draw the scales, the grid, the line of no gain, the front, and the names of the axes."""
    costs = [point.cost for point in picture.points]
    logarithmic = canvas.is_logarithmic(costs)
    low, high = min(costs), max(costs)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(low / (high / low) ** 0.08, high * (high / low) ** 0.16)
    else:
        slack = (high - low) or high or 1.0
        axes.set_xlim(max(0.0, low - 0.2 * slack) if low >= 0 else low, high + 0.18 * slack)
    left, right = axes.get_xlim()
    ticks = canvas.cost_ticks(left, right, picture.unit, logarithmic)
    canvas.set_ticks(axes, [place for place, _ in ticks], [text for _, text in ticks])
    gains = [value for point in picture.points for value in (point.gain, point.low, point.high)]
    axes.set_ylim(*canvas.limits([0.0, *gains], 0.06))
    canvas.signed_scale(axes, "y")
    axes.grid(axis="y", color=colour("grid"), linewidth=1)
    axes.axhline(0, color=colour("muted"), linewidth=1)
    axes.set_title(f"gain in {picture.measure}", loc="left", x=-0.15, fontsize=TEXT, color=colour("ink"), pad=10)
    name = picture.axis + (", log scale" if logarithmic else "")
    axes.set_xlabel(name, fontsize=TEXT, color=colour("ink"), loc="right")
    if len(picture.front) > 1:
        xs, ys = [point.cost for point in picture.front], [point.gain for point in picture.front]
        axes.plot(xs, ys, drawstyle="steps-post", color=colour("front"), linewidth=1.5, alpha=0.55, zorder=1)


def _mark(axes: Axes, point: ScatterPoint, number: int) -> None:
    tone = tone_of(point.verdict)
    if point.low is not None and point.high is not None:
        axes.vlines(point.cost, point.low, point.high, color=tone, linewidth=1.25, alpha=0.35, zorder=2)
    place = [point.cost], [point.gain]
    if point.front:
        look: dict[str, Any] = {"markersize": 15, "markerfacecolor": "none", "alpha": 0.55, "markeredgewidth": 1.5}
        axes.plot(*place, "o", markeredgecolor=colour("front"), **look, zorder=3)
    axes.plot(
        *place,
        MARKERS.get(point.verdict, "o"),
        markersize=8,
        markeredgewidth=1.5,
        zorder=4,
        markeredgecolor=tone,
        markerfacecolor=tone if point.role == "candidate" else colour("paper"),
        gid=f"point-{number}",
    )


def _labels(axes: Axes, picture: Scatter) -> None:
    """Write names beside marks, those of the front first, each where it covers least; one with no room is left out."""
    figure: Any = axes.figure
    room = Box(*axes.get_window_extent(figure.canvas.get_renderer()).padded(2).extents)
    places = {id(point): axes.transData.transform((point.cost, point.gain)) for point in picture.points}
    taken = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    faint = [box for point in picture.points if (box := _bar(axes, point)) is not None]
    ordered = sorted(picture.points, key=lambda point: (not point.front, point.role == "baseline"))
    for number, point in enumerate(ordered):
        text = canvas.shortened(point.short, LONGEST)
        size = canvas.text_size(figure, text, SMALL)
        x, y = places[id(point)]
        tries = [_around(x, y, size, place) for place in range(8)]
        costs = [_covered(box, room, taken, faint) for box, _ in tries]
        best = min(range(len(tries)), key=costs.__getitem__)
        if costs[best] >= (400 if point.front else 60):
            continue
        box, align = tries[best]
        taken.append(box)
        at = {"left": box.left, "right": box.right, "center": (box.left + box.right) / 2}[align]
        axes.annotate(
            text,
            (at, (box.bottom + box.top) / 2),
            xycoords="figure pixels",
            ha=align,
            va="center",
            fontsize=SMALL,
            color=colour("ink" if point.role == "candidate" else "muted"),
            parse_math=False,
            zorder=5,
            gid=f"label-{number}",
        )


def _bar(axes: Axes, point: ScatterPoint) -> Box | None:
    if point.low is None or point.high is None:
        return None
    x, bottom = axes.transData.transform((point.cost, point.low))
    top = axes.transData.transform((point.cost, point.high))[1]
    return Box(x - 1, bottom, x + 1, top)


def _around(x: float, y: float, size: tuple[float, float], place: int) -> tuple[Box, Any]:
    """Return a box for a label and its alignment: right, left, then the corners, then above and below."""
    wide, high = size
    side = (1, -1, 1, 1, -1, -1, 0, 0)[place]
    level = (0, 0, 1, -1, 1, -1, 1, -1)[place]
    reach = REACH if level == 0 else 4
    left = {1: x + reach, -1: x - reach - wide, 0: x - wide / 2}[side]
    middle = y + level * (high / 2 + REACH - (2 if side else 0))
    align = {1: "left", -1: "right", 0: "center"}[side]
    return Box(left, middle - high / 2, left + wide, middle + high / 2), align


def _covered(box: Box, room: Box, taken: Sequence[Box], faint: Sequence[Box]) -> float:
    """Return how much a label would hide: names and marks count fully, intervals a little; the frame is kept free."""
    outside = max(0.0, (box.right - box.left) * (box.top - box.bottom) - box.overlap(room))
    return 100 * outside + sum(map(box.overlap, taken)) * 4 + sum(map(box.overlap, faint)) * 0.6


def legend(pictures: Sequence[Scatter]) -> str:
    """Return what the marks of some pictures mean, in one sentence."""
    words = {"^": "triangle up", "v": "triangle down", "s": "square", "o": "circle", "D": "diamond"}
    verdicts = dict.fromkeys(point.verdict for picture in pictures for point in picture.points)
    shapes = fmt.listed([f"{words[MARKERS.get(verdict, 'o')]} {verdict}" for verdict in verdicts])
    return f"Marks: {shapes}; filled: candidates, hollow: baseline rows; ringed and joined: the Pareto front."


def left_out(pictures: Sequence[Scatter]) -> tuple[str, ...]:
    """Return which systems a picture lacks, because their cost is not known."""
    return tuple(
        f"{picture.title}: {fmt.listed(picture.left_out)} not shown, cost not known."
        for picture in pictures
        if picture.left_out
    )
