"""Pictures of what tuning gains against what it costs, drawn by matplotlib as SVG.

A report holds them in its page; the same pictures lie as files beside the Markdown. This module must not know
outcomes; it draws what `report.tradeoff` says.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report import figures
from harness.report.hostile import plain
from harness.report.svg import colour, fit
from harness.report.ticks import ticks
from harness.report.tradeoff import Picture, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 380, 300
TEXT, SMALL = 11.0, 10.0
MARKERS = {"improved": "^", "regressed": "v", "equivalent": "s", "inconclusive": "o", "baseline": "D"}
LOG_FROM = 20
"""A cost whose largest value is so many times its least is drawn by its logarithm."""
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


def draw(picture: Picture, style: str = "") -> str:
    """Return a picture as SVG text; with `style` (a style sheet) as a file that stands alone."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "harness", "font.size": TEXT}
    with matplotlib.rc_context({**settings, "text.parse_math": False}), warnings.catch_warnings():
        # Letters are drawn by whoever looks at the picture; here only their widths are guessed.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72, facecolor="none")
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.145, 0.16, 0.82, 0.71), facecolor="none")
        _frame(axes, picture)
        for number, point in enumerate(picture.points):
            _mark(axes, point, number)
        _labels(axes, picture)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    marks = {f"point-{number}": plain(point.told) for number, point in enumerate(picture.points)}
    return fit(text.getvalue(), picture.name, plain(picture.told), marks, style)


def _frame(axes: Axes, picture: Picture) -> None:
    """Scales, grid, the line of no gain, the front, and what the axes are."""
    costs = [point.cost for point in picture.points]
    by_logarithm = min(costs) > 0 and max(costs) / min(costs) >= LOG_FROM
    _across(axes, costs, by_logarithm, picture)
    reached = [0.0, *(value for point in picture.points for value in (point.gain, point.low, point.high) if value)]
    slack = 0.06 * ((max(reached) - min(reached)) or 0.1)
    axes.set_ylim(min(reached) - slack, max(reached) + slack)
    axes.yaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+.6g}")
    axes.locator_params(axis="y", nbins=5)
    axes.grid(axis="y", color=colour("grid"), linewidth=1)
    axes.axhline(0, color=colour("muted"), linewidth=1)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=colour("muted"), pad=5)
    axes.set_title(f"gain in {picture.measure}", loc="left", x=-0.15, fontsize=TEXT, color=colour("ink"), pad=10)
    axes.set_xlabel(
        picture.axis + (", log scale" if by_logarithm else ""), fontsize=TEXT, color=colour("ink"), loc="right"
    )
    front = picture.front
    if len(front) > 1:
        xs, ys = [point.cost for point in front], [point.gain for point in front]
        axes.plot(xs, ys, drawstyle="steps-post", color=colour("front"), linewidth=1.5, alpha=0.55, zorder=1)


def _across(axes: Axes, costs: Sequence[float], by_logarithm: bool, picture: Picture) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    low, high = min(costs), max(costs)
    if by_logarithm:
        axes.set_xscale("log")
        axes.set_xlim(low / (high / low) ** 0.08, high * (high / low) ** 0.16)
    else:
        slack = (high - low) or high or 1.0
        axes.set_xlim(max(0.0, low - 0.2 * slack) if low >= 0 else low, high + 0.18 * slack)
    left, right = axes.get_xlim()
    found = ticks(left, right, picture.unit, by_logarithm)
    axes.xaxis.set_major_locator(FixedLocator([value for value, _ in found]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([text for _, text in found])


def _mark(axes: Axes, point: Point, number: int) -> None:
    tone = colour(_tone(point))
    if point.low is not None and point.high is not None:
        axes.vlines(point.cost, point.low, point.high, color=tone, linewidth=1.25, alpha=0.35, zorder=2)
    if point.front:
        axes.plot(
            [point.cost], [point.gain], "o", markersize=15, markerfacecolor="none", markeredgewidth=1.5, zorder=3,
            markeredgecolor=colour("front"), alpha=0.55,
        )  # fmt: skip
    axes.plot(
        [point.cost], [point.gain], MARKERS.get(point.verdict, "o"), markersize=8, markeredgewidth=1.5, zorder=4,
        markeredgecolor=tone, markerfacecolor=tone if point.role == "candidate" else colour("paper"),
        gid=f"point-{number}",
    )  # fmt: skip


def _tone(point: Point) -> str:
    return point.verdict if point.verdict in ("improved", "regressed", "inconclusive", "equivalent") else "muted"


def _labels(axes: Axes, picture: Picture) -> None:
    """Write names beside marks, those of the front first, each where it covers least; one with no room is left out."""
    figure: Any = axes.figure
    renderer = figure.canvas.get_renderer()
    room = Box(*axes.get_window_extent(renderer).padded(2).extents)
    places = {id(point): axes.transData.transform((point.cost, point.gain)) for point in picture.points}
    taken = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    faint = [box for point in picture.points if (box := _bar(axes, point)) is not None]
    for number, point in enumerate(
        sorted(picture.points, key=lambda point: (not point.front, point.role == "baseline"))
    ):
        text = _shortened(point.short)
        probe = figure.text(0, 0, text, fontsize=SMALL, parse_math=False)
        size = probe.get_window_extent(renderer)
        probe.remove()
        wide, high, (x, y) = size.width, size.height, places[id(point)]
        tries = [_around(x, y, wide, high, place) for place in range(8)]
        costs = [_covered(box, room, taken, faint) for box, _, _ in tries]
        best = min(range(len(tries)), key=costs.__getitem__)
        if costs[best] >= (400 if point.front else 60):
            continue
        box, align, _ = tries[best]
        taken.append(box)
        at = {"left": box.left, "right": box.right, "center": (box.left + box.right) / 2}[align]
        axes.annotate(
            text, (at, (box.bottom + box.top) / 2), xycoords="figure pixels", ha=align, va="center", fontsize=SMALL,
            color=colour("ink" if point.role == "candidate" else "muted"), parse_math=False, zorder=5,
            gid=f"label-{number}",
        )  # fmt: skip


def _shortened(name: str) -> str:
    name = " ".join(plain(name).split())
    return name if len(name) <= 28 else f"{name[:27]}\N{HORIZONTAL ELLIPSIS}"


def _bar(axes: Axes, point: Point) -> Box | None:
    if point.low is None or point.high is None:
        return None
    x, bottom = axes.transData.transform((point.cost, point.low))
    top = axes.transData.transform((point.cost, point.high))[1]
    return Box(x - 1, bottom, x + 1, top)


def _around(x: float, y: float, wide: float, high: float, place: int) -> tuple[Box, str, int]:
    """A box for a label: right, left, then the corners, then above and below."""
    side = (1, -1, 1, 1, -1, -1, 0, 0)[place]
    level = (0, 0, 1, -1, 1, -1, 1, -1)[place]
    reach = REACH if level == 0 else 4
    left = {1: x + reach, -1: x - reach - wide, 0: x - wide / 2}[side]
    middle = y + level * (high / 2 + REACH - (2 if side else 0))
    align = {1: "left", -1: "right", 0: "center"}[side]
    return Box(left, middle - high / 2, left + wide, middle + high / 2), align, place


def _covered(box: Box, room: Box, taken: Sequence[Box], faint: Sequence[Box]) -> float:
    """How much a label would hide: other names and marks fully, the bars of intervals a little, the frame never."""
    outside = max(0.0, (box.right - box.left) * (box.top - box.bottom) - box.overlap(room))
    return 100 * outside + sum(map(box.overlap, taken)) * 4 + sum(map(box.overlap, faint)) * 0.6


def legend(pictures: Sequence[Picture]) -> str:
    """What the marks of some pictures mean, in one sentence."""
    words = {"^": "triangle up", "v": "triangle down", "s": "square", "o": "circle", "D": "diamond"}
    seen = dict.fromkeys(point.verdict for picture in pictures for point in picture.points)
    shapes = figures.listed([f"{words[MARKERS.get(verdict, 'o')]} {verdict}" for verdict in seen])
    return f"Marks: {shapes}; filled: candidates, hollow: reference rows; ringed and joined: the Pareto front."
