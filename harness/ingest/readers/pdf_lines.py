"""Lines of a page of a PDF, with the size of their letters and where they stand."""

from __future__ import annotations

import ctypes
import math
import re
from typing import Any, NamedTuple

HYPHEN = "\x02"
"""The end of a line that divides a word; pdfium writes it so, and mostly goes on with the rest of the word."""
MARGIN = 0.1
"""Share of the height of a page."""
_MARKS = re.compile("[\x02\xad\ufffe](?=.)")
_HARMLESS = re.compile("[\x00\x01\x03-\x08\x0e-\x1f\uffff]")
_LEADERS = re.compile(r"(?:\.\s?){5,}")


class Line(NamedTuple):
    """`size` is that of its letters in points, rounded to halves. `right` is its edge, in points.

    `top` and `bottom` are the heights at which its letters stand: it may be two lines that a divided word joins.
    `margin` says that it stands where a page has its running title or its number.
    """

    text: str
    size: float
    right: float
    top: float
    bottom: float
    margin: bool = False


def lines_of(page: Any) -> list[Line]:
    """Return the lines of a page in reading order, without empty ones; the page is closed."""
    text_page = page.get_textpage()
    try:
        height = page.get_height()
        return [line._replace(margin=_in_margin(line, height)) for line in _lines(text_page)]
    finally:
        text_page.close()
        page.close()


def _lines(text_page: Any) -> list[Line]:
    from pypdfium2 import raw

    lines: list[Line] = []
    held: list[str] = []
    places: list[int] = []
    for number in range(raw.FPDFText_CountChars(text_page)):
        code = raw.FPDFText_GetUnicode(text_page, number)
        if code in (10, 13):
            _end(lines, held, places, text_page)
            continue
        # Halves of surrogate pairs are one character of UTF-16 each.
        held.append(chr(code) if code <= 0x10FFFF else "\ufffd")
        if code > 32:
            places.append(number)
    _end(lines, held, places, text_page)
    return lines


def _end(lines: list[Line], held: list[str], places: list[int], text_page: Any) -> None:
    """Add the line that was held, if there is any, and hold none."""
    text = "".join(held)
    if places:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if _halved(text) else text
        plain = _LEADERS.sub("... ", " ".join(_MARKS.sub("", _HARMLESS.sub("", whole).rstrip()).split()))
        if plain.strip("\x02\xad\ufffe"):
            plain = plain[:-1] + HYPHEN if plain.endswith(("\xad", "\ufffe")) else plain
            sizes = [_size(text_page, places[place]) for place in (0, len(places) // 2, -1)]
            right, bottom = _corner(text_page, places[-1])
            lines.append(Line(plain, sorted(sizes)[1], right, _corner(text_page, places[0])[1], bottom))
    held.clear()
    places.clear()


def _in_margin(line: Line, height: float) -> bool:
    return line.bottom > (1 - MARGIN) * height or line.top < MARGIN * height


def _halved(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _size(text_page: Any, number: int) -> float:
    """The size of a letter as it is shown: that of its font, scaled as its matrix says."""
    from pypdfium2 import raw

    size = raw.FPDFText_GetFontSize(text_page, number)
    matrix = raw.FS_MATRIX()
    if raw.FPDFText_GetMatrix(text_page, number, matrix):
        size *= math.hypot(matrix.c, matrix.d)
    return round(2 * size) / 2 if math.isfinite(size) else 0.0


def _corner(text_page: Any, number: int) -> tuple[float, float]:
    """The right edge of a letter, and the line that it stands on."""
    from pypdfium2 import raw

    x, y = ctypes.c_double(), ctypes.c_double()
    sides = [ctypes.c_double() for _ in range(4)]
    raw.FPDFText_GetCharOrigin(text_page, number, x, y)
    raw.FPDFText_GetCharBox(text_page, number, *sides)
    return (sides[1].value, y.value)
