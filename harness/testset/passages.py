"""The passages of a corpus that can be asked about, in an order by hash: a larger test set holds the smaller.

This module must not know how questions are written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from harness.hashing import by_hash
from harness.text.chunks import split
from harness.values.records import Document

LEAST_WORDS = 40
"""A passage has at least so many words, unless its document has no other."""
LEAST_OF_ALL = 8
"""A document with fewer words holds no fact to ask for."""
PROSE_SHARE = 0.5
"""Of the characters of a passage, the share that letters and spaces have at least: the rest is code or a table."""
_DENSE = r"\u2e80-\u2fff\u3040-\u9fff\uac00-\ud7a3\uf900-\ufaff\u0e00-\u0e7f"
_UNIT = re.compile(rf"[{_DENSE}]|[^\s{_DENSE}]+")
"""A word, or a character of a script without spaces."""
_LISTING = re.compile(r"^(?:>>> |\.\.\. |\s*\||\s*[-+=*]{4,}|\.\. |:\w+:|\[\d+\])")
"""A line of code, of a table, of markup or of references."""
TOO_SHORT, LISTING, TWICE = "too short", "mostly code, tables or references", "same text as another passage"


class Passage(NamedTuple):
    """A passage: its span in the text of its document, and the headings that it stands under."""

    doc_id: str
    title: str
    start: int
    end: int
    text: str
    headings: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The title and the headings on one line."""
        return " > ".join(dict.fromkeys(part for part in (self.title, *self.headings) if part))


class Passages(NamedTuple):
    """The passages by document, both in the order of their hashes; `left_out` counts the others by reason."""

    by_document: Mapping[str, tuple[Passage, ...]]
    left_out: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(map(len, self.by_document.values()))

    def without(self, lacks: Callable[[Passage], str]) -> Passages:
        """Return the passages for which `lacks` gives no reason; the others are counted by it."""
        left_out: Counter[str] = Counter(self.left_out)
        by_document = {}
        for doc_id, passages in self.by_document.items():
            reasons = [lacks(passage) for passage in passages]
            left_out.update(filter(None, reasons))
            if kept := tuple(one for one, reason in zip(passages, reasons, strict=True) if not reason):
                by_document[doc_id] = kept
        return Passages(by_document, dict(left_out))


def units(text: str) -> list[tuple[int, int]]:
    """Return the spans of words, and of single characters of scripts without spaces."""
    return [match.span() for match in _UNIT.finditer(text)]


def passages_of(documents: Iterable[Document], words: int, seed: int) -> Passages:
    """Cut documents into passages of at most `words` words; passages with nothing to ask about are left out.

    So are those that several documents have: no document alone would answer a question about one.
    """
    by_id = {document.doc_id: document for document in documents}
    cut = {doc_id: tuple(_cut(document, words)) for doc_id, document in by_id.items()}
    holders = Counter(text for passages in cut.values() for text in {_plain(passage) for passage in passages})
    left_out: Counter[str] = Counter()
    found: dict[str, tuple[Passage, ...]] = {}
    order = by_hash(f"{seed}\n{doc_id}" for doc_id in by_id)
    for key in order:
        document = by_id[key.split("\n", 1)[1]]
        usable, seen, size = list[Passage](), set[str](), len(units(document.text))
        for passage in cut[document.doc_id]:
            reason, text = _reason(passage, size), _plain(passage)
            if not reason and (holders[text] > 1 or text in seen):
                reason = TWICE
            if reason:
                left_out[reason] += 1
                continue
            seen.add(text)
            usable.append(passage)
        ranks = {key: rank for rank, key in enumerate(by_hash(f"{seed}\n{one.doc_id}\n{one.text}" for one in usable))}
        if usable:
            found[document.doc_id] = tuple(sorted(usable, key=lambda one: ranks[f"{seed}\n{one.doc_id}\n{one.text}"]))
    return Passages(found, dict(left_out))


def _plain(passage: Passage) -> str:
    return " ".join(passage.text.split()).casefold()


def _cut(document: Document, words: int) -> Iterable[Passage]:
    """Yield the passages of a document, without white space around them; sections that fit into one are joined."""
    text = document.text
    joined: list[tuple[int, int, tuple[str, ...]]] = []
    for piece in split(text, by="headings", tokens=words, tokenize=units):
        if joined and len(units(text[joined[-1][0] : piece.end])) <= words:
            start, _, above = joined[-1]
            joined[-1] = (start, piece.end, _shared(above, piece.headings))
        else:
            joined.append((piece.start, piece.end, piece.headings))
    for first, last, headings in joined:
        inner = text[first:last]
        start, end = first + len(inner) - len(inner.lstrip()), first + len(inner.rstrip())
        if end > start:
            yield Passage(document.doc_id, document.title, start, end, text[start:end], headings)


def _shared(above: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the headings that two sections stand under, as far as these are the same."""
    same = next((n for n, (a, b) in enumerate(zip(above, other, strict=False)) if a != b), min(len(above), len(other)))
    return above[:same]


def _reason(passage: Passage, words_of_document: int) -> str:
    """Return why nobody can ask about a passage; empty if somebody can."""
    words = len(units(passage.text))
    if words < LEAST_OF_ALL or (words < LEAST_WORDS and words_of_document >= 2 * LEAST_WORDS):
        return TOO_SHORT
    lines = [line for line in passage.text.splitlines() if line.strip()]
    listed = sum(len(line) for line in lines if _LISTING.match(line))
    plain = sum(character.isalpha() or character.isspace() for character in passage.text)
    if listed > (1 - PROSE_SHARE) * sum(map(len, lines)) or plain < PROSE_SHARE * len(passage.text):
        return LISTING
    return ""
