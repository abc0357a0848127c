"""Find the whole sentences of a text, in any language, by layout and punctuation.

A block ends at an empty line, at a list item, at a table or code fence, and where the indentation changes; sentences do
not cross blocks. What has no final punctuation is no sentence: headings, table rows, definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_ITEM = re.compile(r"(?:[-*+•·–]|\(?[0-9]{1,3}[.)]|\(?[a-z]\)|#{1,6}|\||>|```|~~~|\.\.)(?:\s|$)|\|")
_END = re.compile(r"[.!?](?:[\"'\u201d\u2019»)\]]*+)(?=\s|$)|[。！？](?:[」』”）]*)|[؟۔।](?=\s|$)")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\[])(?:[^\W\d_]|(?:[^\W\d_]\.)+[^\W\d_]|e\.?g|i\.?e|al|vs|cf|ca|approx|resp|figs?|tabs?|eqs?|refs?|sec|ch|pp?|"
    r"vol|nos?|ed|eds|dr|mrs?|ms|prof|st|jr|sr|inc|ltd|corp|co|dept|gen|col|lt|spp?|var|etc|bzw|usw|vgl|nr|abb|str|mme|"
    r"mlle|sra?|dra?)$",
    re.IGNORECASE,
)
_LOWER = re.compile(r"\s+[\"'\u201c\u2018(\[]*[^\W\d_A-Z]")


class Sentence(NamedTuple):
    """A sentence on one line, and where it stands in its text."""

    text: str
    start: int
    end: int


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the whole sentences of a text in order. The first of a block may be the end of one cut off before it."""
    for start, end in _blocks(text):
        begin = start
        for match in _END.finditer(text, start, end):
            if _goes_on(text, match, begin, end):
                continue
            yield from _sentence(text, begin, match.end())
            begin = match.end()


def without(text: str, sentence: Sentence) -> str:
    """Return the text without one of its sentences, the rest as it is laid out."""
    before, after = text[: sentence.start].rstrip(" \t"), text[sentence.end :].lstrip(" \t")
    return f"{before} {after}".strip() if before and after and before[-1] != "\n" else f"{before}{after}".strip()


def _sentence(text: str, start: int, end: int) -> Iterator[Sentence]:
    line = " ".join(text[start:end].split())
    if line:
        yield Sentence(line, start + len(text[start:end]) - len(text[start:end].lstrip()), end)


def _goes_on(text: str, match: re.Match[str], begin: int, end: int) -> bool:
    """Whether a full stop ends no sentence: after an abbreviation or initial, or before a small letter."""
    if not match[0].startswith("."):
        return False
    following = _LOWER.match(text, match.end(), end)
    if following and text[following.end() - 1].islower():
        return True
    if match.end() >= end:
        return False
    # An abbreviation is one word, so that a long block is not searched for each of its full stops.
    return _ABBREVIATED.search(text, _before_word(text, begin, match.start()), match.start()) is not None


def _before_word(text: str, begin: int, end: int) -> int:
    """The place of the sign or space before the last word up to `end`, which a line break may follow; else `begin`."""
    place = end - 1 if text[end - 1 : end] == "\n" else end
    while place > begin and not (text[place - 1].isspace() or text[place - 1] in "(["):
        place -= 1
    return max(place - 1, begin)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of the blocks of a text."""
    start = place = 0
    indent: int | None = None
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        inward = len(line) - len(line.lstrip())
        if indent is not None and (not stripped or _ITEM.match(stripped) or inward != indent):
            yield start, place
            indent = None
        if stripped and indent is None:
            item = _ITEM.match(stripped)
            start, indent = place + inward + (item.end() if item else 0), inward
        place += len(line)
    if indent is not None:
        yield start, place
