"""Shares, added costs and ratios as text, in the manner of `figures`, which has the digits of everything else.

Knows nothing of outcomes or tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.report import figures

KEPT = "\N{NO-BREAK SPACE}"


def percent(share: float | None) -> str:
    """A share of 1 as a whole per cent; one that is next to nothing, but not nothing, says so."""
    number = figures.finite(share)
    if number is None:
        return figures.NONE
    text = f"{100 * number:.0f}"
    return figures.Shown("<1 %" if number > 0 and text == "0" else f"{text} %", 100 * number)


def share(value: float | None, low: float | None, high: float | None) -> str:
    """``35 % [25, 46]``."""
    bounds = figures.finite(low), figures.finite(high)
    if bounds[0] is None or bounds[1] is None:
        return percent(value)
    return percent(value) + f" [{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}]"


def mean(value: float | None, low: float | None, high: float | None) -> str:
    """``0.812 [0.760, 0.861]``: a mean with its interval."""
    if figures.finite(low) is None or figures.finite(high) is None:
        return figures.fixed(value)
    return figures.fixed(value) + f" [{figures.fixed(low)}, {figures.fixed(high)}]"


def gain(value: float | None, low: float | None, high: float | None, *words: str) -> str:
    """``+0.041 [+0.012, +0.070] improved``: a difference, its interval, and what is said of it."""
    shown = (figures.signed(value), figures.interval(low, high), *words)
    text = " ".join(part for part in shown if part and part != figures.NONE) or figures.NONE
    number = figures.finite(value)
    return text if number is None else figures.Shown(text, number)


def added(value: float | None, write: Callable[[float | None], str]) -> str:
    """What comes on top, with its sign: ``+412``, ``+$0.0057``, ``none``."""
    number = figures.finite(value)
    if number is None:
        return figures.NONE
    return figures.Shown(f"{'-' if number < 0 else '+'}{write(abs(number))}" if number else "none", number)


def ratio(value: float | None) -> str:
    """Three significant digits, never an exponent."""
    number = figures.finite(value)
    if number is None:
        return figures.NONE
    return figures.Shown(_ratio(number), number)


def _ratio(number: float) -> str:
    if number == 0:
        return "0"
    if abs(number) < 1e-6:
        return "<0.000001" if number > 0 else ">-0.000001"
    return f"{number:,.{max(0, 2 - math.floor(math.log10(abs(number))))}f}"


def whole(value: float | None) -> str:
    """A number of queries."""
    number = figures.finite(value)
    return figures.NONE if number is None else figures.Shown(f"{number:,.0f}", number)


def between(value: float | None, low: float | None, high: float | None, write: Callable[[float | None], str]) -> str:
    """``4.12 (1.20 to 7.00)``; with one bound only, ``12,400 (at least 8,000)``."""
    shown, least, most = write(value), figures.finite(low), figures.finite(high)
    if least is not None and most is not None:
        # Where a cell has to be broken, the bounds stay together.
        return shown + f" ({write(least)}{KEPT}to{KEPT}{write(most)})"
    if least is not None:
        return shown + f" (at least {write(least)})"
    return shown if most is None else shown + f" (at most {write(most)})"


def once(seconds: float | None, dollars: float | None) -> str:
    """A cost that is paid once: ``37 min 40 s ($0.033)``."""
    shown = [text for text in (figures.duration(seconds), figures.dollars(dollars)) if text != figures.NONE]
    return shown[0] + f" ({shown[1]})" if len(shown) > 1 else (shown or [figures.NONE])[0]


def sentence(text: str) -> str:
    """A text that may lack it, with a capital letter at its start (but for a name) and a full stop at its end."""
    line = " ".join(text.split())
    if not line:
        return ""
    first = line.split(" ", 1)[0].rstrip(",:;.")
    opening = line[0].upper() if first.isalpha() else line[0]
    return opening + line[1:] + ("" if line[-1] in ".!?" else ".")
