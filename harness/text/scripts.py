"""Characters: their script, the characters of words in any script, and a canonical form of equal texts.

This module must not know languages.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import cache, lru_cache

SPACELESS = {
    "CJK": ((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
            (0x20000, 0x323AF), (0x3105, 0x312F)),
    "KANA": ((0x3041, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF)),
    "THAI": ((0x0E01, 0x0E3A), (0x0E40, 0x0E4E)),
    "LAO": ((0x0E81, 0x0ECE),),
    "MYANMAR": ((0x1000, 0x103F), (0x1050, 0x109D), (0xAA60, 0xAA7F)),
    "KHMER": ((0x1780, 0x17D3), (0x17DC, 0x17DD)),
}  # fmt: skip
"""Scripts that set no space between words, by their code points."""
IDEOGRAPHS = ("CJK", "KANA")
HANGUL = ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97C), (0xAC00, 0xD7FB))
"""Set apart by spaces, but with endings that no list of suffixes cuts off."""
_PLANES = (range(0x40000), range(0xE0000, 0xF0000))
"""Where Unicode assigns characters; the rest of its code points are empty or private."""
_ASCII_WORDS = re.compile("[A-Za-z0-9_]+")
_MARKS = "[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u08d3-\u08ff\u0640\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"
"""Vowel signs and lengthening strokes of Arabic and points of Hebrew, which most writers leave out."""
_ALIKE = str.maketrans({
    "أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ی": "ي", "ې": "ي", "ک": "ك", "ة": "ه", "ۀ": "ه",
    "\u200b": " ", "\u2060": None, "\u200c": None, "\u200d": None, "\u00ad": None, "\ufeff": None,
    "\u200e": None, "\u200f": None,
})  # fmt: skip


def _ranges(spans: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in spans)


@cache
def _word_ranges(without: tuple[tuple[int, int], ...]) -> str:
    """Letters, marks and numbers of every script but those spans, and the underscore, as the inside of a class."""
    spans: list[list[int]] = []
    for code in itertools.chain(*_PLANES):
        if code == 0x5F or unicodedata.category(chr(code))[0] in "LMN":
            if any(low <= code <= high for low, high in without):
                continue
            if spans and spans[-1][1] == code - 1:
                spans[-1][1] = code
            else:
                spans.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" if high > low else re.escape(chr(low)) for low, high in spans)


@cache
def word_pattern() -> re.Pattern[str]:
    """Return the pattern of words in any script. Groups: ``ideographs``, ``syllables`` (of other scripts without spaces), ``hangul``."""
    ideographs = tuple(span for script in IDEOGRAPHS for span in SPACELESS[script])
    others = tuple(span for script, spans in SPACELESS.items() if script not in IDEOGRAPHS for span in spans)
    rest = _word_ranges((*ideographs, *others, *HANGUL))
    return re.compile(
        f"(?P<ideographs>[{_ranges(ideographs)}]+)|(?P<syllables>[{_ranges(others)}]+)"
        f"|(?P<hangul>[{_ranges(HANGUL)}]+)|[{rest}]+"
    )


def words_of(text: str) -> list[str]:
    """Return the words of a text as `word_pattern` matches them."""
    if text.isascii():
        return _ASCII_WORDS.findall(text)
    return [match[0] for match in word_pattern().finditer(text)]


@cache
def _digits() -> dict[int, str]:
    """Decimal digits of every script as those of ASCII."""
    return {
        code: str(unicodedata.decimal(chr(code)))
        for code in itertools.chain(*_PLANES)
        if code >= 0x80 and unicodedata.category(chr(code)) == "Nd"
    }


def canonical(text: str) -> str:
    """Return the canonical form of a text: width, composition, digits, vowel signs and white space are unified.

    Case and punctuation are kept.
    """
    if text.isascii():
        return " ".join(text.split())
    plain = re.sub(_MARKS, "", unicodedata.normalize("NFKC", text)).translate(_ALIKE).translate(_digits())
    return " ".join(plain.split())


@cache
def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def clusters(run: str) -> list[str]:
    """The characters of a run, each with the marks that belong to it."""
    if not any(map(_is_mark, run)):
        return list(run)
    starts = [place for place, character in enumerate(run) if place == 0 or not _is_mark(character)]
    return [run[start:end] for start, end in itertools.pairwise([*starts, len(run)])]


@lru_cache(maxsize=20_000)
def script_of(character: str) -> str:
    """Return the script of a letter, such as ``LATIN``, ``CYRILLIC`` or ``CJK``; empty if it is no letter."""
    if not character.isalpha():
        return ""
    code = ord(character)
    for script, spans in SPACELESS.items():
        if any(low <= code <= high for low, high in spans):
            return script
    if any(low <= code <= high for low, high in HANGUL):
        return "HANGUL"
    return unicodedata.name(character, "").split(" ", 1)[0].removeprefix("FULLWIDTH").strip()
