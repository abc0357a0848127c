"""Counts over the documents as they pass: sections, words, languages, duplicates. No text is kept."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter, defaultdict
from typing import Any

from harness.ingest.alike import Sketches
from harness.text import text_of
from harness.text.chunks import headings
from harness.text.detection import CHARACTERS, of_text
from harness.text.languages import ENGLISH

ENCODER_TOKENS, ENCODER_WORDS = 256, 190
"""What a small encoder reads of a text, and about how many English words that is."""

FEW_WORDS = 10
"""Below so many words, no language is recognised: names and part numbers have none."""


class Tally:
    """Takes each document once; `summary` is what the report says of them."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._words: list[int] = []
        self._sections: list[int] = []
        self._languages = Counter[str]()
        self._same: dict[bytes, list[int]] = defaultdict(list)
        self._sketches = Sketches()

    def add(self, identifier: str, title: str, text: str, language: str | None = None) -> str:
        """Count a document; return its language, empty if none is recognised. It is not asked for if it is given."""
        number = len(self._ids)
        self._ids.append(identifier)
        words = text_of(ENGLISH).words(text)
        if language is None:
            language = _language(title, text) if len(words) >= FEW_WORDS else ""
        if language and language != ENGLISH:
            words = text_of(language).words(text)
        self._words.append(len(words))
        self._sections.append(len(headings(text)))
        self._languages[language or "unknown"] += 1
        plain = " ".join(text.split())
        if plain:
            same = self._same[hashlib.sha256(plain.encode("utf-8", "replace")).digest()]
            same.append(number)
            # A repeat is a duplicate already.
            if len(same) == 1:
                self._sketches.add(number, words)
        return language

    def summary(self) -> dict[str, Any]:
        exact = [group for group in self._same.values() if len(group) > 1]
        order = sorted(range(len(self._ids)), key=lambda number: -self._words[number])
        return {
            "documents": len(self._ids),
            "sections": sum(self._sections),
            "documents_with_sections": sum(map(bool, self._sections)),
            "languages": dict(self._languages.most_common()),
            "words": {
                "all": sum(self._words),
                "median": statistics.median_low(self._words) if self._words else 0,
                "longest": self._words[order[0]] if order else 0,
                "longest_id": self._ids[order[0]] if order else "",
                "limit": ENCODER_WORDS,
                "beyond_limit": sum(count > ENCODER_WORDS for count in self._words),
            },
            "duplicates": {"exact": self._named(exact), "near": self._named(self._sketches.groups())},
        }

    def _named(self, groups: list[list[int]]) -> list[list[str]]:
        return [[self._ids[number] for number in group] for group in sorted(groups)]


def _language(title: str, text: str) -> str:
    """The language of a document by its beginning, else by its middle: a page may begin with links and badges."""
    middle = len(text) // 2
    return (
        of_text(f"{title}\n{text[:CHARACTERS]}")
        or (of_text(text[middle : middle + CHARACTERS]) if middle > CHARACTERS else None)
        or ""
    )
