"""Contexts of questions that are parts of documents become spans of these.

A context is a document that came beside a question. It may consist of pieces, such as the paragraphs of an article;
each is looked for by itself, and what is found leaves the context.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.data.imports.imported import Imported, Note
from harness.data.imports.locate import Place, Search

Find = Callable[[str], Place | None]
Piece = tuple[int, int]
JOIN = "\n\n"
"""Between the pieces of a context that are left."""


class Placed(NamedTuple):
    """A dataset whose contexts were looked for: how many pieces of these there are, and how many were found."""

    imported: Imported
    found: int
    pieces: int


def place_contexts(imported: Imported, documents: Sequence[Mapping[str, Any]]) -> Imported:
    """Return the dataset over known documents (rows of `corpus.jsonl`), which come first.

    A document of `imported` that is a part of a known one is replaced by a span of it, in judgements and answers. Other
    documents stay. A note says how many were found.
    """
    known = {str(row["_id"]) for row in documents}
    rest = [row for row in imported.documents if row["_id"] not in known]
    whole = {str(row["_id"]): ((0, len(row["text"])),) for row in rest}
    contexts = {key: imported.contexts.get(key, pieces) for key, pieces in whole.items()}
    asked = imported._replace(documents=rest, contexts=contexts)
    search = Search(pieces_of(asked))
    for row in documents:
        search.see(str(row["_id"]), str(row["text"]))
    placed = move_contexts(asked, search.place).imported
    return placed._replace(documents=[*map(dict, documents), *placed.documents])


def pieces_of(imported: Imported) -> Iterable[str]:
    """Yield the text of every piece of the contexts."""
    for row in imported.documents:
        for start, end in imported.contexts.get(row["_id"], ()):
            yield row["text"][start:end]


def move_contexts(imported: Imported, find: Find) -> Placed:
    """Return the dataset without the pieces of contexts that `find` finds in other documents.

    Judgements, answers and spans name those documents instead. A note says how many were found.
    """
    contexts = {
        row["_id"]: _Context(row, imported.contexts[row["_id"]], find)
        for row in imported.documents
        if row["_id"] in imported.contexts
    }
    pieces = sum(len(context.pieces) for context in contexts.values())
    found = sum(len(context.places) for context in contexts.values())
    placed = _moved(imported, contexts)
    if not pieces:
        return Placed(placed, 0, 0)
    return Placed(placed._replace(problems=[*placed.problems, _note(imported, found, pieces)]), found, pieces)


def _note(imported: Imported, found: int, pieces: int) -> Note:
    where = str(imported.source.get("from", ""))
    what = f"{found:,} of {pieces:,} contexts are parts of other documents and are judged as spans of these"
    if found == pieces:
        return Note(where, what)
    hint = "check that the documents are those that the contexts were taken from"
    return Note(where, f"{what}; the others stay documents of their own", hint)


class _Context:
    """A context, with the places of its pieces that were found.

    `row` is what is left of it, None if nothing is, and `left` has the spans of the pieces in it.
    """

    def __init__(self, row: dict[str, Any], pieces: Sequence[Piece], find: Find) -> None:
        self.doc_id, self.text, self.pieces = str(row["_id"]), str(row["text"]), sorted(pieces)
        found = {piece: find(self.text[slice(*piece)]) for piece in self.pieces}
        self.places = {piece: place for piece, place in found.items() if place is not None}
        left = [piece for piece in self.pieces if piece not in self.places]
        self.row: dict[str, Any] | None = row if left else None
        self._starts, self.left = {piece: piece[0] for piece in left}, tuple(left)
        if left and self.places:
            texts = [self.text[slice(*piece)] for piece in left]
            self.row = {**row, "text": JOIN.join(texts)}
            start = 0
            for piece, text in zip(left, texts, strict=True):
                self._starts[piece] = start
                start += len(text) + len(JOIN)
            self.left = tuple((start, start + last - first) for (first, last), start in self._starts.items())

    def moved(self, start: int, end: int) -> tuple[str, int, int]:
        """Return the document and the place there of a span of the context."""
        piece = self.pieces[max(0, bisect_right(self.pieces, (start, len(self.text))) - 1)]
        first, last = start - piece[0], end - piece[0]
        if piece in self.places:
            place = self.places[piece]
            return place.doc_id, *place.inner(self.text[slice(*piece)], first, last)
        return self.doc_id, self._starts[piece] + first, self._starts[piece] + last

    def whole(self) -> list[tuple[str, int, int]]:
        """Return the places of all pieces."""
        return [self.moved(*piece) for piece in self.pieces]


def _moved(imported: Imported, contexts: Mapping[str, _Context]) -> Imported:
    spans_of: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for span in imported.spans:
        spans_of.setdefault((span["query_id"], span["doc_id"]), []).append((span["start"], span["end"]))
    spans: dict[tuple[str, str, int, int], None] = {}
    sources: dict[tuple[str, str], list[str]] = {}
    qrels: dict[str, dict[str, dict[str, int]]] = {}
    for split, queries in imported.qrels.items():
        qrels[split] = {}
        for query_id, grades in queries.items():
            mine = qrels[split].setdefault(query_id, {})
            for doc_id, grade in grades.items():
                context, stated = contexts.get(doc_id), spans_of.pop((query_id, doc_id), [])
                if context is None:
                    mine[doc_id] = max(grade, mine.get(doc_id, 0))
                    spans |= dict.fromkeys((query_id, doc_id, *span) for span in stated)
                    continue
                places = [context.moved(*span) for span in stated] or context.whole()
                sources[query_id, doc_id] = [name for name, _, _ in places]
                for name, start, end in places:
                    mine[name] = max(grade, mine.get(name, 0))
                    if grade > 0 and (stated or name != doc_id):
                        spans[query_id, name, start, end] = None
    # Spans without a judgement stay: what reads the folder counts them.
    spans |= dict.fromkeys((query, doc, *span) for (query, doc), found in spans_of.items() for span in found)

    def renamed(query_id: str, doc_id: str) -> list[str]:
        context = contexts.get(doc_id)
        whole = [doc_id] if context is None else [name for name, _, _ in context.whole()]
        return sources.get((query_id, doc_id), whole)

    answers = [
        {**row, "source_passages": list(dict.fromkeys(
            name for doc_id in row["source_passages"] for name in renamed(row["_id"], doc_id)
        ))}
        for row in imported.answers
    ]  # fmt: skip
    rows = [dict(zip(("query_id", "doc_id", "start", "end"), span, strict=True)) for span in spans]
    kept = [row if (context := contexts.get(row["_id"])) is None else context.row for row in imported.documents]
    left = {key: context.left for key, context in contexts.items() if context.row is not None}
    return imported._replace(
        documents=[row for row in kept if row is not None], qrels=qrels, answers=answers, spans=rows, contexts=left
    )
