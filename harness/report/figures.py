"""Numbers as text: one place decides how many digits a reader sees, and that no NaN is ever one of them.

Knows nothing of outcomes or tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NONE = "\N{EN DASH}"
"""What a cell shows where there is no number."""


class Shown(str):
    """The text of a number, with the number: a page sorts by it, and nothing has to be read back out of the text.

    What is added after it leaves the number as it is; put into a longer text, it is text alone.
    """

    value: float

    def __new__(cls, text: str, value: float) -> Shown:
        """Return the text, with the number that it shows."""
        made = super().__new__(cls, text)
        made.value = float(value)
        return made

    def __add__(self, more: str) -> Shown:
        """Return the text with more behind it, for the same number."""
        return Shown(str.__add__(self, more), self.value)


def finite(value: float | None) -> float | None:
    """The value, or None if it is absent, NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def fixed(value: float | None, digits: int = 3) -> str:
    """A mean, a margin: three decimals, unless a figure from elsewhere has more."""
    number = finite(value)
    if number is None:
        return NONE
    text = f"{number:.{digits}f}"
    return Shown(text.removeprefix("-") if float(text) == 0 else text, number)


def signed(value: float | None) -> str:
    """A difference: sign and three decimals; more if it is small but not zero, so that no bound seems to be 0."""
    number = finite(value)
    if number is None:
        return NONE
    if abs(number) < 5e-7:
        return Shown("+0.000", number)
    decimals = 3
    while abs(number) < 0.5 * 10**-decimals:
        decimals += 1
    return Shown(f"{number:+.{decimals}f}", number)


def interval(low: float | None, high: float | None) -> str:
    if finite(low) is None or finite(high) is None:
        return NONE
    return f"[{signed(low)}, {signed(high)}]"


def p_value(value: float | None) -> str:
    number = finite(value)
    if number is None:
        return NONE
    return Shown("<0.001" if number < 0.001 else f"{number:.3f}", number)


def percent(part: int, whole: int) -> str:
    return Shown(f"{100 * part / whole:.0f} %", 100 * part / whole) if whole else NONE


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: ``0.4 s``, ``4 min 12 s``, ``2 h 05 min``."""
    number = finite(seconds)
    if number is None:
        return NONE
    return Shown(_duration(number), number)


def _duration(number: float) -> str:
    if number < 9.95:
        return f"{number:.1f} s" if number >= 0.05 else ("0 s" if number == 0 else "<0.1 s")
    whole = round(number)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(number / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def dollars(value: float | None) -> str:
    """Dollars and cents, or two significant digits where a cent is too much."""
    number = finite(value)
    if number is None:
        return NONE
    return Shown(_dollars(number), number)


def _dollars(number: float) -> str:
    if number == 0:
        return "$0"
    if number >= 0.095:
        return f"${number:,.2f}"
    if number < 0.0001:
        return "<$0.0001"
    return f"${number:.{1 - math.floor(math.log10(number))}f}"


def milliseconds(value: float | None) -> str:
    number = finite(value)
    if number is None:
        return NONE
    return Shown(f"{number:.1f}" if number < 99.95 else f"{number:,.0f}", number)


def size(count: int) -> str:
    """Bytes in decimal units."""
    number = float(count)
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return Shown(f"{number:.0f} {unit}", count)
        number /= 1000
    return Shown(f"{number:,.1f} GB", count)


def memory(megabytes: float | None) -> str:
    number = finite(megabytes)
    return NONE if number is None or number == 0 else Shown(f"{number:,.0f} MB", 1e6 * number)


def count(number: int) -> str:
    return Shown(f"{number:,}", number)


def counted(number: int, one: str, many: str = "") -> str:
    """``1 query``, ``12 queries``."""
    return Shown(f"{number:,} {one if number == 1 else many or one + 's'}", number)


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def anything(value: Any) -> str:
    """A value out of a note: a count, a small mapping, a word."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return NONE if finite(value) is None else f"{value:.4g}"
    if isinstance(value, Mapping):
        # Names and values hold commas of their own.
        return "; ".join(f"{str(key).replace('_', ' ')}: {anything(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(anything(item) for item in value)
    return " ".join(str(value).split())
