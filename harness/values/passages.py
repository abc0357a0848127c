"""Names of passages: the id of a chunk says which span of which document it is.

A chunk of the document ``guide`` from character 120 to 480 of its text is called ``guide#120-480``. So the passage can
be found again from the document alone, and rankings of chunks can be compared with judgements of documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

Place = tuple[int, int]
"""Start and end of a span in the text of a document, in characters, the end exclusive."""
SpansOf = Mapping[str, Mapping[str, tuple[Place, ...]]]
"""Where the evidence lies: query_id -> {doc_id: spans}."""
_CHUNK = re.compile(r"(.*)#([0-9]+)-([0-9]+)", re.DOTALL)


class Span(NamedTuple):
    """A part of a document's text."""

    doc_id: str
    start: int
    end: int

    @property
    def place(self) -> Place:
        return self.start, self.end


def chunk_id(doc_id: str, start: int, end: int) -> str:
    """The id of the chunk of a document that has this span."""
    return f"{doc_id}#{start}-{end}"


def span_of(passage_id: str) -> Span | None:
    """The span that the id of a chunk names; None for an id of another form."""
    match = _CHUNK.fullmatch(passage_id)
    return Span(match[1], int(match[2]), int(match[3])) if match else None


def document_of(passage_id: str) -> str:
    """The id of the document that a chunk is a part of; of a document, its own."""
    span = span_of(passage_id)
    return passage_id if span is None else span.doc_id


def overlap(first: Place, second: Place) -> int:
    """How many characters two spans share."""
    return max(0, min(first[1], second[1]) - max(first[0], second[0]))


def holds(chunk: Place, span: Place) -> bool:
    """Whether a chunk holds a span: they share at least half of the shorter one.

    Of chunks that cover a document, at least one holds any span: the one with its middle lies in it, or has half of it.
    """
    return 2 * overlap(chunk, span) >= min(chunk[1] - chunk[0], span[1] - span[0]) and overlap(chunk, span) > 0


def holds_any(chunk: Place, spans: Iterable[Place]) -> bool:
    """Whether a chunk holds one of several spans."""
    return any(holds(chunk, span) for span in spans)


def neighbours_of(passage_ids: Iterable[str]) -> dict[str, list[str]]:
    """The chunks that overlap the one before or after them in their document, each with these."""
    spans = sorted(span for passage_id in passage_ids if (span := span_of(passage_id)))
    found: dict[str, list[str]] = {}
    for before, after in pairwise(spans):
        if before.doc_id == after.doc_id and overlap(before.place, after.place):
            first, second = chunk_id(*before), chunk_id(*after)
            found.setdefault(first, []).append(second)
            found.setdefault(second, []).append(first)
    return found
