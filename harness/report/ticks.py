"""Where an axis of seconds, milliseconds or dollars has its ticks, and what they say: round numbers, few of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.report.tradeoff import Unit

MOST = 5
MINUTE, HOUR = 60.0, 3600.0
_TIMES = [
    *(step * ten for ten in (0.001, 0.01, 0.1) for step in (1.0, 2.0, 5.0)),
    *(step * unit for unit in (1.0, MINUTE) for step in (1.0, 2.0, 5.0, 10.0, 15.0, 30.0)),
    *(step * ten * HOUR for ten in (1.0, 10.0, 100.0, 1000.0) for step in (1.0, 2.0, 5.0)),
]


def ticks(left: float, right: float, unit: Unit, by_logarithm: bool) -> list[tuple[float, str]]:
    """Positions between `left` and `right` (both positive if `by_logarithm`), each with its text."""
    # A text near the edge would be cut off.
    edge = right / (right / left) ** 0.04 if by_logarithm else right - 0.04 * (right - left)
    places = _spread(left, edge, unit) if by_logarithm else _even(left, edge, unit)
    return [(place, _text(place, unit)) for place in places]


def _spread(left: float, right: float, unit: Unit) -> list[float]:
    """The finest round numbers that are few enough."""
    exponents = range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1)
    finest = [1.0, 10.0, MINUTE, 10 * MINUTE, HOUR, 10 * HOUR, 100 * HOUR]
    grids: list[Sequence[float]] = [[0.1, *finest], [0.1, *finest[::2]]] if unit == "seconds" else []
    grids += [[step * 10.0**power for power in exponents for step in steps] for steps in ((1.0, 2.0, 5.0), (1.0,))]
    for grid in grids:
        found = [place for place in grid if left <= place <= right]
        if 1 < len(found) <= MOST:
            return found
    return found[:: max(1, math.ceil(len(found) / MOST))]


def _even(left: float, right: float, unit: Unit) -> list[float]:
    """Multiples of the least round step that gives few."""
    whole = (right - left) or 1.0
    powers = range(math.floor(math.log10(whole)) - 2, math.ceil(math.log10(whole)) + 1)
    steps = _TIMES if unit == "seconds" else [one * 10.0**power for power in powers for one in (1.0, 2.0, 5.0)]
    step = next((one for one in steps if whole / one < MOST), whole)
    return [number * step for number in range(math.ceil(left / step), math.floor(right / step) + 1)]


def _text(value: float, unit: Unit) -> str:
    if unit == "dollars":
        return f"${_plain(value)}"
    if unit == "milliseconds":
        return f"{_plain(value)} ms" if value < 1000 else f"{_plain(value / 1000)} s"
    if value < MINUTE:
        return f"{_plain(value)} s"
    return f"{_plain(value / MINUTE)} min" if value < HOUR else f"{_plain(value / HOUR)} h"


def _plain(value: float) -> str:
    """A number without an exponent and without idle zeros."""
    decimals = 0 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
