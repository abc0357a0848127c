"""Find passages in documents that come one by one, exactly or with other white space.

Of several exact places, the first one of the first document counts; one with other white space counts only if there is
no exact one.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

from harness.text.scripts import SPACELESS

_DENSE = "".join(f"{chr(low)}-{chr(high)}" for spans in SPACELESS.values() for low, high in spans)
WORD = re.compile(rf"[{_DENSE}]|[^\W{_DENSE}]+")
"""A word, or a character of a script without spaces."""
FILLED = re.compile(r"\S+")
PROBES = 4
"""Rarest words of a passage, all of which a document must have before it is searched."""
LEAST = 12
"""A passage with fewer characters, without white space, says nothing of where it was taken from."""


class Place(NamedTuple):
    """Where a passage lies in a document, in characters, and the text there."""

    doc_id: str
    start: int
    end: int
    text: str

    def inner(self, passage: str, start: int, end: int) -> tuple[int, int]:
        """Return where a part of the passage lies in the document; all of it for a part that is blank."""
        before, inside = (len("".join(FILLED.findall(part))) for part in (passage[:start], passage[start:end]))
        if not inside:
            return self.start, self.end
        letters = [match.start() for match in re.finditer(r"\S", self.text)]
        return self.start + letters[before], self.start + letters[before + inside - 1] + 1


class _Wanted(NamedTuple):
    passage: str
    exact: str
    squeezed: str
    probes: frozenset[str]


class Search:
    """Searches documents for passages that are known beforehand; only the passages are held in memory."""

    def __init__(self, passages: Iterable[str]) -> None:
        squeezed = {passage: "".join(FILLED.findall(passage)) for passage in passages}
        # The first and the last word may be cut.
        words = {one: WORD.findall(one.strip())[1:-1] for one, text in squeezed.items() if len(text) >= LEAST}
        counts = Counter(word for found in words.values() for word in set(found))
        self._by_word: dict[str, list[_Wanted]] = {}
        self._exact: dict[str, Place] = {}
        self._loose: dict[str, Place] = {}
        for passage, found in words.items():
            rarest = sorted(set(found), key=lambda word: (counts[word], -len(word), word))[:PROBES]
            wanted = _Wanted(passage, passage.strip(), squeezed[passage], frozenset(rarest))
            self._by_word.setdefault(rarest[0] if rarest else "", []).append(wanted)

    def see(self, doc_id: str, text: str) -> None:
        """Look for every passage in a document."""
        words = {"", *WORD.findall(text)}
        squeezed: Squeezed | None = None
        for wanted in [one for word in words & self._by_word.keys() for one in self._by_word[word]]:
            if wanted.passage in self._exact or not wanted.probes <= words:
                continue
            start = text.find(wanted.exact)
            if start >= 0:
                self._exact[wanted.passage] = Place(doc_id, start, start + len(wanted.exact), wanted.exact)
            elif wanted.passage not in self._loose:
                squeezed = squeezed or Squeezed(text)
                start = squeezed.text.find(wanted.squeezed)
                if start >= 0:
                    first, last = squeezed.place(start), squeezed.place(start + len(wanted.squeezed) - 1) + 1
                    self._loose[wanted.passage] = Place(doc_id, first, last, text[first:last])

    def place(self, passage: str) -> Place | None:
        """Return where a passage lies in the documents that were seen; None if it is in none of them."""
        return self._exact.get(passage) or self._loose.get(passage)


class Squeezed:
    """A text without white space, and the way back to its own places."""

    def __init__(self, text: str) -> None:
        words = [(match.start(), match.group()) for match in FILLED.finditer(text)]
        self.text = "".join(word for _, word in words)
        self.starts = array("q", (start for start, _ in words))
        self.squeezed = array("q", accumulate((len(word) for _, word in words), initial=0))

    def place(self, index: int) -> int:
        """Return the place in the text as it was of a character."""
        word = bisect_right(self.squeezed, index) - 1
        return self.starts[word] + index - self.squeezed[word]
