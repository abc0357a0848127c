"""The gains of all systems on all gated measures as one picture: differences, intervals, margins, verdicts.

What stands where is a plain value (`forests`); matplotlib draws it as SVG (`draw`), in the manner of `report.charts`.
Nothing is computed here: differences and intervals are those of the tables.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.report import figures
from harness.report.charts import MARKERS, SMALL, TEXT
from harness.report.hostile import plain
from harness.report.svg import colour, fit
from harness.report.tables import difference_text
from harness.report.view import BASELINE, NOT_DEPLOYABLE, View, less_is_better
from harness.values.findings import Comparison, SystemInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 3
"""Measures side by side in one picture; with more, there is a second picture."""
PANEL, GAP, PAD = 244.0, 24.0, 12.0
SIZE = 8.5
ROW, APART = 22.0, 10.0
"""Height of a row, and what sets candidates apart from reference rows."""
HEAD, FOOT, LEGEND = 34.0, 40.0, 24.0
LONGEST, KEPT = 40, 14
"""Signs of a label, and how many of its last ones (the seed) outlive its shortening."""
TONES = ("improved", "regressed", "inconclusive", "equivalent")


class Mark(NamedTuple):
    """A gain on one measure: bounds are None where there are none, and so is a gain that could not be had."""

    gain: float | None
    low: float | None
    high: float | None
    verdict: str
    told: str


@dataclass(frozen=True)
class Panel:
    """One measure: its margin, and a mark for each system, in their order; None where nothing was compared."""

    measure: str
    margin: float
    lower: bool
    marks: tuple[Mark | None, ...]


@dataclass(frozen=True)
class Forest:
    """Systems by measures; `roles` and `labels` name the rows of every panel."""

    name: str
    labels: tuple[str, ...]
    roles: tuple[Literal["baseline", "candidate"], ...]
    panels: tuple[Panel, ...]

    @property
    def told(self) -> str:
        """The picture in words, for who cannot see it."""
        parts = []
        for panel in self.panels:
            found = {
                verdict: [label for label, mark in zip(self.labels, panel.marks, strict=True) if _is(mark, verdict)]
                for verdict in ("improved", "regressed")
            }
            said = [f"{figures.listed(names)} {verdict}" for verdict, names in found.items() if names]
            parts.append(f"{panel.measure}: {'; '.join(said) or 'none improved or regressed'}.")
        return f"Gains over {BASELINE} with simultaneous intervals. {' '.join(parts)}"


def _is(mark: Mark | None, verdict: str) -> bool:
    return mark is not None and mark.verdict == verdict


def forests(view: View) -> tuple[Forest, ...]:
    """Pictures of all gains of systems that could be served; none if nothing was compared."""
    measures = [name for name in view.gated if any(key[2] == name for key in view.gains)]
    shown = [
        info
        for info in view.systems
        if info.name not in NOT_DEPLOYABLE and any(view.gain(info, name) for name in measures)
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
    found = [(info, view.gain(info, measure)) for info in shown]
    margin = max((row.margin for _, row in found if row), default=0.0)
    marks = tuple(_mark(info, row) if row else None for info, row in found)
    return Panel(measure, margin, less_is_better(measure), marks)


def _mark(info: SystemInfo, row: Comparison) -> Mark:
    gain, low, high = (figures.finite(value) for value in (row.difference, row.low, row.high))
    if low is None or high is None:
        low = high = None
    return Mark(gain, low, high, row.verdict, f"{info.label}: {row.measure} {difference_text(row)}")


# ---- drawing


def draw(forest: Forest, style: str = "") -> str:
    """Return the picture as SVG text; with `style` (a style sheet) as a file that stands alone."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "harness", "font.size": TEXT}
    with matplotlib.rc_context({**settings, "text.parse_math": False}), warnings.catch_warnings():
        # Letters are drawn by whoever looks at the picture; here only their widths are guessed.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(dpi=72, facecolor="none")
        FigureCanvasAgg(figure)
        labels = [_shortened(label) for label in forest.labels]
        place = _Places.of(forest, max(_width(figure, label) for label in labels))
        figure.set_size_inches(place.width / 72, place.height / 72)
        _names(figure, forest, labels, place)
        number = 0
        for column, panel in enumerate(forest.panels):
            axes = _axes(figure, panel, place, column)
            for y, mark in zip(place.rows, panel.marks, strict=True):
                if mark is not None:
                    _draw_mark(axes, mark, y, number)
                    number += 1
        _legend(figure, forest, place)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    told = [mark.told for panel in forest.panels for mark in panel.marks if mark is not None]
    marks = {f"point-{number}": plain(one) for number, one in enumerate(told)}
    return fit(text.getvalue(), forest.name, plain(forest.told), marks, style)


class _Places(NamedTuple):
    """Where things lie, in points from the lower left; `rows` are heights within a panel."""

    left: float
    width: float
    height: float
    panel: float
    rows: tuple[float, ...]

    @classmethod
    def of(cls, forest: Forest, label: float) -> _Places:
        heights = []
        at = ROW / 2
        for number, role in enumerate(forest.roles):
            if number:
                at += ROW + (APART if role != forest.roles[number - 1] else 0)
            heights.append(at)
        panel = at + ROW / 2
        left = PAD + label + 14
        wide = left + len(forest.panels) * PANEL + (len(forest.panels) - 1) * GAP + PAD + 8
        return cls(left, wide, HEAD + panel + FOOT + LEGEND, panel, tuple(panel - one for one in heights))

    @property
    def bottom(self) -> float:
        return FOOT + LEGEND


def _width(figure: Figure, text: str) -> float:
    probe = figure.text(0, 0, text, fontsize=TEXT, parse_math=False)
    canvas: Any = figure.canvas
    wide = float(probe.get_window_extent(canvas.get_renderer()).width)
    probe.remove()
    return wide


def _shortened(name: str) -> str:
    name = " ".join(plain(name).split())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - KEPT - 1]}\N{HORIZONTAL ELLIPSIS}{name[-KEPT:]}"


def _names(figure: Figure, forest: Forest, labels: Sequence[str], place: _Places) -> None:
    """Write the systems to the left of the first panel."""
    for label, role, y in zip(labels, forest.roles, place.rows, strict=True):
        tone = colour("ink" if role == "candidate" else "muted")
        at = PAD / place.width, (place.bottom + y) / place.height
        figure.text(*at, label, fontsize=TEXT, color=tone, va="center", parse_math=False)


def _axes(figure: Figure, panel: Panel, place: _Places, column: int) -> Axes:
    """The frame of a measure: its scale, the margin as a band around the line of no gain, a faint line a row."""
    left = place.left + column * (PANEL + GAP)
    box = (left / place.width, place.bottom / place.height, PANEL / place.width, place.panel / place.height)
    axes = figure.add_axes(box, facecolor="none")
    axes.set_ylim(0, place.panel)
    axes.set_xlim(*_reach(panel))
    if panel.margin:
        axes.axvspan(-panel.margin, panel.margin, color=colour("grid"), alpha=0.8, linewidth=0, zorder=0)
    for y in place.rows:
        axes.axhline(y, color=colour("grid"), linewidth=1, zorder=0.5)
    axes.axvline(0, color=colour("muted"), linewidth=1, zorder=1)
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+.6g}")
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=colour("muted"), pad=5)
    axes.set_title(panel.measure, loc="left", fontsize=TEXT, fontweight="bold", color=colour("ink"), pad=10)
    notes = ["less is better"] if panel.lower else []
    notes += [f"band: margin {figures.fixed(panel.margin)}"] if panel.margin else []
    axes.set_title(", ".join(notes), loc="right", fontsize=SMALL, color=colour("muted"), pad=10)
    axes.set_xlabel(
        f"difference to {BASELINE}, simultaneous interval",
        fontsize=SMALL,
        color=colour("muted"),
        loc="left",
        labelpad=4,
    )
    return axes


def _reach(panel: Panel) -> tuple[float, float]:
    """What a panel must show: every bound, zero and the margin."""
    reached = [0.0, -panel.margin, panel.margin]
    reached += [
        value for mark in panel.marks if mark for value in (mark.gain, mark.low, mark.high) if value is not None
    ]
    low, high = min(reached), max(reached)
    slack = 0.05 * ((high - low) or 0.1)
    return low - slack, high + slack


def _draw_mark(axes: Axes, mark: Mark, y: float, number: int) -> None:
    tone = colour(mark.verdict if mark.verdict in TONES else "muted")
    if mark.gain is None:
        axes.annotate(
            mark.verdict, (0, y), xytext=(6, 0), textcoords="offset points", fontsize=SMALL, color=tone, va="center",
            parse_math=False, gid=f"point-{number}",
        )  # fmt: skip
        return
    if mark.low is not None and mark.high is not None:
        axes.hlines(y, mark.low, mark.high, color=tone, linewidth=1.75, zorder=2)
    axes.plot(
        [mark.gain], [y], MARKERS.get(mark.verdict, "o"), markersize=SIZE, markeredgecolor="none", markerfacecolor=tone,
        zorder=3, clip_on=False, gid=f"point-{number}",
    )  # fmt: skip


def _legend(figure: Figure, forest: Forest, place: _Places) -> None:
    """What the marks that occur mean, in one line below."""
    seen = dict.fromkeys(
        mark.verdict for panel in forest.panels for mark in panel.marks if mark and mark.gain is not None
    )
    at = PAD + 4
    for verdict in sorted(seen, key=lambda one: TONES.index(one) if one in TONES else len(TONES)):
        tone = colour(verdict if verdict in TONES else "muted")
        axes = figure.add_axes((at / place.width, 8 / place.height, 10 / place.width, 10 / place.height))
        axes.set_axis_off()
        axes.plot(
            [0], [0], MARKERS.get(verdict, "o"), markersize=SIZE, markeredgecolor="none", color=tone, clip_on=False
        )
        figure.text(
            (at + 13) / place.width, 13 / place.height, verdict, fontsize=SMALL, color=colour("muted"), va="center"
        )
        at += 13 + _width(figure, verdict) + 18
