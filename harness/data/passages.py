"""The passages of documents: what a chunk with a given span shows, and passages by their ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from harness.text import chunks
from harness.values.passages import chunk_id, span_of
from harness.values.records import Document

JOINT = " > "


def passage(document: Document, start: int, end: int) -> Document:
    """The chunk of a document with this span; its title is that of the document, and the headings it stands under."""
    return Document(chunk_id(document.doc_id, start, end), title_at(document, start), document.text[start:end].strip())


def title_at(document: Document, start: int) -> str:
    """The title of the chunk that begins at a place."""
    above = chunks.above(_headings(document.text), start)
    return titled(document.title, above)


def titled(title: str, headings: tuple[str, ...]) -> str:
    """A title with the headings below it; a heading that repeats the title is left out."""
    own = [heading for heading in headings if heading != title]
    return JOINT.join([title, *own] if title else own)


@lru_cache(maxsize=64)
def _headings(text: str) -> list[chunks.Heading]:
    return chunks.headings(text)


class Passages(Mapping[str, Document]):
    """Documents by id, and chunks of them by theirs; iterates over the documents."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = documents

    def __getitem__(self, passage_id: str) -> Document:
        if passage_id in self._documents:
            return self._documents[passage_id]
        span = span_of(passage_id)
        if span is None:
            raise KeyError(passage_id)
        return passage(self._documents[span.doc_id], span.start, span.end)

    def __contains__(self, passage_id: object) -> bool:
        if passage_id in self._documents:
            return True
        span = span_of(passage_id) if isinstance(passage_id, str) else None
        return span is not None and span.doc_id in self._documents

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)
