"""Numbers as text: the one place that decides how many digits a reader sees, and that no NaN is ever shown.

Knows nothing of outcomes. `cell_text` writes a cell of a table; only `report.render` calls it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.report.model import Cell, Unit, number
from harness.text import decimals
from harness.text.decimals import finite

GLUE = "\N{NO-BREAK SPACE}"
BEST_NOTE = "Bold: the best of the deployable systems without failed scores."


def share(value: float | None, low: float | None, high: float | None) -> str:
    """Return ``35 % [25, 46]``."""
    least, most = finite(low), finite(high)
    if least is None or most is None:
        return decimals.percent(value)
    return f"{decimals.percent(value)} [{100 * least:.0f}, {100 * most:.0f}]"


def duration(seconds: float | None) -> str:
    """Return seconds as ``0.4 s``, ``4 min 12 s`` or ``2 h 05 min``."""
    known = finite(seconds)
    if known is None:
        return decimals.NONE
    if known < 9.95:
        return f"{known:.1f} s" if known >= 0.05 else ("0 s" if known == 0 else "<0.1 s")
    whole = round(known)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(known / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def dollars(value: float | None) -> str:
    """Return dollars and cents, or two significant digits where a cent is too much."""
    known = finite(value)
    if known is None:
        return decimals.NONE
    if known == 0:
        return "$0"
    if known >= 0.095:
        return f"${known:,.2f}"
    if known < 0.0001:
        return "<$0.0001"
    return f"${known:.{1 - math.floor(math.log10(known))}f}"


def milliseconds(value: float | None) -> str:
    known = finite(value)
    if known is None:
        return decimals.NONE
    return f"{known:.1f}" if known < 99.95 else f"{known:,.0f}"


def size(number: float | None) -> str:
    """Return a number of bytes in decimal units."""
    known = finite(number)
    if known is None:
        return decimals.NONE
    for unit in ("B", "kB", "MB"):
        if known < 999.5:
            return f"{known:.0f} {unit}"
        known /= 1000
    return f"{known:,.1f} GB"


def memory(megabytes: float | None) -> str:
    known = finite(megabytes)
    return f"{known:,.0f} MB" if known else decimals.NONE


def count(number: float | None) -> str:
    known = finite(number)
    return decimals.NONE if known is None else f"{known:,.0f}"


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return ``1 query`` or ``12 queries``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def over(queries: int, groups: int) -> str:
    """Return ``246 queries in 98 groups``."""
    return f"{counted(queries, 'query', 'queries')} in {counted(groups, 'group')}"


def ratio(value: float | None) -> str:
    """Return three significant digits, never an exponent."""
    known = finite(value)
    if known is None:
        return decimals.NONE
    if known == 0:
        return "0"
    if abs(known) < 1e-6:
        return "<0.000001" if known > 0 else ">-0.000001"
    return f"{known:,.{max(0, 2 - math.floor(math.log10(abs(known))))}f}"


def added(value: float | None, write: Callable[[float | None], str]) -> str:
    """Return what is added, with its sign: ``+412``, ``+$0.0057``, ``none``."""
    known = finite(value)
    if known is None:
        return decimals.NONE
    return f"{'-' if known < 0 else '+'}{write(abs(known))}" if known else "none"


def build_cost(seconds: float | None, money: float | None) -> str:
    """Return a one-time cost: ``37 min 40 s ($0.033)``."""
    shown = [text for text in (duration(seconds), dollars(money)) if text != decimals.NONE]
    return f"{shown[0]} ({shown[1]})" if len(shown) > 1 else (shown or [decimals.NONE])[0]


def build_cost_cell(seconds: float | None, money: float | None) -> Cell:
    """Return a cell for a one-time cost: the time, and dollars in brackets."""
    return number(seconds, "seconds", "" if finite(money) is None else f" ({dollars(money)})")


# ---- cells

WRITERS: Mapping[Unit, Callable[[float | None], str]] = {
    "mean": decimals.fixed,
    "figure": lambda value: decimals.fixed(value, 4),
    "difference": decimals.signed,
    "p": decimals.p_value,
    "seconds": duration,
    "dollars": dollars,
    "ms": milliseconds,
    "count": count,
    "bytes": size,
    "megabytes": memory,
    "percent": decimals.percent,
    "ratio": ratio,
    "queries": count,
    "added ms": lambda value: added(value, milliseconds),
    "added dollars": lambda value: added(value, dollars),
}


def cell_text(cell: Cell) -> str:
    """Return a cell as text: its words, or its number with the texts around it."""
    if not cell.unit:
        return cell.text
    shown = value_text(cell)
    bounds = bounds_text(cell)
    text = " ".join(part for part in (cell.before, shown, bounds, cell.verdict) if part)
    return (text + cell.text) if shown or bounds or cell.verdict else decimals.NONE


def value_text(cell: Cell) -> str:
    """Return the number of a cell; nothing if it is not known."""
    text = WRITERS[cell.unit](cell.value)
    return "" if text == decimals.NONE else text


def bounds_text(cell: Cell) -> str:
    """Return the bounds of a cell in the manner of its unit; nothing if they are not known."""
    low, high = cell.low, cell.high
    if cell.unit in ("ratio", "queries"):
        return _from_to(low, high, WRITERS[cell.unit])
    if low is None or high is None:
        return ""
    if cell.unit == "difference":
        return decimals.interval(low, high)
    if cell.unit == "percent":
        return f"[{100 * low:.0f}, {100 * high:.0f}]"
    return f"[{WRITERS[cell.unit](low)}, {WRITERS[cell.unit](high)}]"


def _from_to(low: float | None, high: float | None, write: Callable[[float | None], str]) -> str:
    """Return ``(1.20 to 7.00)``; with one bound only, ``(at least 8,000)``."""
    if low is not None and high is not None:
        # Where a cell has to be broken, the bounds stay together.
        return f"({write(low)}{GLUE}to{GLUE}{write(high)})"
    if low is not None:
        return f"(at least {write(low)})"
    return "" if high is None else f"(at most {write(high)})"


# ---- words


def listed(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def first(names: Sequence[str], most: int = 3) -> list[str]:
    """Return the first few names, and how many more there are."""
    more = len(names) - most
    return [*names[:most], f"{more:,} more"] if more > 1 else list(names)


def span(values: Sequence[float], write: Callable[[float | None], str]) -> str:
    """Return ``0.012 to 0.031``, or one number where both ends read the same."""
    return " to ".join(dict.fromkeys(write(value) for value in (min(values), max(values))))


def bare(reason: str) -> str:
    """Return a reason out of a record, to stand inside a sentence."""
    return " ".join(reason.split()).rstrip(".")


def sentence(text: str) -> str:
    """Return a text with a capital letter at its start (but for a name) and a full stop at its end."""
    line = " ".join(text.split())
    if not line:
        return ""
    word = line.split(" ", 1)[0].rstrip(",:;.")
    opening = line[0].upper() if word.isalpha() else line[0]
    return opening + line[1:] + ("" if line[-1] in ".!?" else ".")


def slug(text: str) -> str:
    """Return a text with a hyphen for each sign that is no letter or digit: an id in a page, a name of a file."""
    return "".join(sign if sign.isalnum() else "-" for sign in text)


def anything(value: Any) -> str:
    """Return a value out of a note as text: a count, a small mapping, a word."""
    if value is None or value == "":
        return decimals.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return decimals.NONE if finite(value) is None else f"{value:.4g}"
    if isinstance(value, Mapping):
        # Names and values hold commas of their own.
        return "; ".join(f"{str(key).replace('_', ' ')}: {anything(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(anything(item) for item in value)
    return " ".join(str(value).split())
