"""Numbers with decimals as text: how many digits a reader sees, and that no NaN and no false zero is ever shown."""

from __future__ import annotations

import math
from typing import TypeGuard

NONE = "\N{EN DASH}"
"""What a cell shows where there is no number."""
SHOWN_AS_ZERO = "+0.000"
"""A difference that is zero but for rounding errors."""


def is_finite(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number that a float can hold: no NaN, nothing infinite, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and finite(value) is not None


def finite(value: float | None) -> float | None:
    """Return the value, or None if it is absent, NaN, infinite, or a whole number beyond all floats."""
    try:
        return value if value is not None and math.isfinite(value) else None
    except OverflowError:
        return None


def fixed(value: float | None, digits: int = 3) -> str:
    """Return a mean or a margin with three decimals, or as many as are asked for."""
    known = finite(value)
    if known is None:
        return NONE
    text = f"{known:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def percent(share: float | None, digits: int = 0) -> str:
    """Return a share of 1 in per cent: ``57 %``. One that is next to nothing, but not nothing, is ``<1 %``."""
    known = finite(share)
    if known is None:
        return NONE
    text = f"{100 * known:.{digits}f}"
    return f"<{10.0**-digits:g} %" if known > 0 and float(text) == 0 else f"{text} %"


def signed(value: float | None) -> str:
    """Return a difference with sign and three decimals; with more if it is small but not zero."""
    known = finite(value)
    if known is None:
        return NONE
    if abs(known) < 5e-7:
        return SHOWN_AS_ZERO
    decimals = 3
    while float(text := f"{known:+.{decimals}f}") == 0:
        decimals += 1
    return text


def interval(low: float | None, high: float | None) -> str:
    """Return ``[+0.012, +0.070]``; ``[above 0, +0.070]`` if a bound is too near to zero to be shown.

    A verdict rests on which side of zero a bound is, so a bound that is not zero is never shown as zero.
    """
    least, most = finite(low), finite(high)
    if least is None or most is None:
        return NONE
    lower = "above 0" if least > 0 and signed(least) == SHOWN_AS_ZERO else signed(least)
    upper = "below 0" if most < 0 and signed(most) == SHOWN_AS_ZERO else signed(most)
    return f"[{lower}, {upper}]"


def difference(value: float | None, low: float | None, high: float | None, *words: str) -> str:
    """Return ``+0.041 [+0.012, +0.070] improved``, with what of it is known."""
    shown = (signed(value), interval(low, high), *words)
    return " ".join(part for part in shown if part and part != NONE) or NONE


def mean(value: float | None, low: float | None, high: float | None) -> str:
    """Return ``0.812 [0.760, 0.861]``: a mean with its interval."""
    if finite(low) is None or finite(high) is None:
        return fixed(value)
    return f"{fixed(value)} [{fixed(low)}, {fixed(high)}]"


def p_value(value: float | None) -> str:
    known = finite(value)
    return NONE if known is None else "<0.001" if known < 0.001 else f"{known:.3f}"
