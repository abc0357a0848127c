"""The text of a table's cell taken apart again, for a page that sorts by it, draws it and sets off its verdict.

So a page shows the very numbers that the terminal and Markdown show. Knows nothing of outcomes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = r"[+-]\d[\d,]*\.?\d*"
_DIFFERENCE = re.compile(rf"({_NUMBER})(?: \[({_NUMBER}), ({_NUMBER})\])?(?: (.+))?")
_PLAIN = re.compile(r"[<>]?([+-]?)[$]?([+-]?\d[\d,]*(?:\.\d+)?)")
_UNITS = {
    "s": 1.0, "min": 60.0, "h": 3600.0, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "%": 1.0, "ms": 1.0,
}  # fmt: skip
_QUANTITY = re.compile(r"(\d[\d,]*(?:\.\d+)?) (h|min|s|GB|MB|kB|B|ms|%)(?= |$)")


class Difference(NamedTuple):
    """``+0.041 [+0.012, +0.070] improved``, in parts."""

    value: str
    interval: str
    word: str
    number: float
    low: float | None
    high: float | None


def difference(text: str) -> Difference | None:
    """The parts of a cell that holds a difference; None if it holds none."""
    found = _DIFFERENCE.fullmatch(text)
    if found is None:
        return None
    value, low, high, word = found.groups()
    interval = f"[{low}, {high}]" if low else ""
    bounds = (_float(low), _float(high)) if low else (None, None)
    return Difference(value, interval, word or "", _float(value), *bounds)


def sort_key(text: str) -> float | None:
    """The number that a cell is sorted by; None for a cell of words. Durations in seconds, sizes in bytes."""
    quantities = _QUANTITY.findall(text)
    if quantities and not text[0].isalpha():
        size = sum(_float(number) * _UNITS[unit] for number, unit in quantities)
        return -size if text.lstrip("<>").startswith(("-", "\N{MINUS SIGN}")) else size
    found = _PLAIN.match(text)
    if found is None:
        return None
    rest = text[found.end() :]
    number = -_float(found[2]) if found[1] == "-" else _float(found[2])
    return number if not rest or rest[0] in " †" else None


def _float(text: str) -> float:
    return float(text.replace(",", ""))
