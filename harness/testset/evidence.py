"""Where in its passage the evidence of an answer lies: the place of a quotation, even with small errors."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.testset.passages import Passage

ALIKE = 90.0
"""How like a quotation its place is at least, in percent of equal characters: models correct what they copy."""
LEAST = 12
"""A shorter quotation must be there letter by letter."""
Span = tuple[str, int, int]
"""Document, start and end of a piece of its text, in characters; the end is exclusive."""


def place_of(quote: str, passage: Passage) -> Span | None:
    """Return the span of a quotation in the text of the passage's document; None if it is not there."""
    words = quote.split()
    if not words:
        return None
    pattern = r"\s+".join(map(re.escape, words))
    match = re.search(pattern, passage.text) or re.search(pattern, passage.text, re.IGNORECASE)
    if match:
        return passage.doc_id, passage.start + match.start(), passage.start + match.end()
    return _nearly(" ".join(words), passage)


def _nearly(quote: str, passage: Passage) -> Span | None:
    from rapidfuzz.fuzz import partial_ratio_alignment

    if not LEAST <= len(quote) <= 1.2 * len(passage.text):
        return None
    # One line for one line, so that places stay the same.
    text = re.sub(r"\s", " ", passage.text)
    found = partial_ratio_alignment(quote, text, score_cutoff=ALIKE)
    if found is None or found.dest_end <= found.dest_start:
        return None
    start, end = found.dest_start, found.dest_end
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    return passage.doc_id, passage.start + start, passage.start + end


def places_of(quotes: Sequence[str], passages: Sequence[Passage]) -> list[Span]:
    """Return the spans of quotations in any of the passages, without repeats; those that are nowhere are left out."""
    found = []
    for quote in quotes:
        places = (place_of(quote, passage) for passage in passages)
        if (span := next((one for one in places if one), None)) is not None:
            found.append(span)
    return list(dict.fromkeys(found))


def covers(spans: Sequence[Span], passage: Passage) -> bool:
    """Return whether one of the spans lies in a passage."""
    return any(doc_id == passage.doc_id and passage.start <= start < passage.end for doc_id, start, _ in spans)
