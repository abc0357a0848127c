"""What all pictures share: one figure set-up, one style of axes, colours, marks, ticks. matplotlib draws, as SVG."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness import report
from harness.hashing import digest_file, digest_of
from harness.provenance import package_version
from harness.remembered import keep, recall
from harness.report.charts.svg import colour, fit
from harness.report.charts.values import Chart, CostUnit
from harness.report.untrusted import plain
from harness.text import decimals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT, SMALL = 11.0, 10.0
MARKERS = {"improved": "^", "regressed": "v", "equivalent": "s", "inconclusive": "o", "baseline": "D"}
TONES = ("improved", "regressed", "inconclusive", "equivalent")
LOG_FROM = 20
"""A scale whose largest value is so many times its least is logarithmic."""
MOST_TICKS = 5
MINUTE, HOUR = 60.0, 3600.0
TIMES = (0.01, 0.1, 1.0, 10.0, MINUTE, 10 * MINUTE, HOUR, 10 * HOUR, 100 * HOUR)
"""Ticks of a logarithmic axis of seconds."""


class Put(NamedTuple):
    """How a picture is put into a page: the name before its ids, and a style sheet if it stands alone as a file."""

    name: str
    style: str


def drawn(chart: Chart, paint: Callable[[Figure], None], size: tuple[float, float], put: Put) -> str:
    """Return what `paint` draws on a figure of this size (in points) as SVG.

    What was drawn of the same values is kept, also for later processes: matplotlib takes a second to start.
    """
    key = digest_of([_code(), size, type(chart).__name__, repr(chart)])
    text = recall("pictures", key)
    if text is None:
        text = _painted(paint, size)
        keep("pictures", key, text)
    marks = {f"point-{number}": plain(label) for number, label in enumerate(chart.marks)}
    return fit(text, put.name, plain(chart.description), marks, put.style)


@cache
def _code() -> list[str]:
    """What a picture depends on beside its values: the code that draws it."""
    files = [*Path(report.__file__).parent.rglob("*.py"), Path(decimals.__file__)]
    return [package_version("matplotlib"), *(digest_file(file) for file in sorted(files))]


def _painted(paint: Callable[[Figure], None], size: tuple[float, float]) -> str:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "harness", "font.size": TEXT}
    with matplotlib.rc_context({**settings, "text.parse_math": False}), warnings.catch_warnings():
        # The viewer draws the letters; here only their widths are estimated.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72, facecolor="none")
        FigureCanvasAgg(figure)
        paint(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def frame(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Return axes without a frame, with small muted ticks."""
    axes = figure.add_axes(box, facecolor="none")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=colour("muted"), pad=5)
    return axes


def signed_scale(axes: Axes, which: Literal["x", "y"], bins: int = MOST_TICKS) -> None:
    """Write the ticks of an axis of differences with their sign."""
    axes.locator_params(axis=which, nbins=bins)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+.6g}")


def limits(values: Sequence[float | None], slack: float) -> tuple[float, float]:
    """Return the ends of a scale that shows all values, with some slack around them."""
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    margin = slack * ((high - low) or 0.1)
    return low - margin, high + margin


def is_logarithmic(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) >= LOG_FROM


def set_ticks(axes: Axes, places: Sequence[float], texts: Sequence[str]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(list(map(plain, texts)))


def cost_ticks(left: float, right: float, unit: CostUnit, logarithmic: bool) -> list[tuple[float, str]]:
    """Return a few round places between `left` and `right`, each with its text in the unit of a cost."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    # A text near the edge would be cut off.
    edge = right / (right / left) ** 0.04 if logarithmic else right - 0.04 * (right - left)
    scale = _scale(edge) if unit == "seconds" and not logarithmic else 1.0
    linear = MaxNLocator(MOST_TICKS - 1, steps=[1, 2, 3, 5, 10] if scale > 1 else [1, 2, 5, 10])
    grids: list[Any] = [TIMES] if unit == "seconds" else []
    if logarithmic:
        grids += [LogLocator(subs=subs, numticks=99).tick_values(left, right) for subs in ((1, 2, 5), (1,))]
    else:
        grids = [[scale * place for place in linear.tick_values(left / scale, edge / scale)]]
    within = [[float(place) for place in grid if left <= place <= edge] for grid in grids]
    few = next((places for places in within if 1 < len(places) <= MOST_TICKS), within[-1])
    few = few[:: math.ceil(len(few) / MOST_TICKS) or 1]
    return [(place, _cost_text(place, unit)) for place in few]


def _scale(seconds: float) -> float:
    return HOUR if seconds >= 2 * HOUR else MINUTE if seconds >= 2 * MINUTE else 1.0


def _cost_text(value: float, unit: CostUnit) -> str:
    if unit == "dollars":
        return f"${_round(value)}"
    if unit == "milliseconds":
        return f"{_round(value)} ms" if value < 1000 else f"{_round(value / 1000)} s"
    if value < MINUTE:
        return f"{_round(value)} s"
    return f"{_round(value / MINUTE)} min" if value < HOUR else f"{_round(value / HOUR)} h"


def _round(value: float) -> str:
    """Return a number without an exponent and without trailing zeros."""
    decimals = 0 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shortened(name: str, most: int, kept: int = 0) -> str:
    """Return a name of at most `most` characters; its last `kept` ones (the seed) stay."""
    name = " ".join(plain(name).split())
    if len(name) <= most:
        return name
    return f"{name[: most - kept - 1]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - kept :]}"


def tone_of(verdict: str) -> str:
    """Return the colour of a verdict."""
    return colour(verdict if verdict in TONES else "muted")


def text_size(figure: Figure, text: str, size: float = TEXT) -> tuple[float, float]:
    """Return width and height of a text, in points."""
    probe = figure.text(0, 0, text, fontsize=size, parse_math=False)
    canvas: Any = figure.canvas
    extent = probe.get_window_extent(canvas.get_renderer())
    probe.remove()
    return float(extent.width), float(extent.height)
