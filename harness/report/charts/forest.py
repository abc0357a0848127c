"""Drawing of gains with intervals, margins and verdicts: a row for each system, a panel for each measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report.charts import canvas
from harness.report.charts.canvas import MARKERS, SMALL, TEXT, TONES, tone_of
from harness.report.charts.svg import colour
from harness.report.charts.values import Forest, Mark, Panel, Role
from harness.report.view import BASELINE
from harness.text import decimals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL, GAP, PAD = 244.0, 24.0, 12.0
SIZE = 8.5
ROW, APART = 22.0, 10.0
"""Height of a row, and what sets candidates apart from baseline rows."""
HEAD, FOOT, LEGEND = 34.0, 40.0, 24.0
LONGEST, KEPT = 40, 14
"""Characters of a label, and how many of its last ones (the seed) outlive its shortening."""


class Places(NamedTuple):
    """Where things are, in points from the lower left; `rows` are heights within a panel."""

    left: float
    width: float
    height: float
    panel: float
    rows: tuple[float, ...]

    @classmethod
    def of(cls, forest: Forest, label: float) -> Places:
        """Return the places of a picture whose longest label has this width."""
        heights = []
        at = ROW / 2
        for number, role in enumerate(forest.roles):
            if number:
                at += ROW + (APART if role != forest.roles[number - 1] else 0)
            heights.append(at)
        panel = at + ROW / 2
        left = PAD + label + 14
        wide = left + len(forest.panels) * PANEL + (len(forest.panels) - 1) * GAP + PAD + 8
        return cls(left, wide, HEAD + panel + FOOT + LEGEND, panel, tuple(panel - height for height in heights))

    @property
    def bottom(self) -> float:
        return FOOT + LEGEND


def paint(figure: Figure, forest: Forest) -> None:
    """Draw names, panels with their marks, and the legend; the figure gets the size that they need."""
    labels = [canvas.shortened(name, LONGEST, KEPT) for name in forest.systems]
    place = Places.of(forest, max(canvas.text_size(figure, label)[0] for label in labels))
    figure.set_size_inches(place.width / 72, place.height / 72)
    _names(figure, labels, forest.roles, place)
    number = 0
    for column, panel in enumerate(forest.panels):
        axes = _axes(figure, panel, place, column)
        for y, mark in zip(place.rows, panel.marks, strict=True):
            if mark is not None:
                _draw_mark(axes, mark, y, number)
                number += 1
    _legend(figure, forest, place)


def _names(figure: Figure, labels: Sequence[str], roles: Sequence[Role], place: Places) -> None:
    """Write the systems to the left of the first panel."""
    for label, role, y in zip(labels, roles, place.rows, strict=True):
        tone = colour("ink" if role == "candidate" else "muted")
        at = PAD / place.width, (place.bottom + y) / place.height
        figure.text(*at, label, fontsize=TEXT, color=tone, va="center", parse_math=False)


def _axes(figure: Figure, panel: Panel, place: Places, column: int) -> Axes:
    """Draw the scale of a measure, the margin as a band around zero, and a faint line for each row."""
    left = place.left + column * (PANEL + GAP)
    box = (left / place.width, place.bottom / place.height, PANEL / place.width, place.panel / place.height)
    axes = canvas.frame(figure, box)
    axes.set_ylim(0, place.panel)
    ends = [value for mark in panel.marks if mark for value in (mark.gain, mark.low, mark.high)]
    axes.set_xlim(*canvas.limits([0.0, -panel.margin, panel.margin, *ends], 0.05))
    if panel.margin:
        axes.axvspan(-panel.margin, panel.margin, color=colour("grid"), alpha=0.8, linewidth=0, zorder=0)
    for y in place.rows:
        axes.axhline(y, color=colour("grid"), linewidth=1, zorder=0.5)
    axes.axvline(0, color=colour("muted"), linewidth=1, zorder=1)
    axes.set_yticks([])
    canvas.signed_scale(axes, "x")
    axes.set_title(panel.measure, loc="left", fontsize=TEXT, fontweight="bold", color=colour("ink"), pad=10)
    notes = ["less is better"] if panel.lower else []
    notes += [f"band: margin {decimals.fixed(panel.margin)}"] if panel.margin else []
    axes.set_title(", ".join(notes), loc="right", fontsize=SMALL, color=colour("muted"), pad=10)
    name = f"difference to {BASELINE}, simultaneous interval"
    axes.set_xlabel(name, fontsize=SMALL, color=colour("muted"), loc="left", labelpad=4)
    return axes


def _draw_mark(axes: Axes, mark: Mark, y: float, number: int) -> None:
    tone = tone_of(mark.verdict)
    if mark.gain is None:
        text: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "fontsize": SMALL, "va": "center"}
        axes.annotate(mark.verdict, (0, y), **text, color=tone, parse_math=False, gid=f"point-{number}")
        return
    if mark.low is not None and mark.high is not None:
        axes.hlines(y, mark.low, mark.high, color=tone, linewidth=1.75, zorder=2)
    look: dict[str, Any] = {"markersize": SIZE, "markeredgecolor": "none", "markerfacecolor": tone, "clip_on": False}
    axes.plot([mark.gain], [y], MARKERS.get(mark.verdict, "o"), **look, zorder=3, gid=f"point-{number}")


def _legend(figure: Figure, forest: Forest, place: Places) -> None:
    """Write below what the marks that occur mean."""
    verdicts = {mark.verdict for panel in forest.panels for mark in panel.marks if mark and mark.gain is not None}
    at = PAD + 4
    for verdict in sorted(verdicts, key=_order):
        axes = figure.add_axes((at / place.width, 8 / place.height, 10 / place.width, 10 / place.height))
        axes.set_axis_off()
        look: dict[str, Any] = {"markersize": SIZE, "markeredgecolor": "none", "clip_on": False}
        axes.plot([0], [0], MARKERS.get(verdict, "o"), color=tone_of(verdict), **look)
        x, y = (at + 13) / place.width, 13 / place.height
        figure.text(x, y, verdict, fontsize=SMALL, color=colour("muted"), va="center")
        at += 13 + canvas.text_size(figure, verdict)[0] + 18


def _order(verdict: str) -> tuple[int, str]:
    return (TONES.index(verdict) if verdict in TONES else len(TONES), verdict)
