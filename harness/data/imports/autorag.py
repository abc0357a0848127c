"""AutoRAG's two tables: a corpus of passages, and questions with the ids of the passages that answer them.

Passages that say where in which file they stand are joined to that file again, and judgements of them become spans:
then chunkings can be compared. This needs every part of the file: passages that touch, overlap, or are apart by no more
than white space. Where a part is missing, the passages of that file stay documents.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from harness.data.imports.cells import identifier, metadata_of, nested_ids, strings, text_of
from harness.data.imports.gathering import Gathering
from harness.data.imports.imported import Damaged, Table

GAP = 8
"""Most characters of white space that a splitter takes from between two passages."""
OVERLAP = 20
"""Fewest equal characters that are an overlap of two passages, and no chance."""
PARTS = ("path", "start_end_idx", "doc_id", "contents", "metadata")


class Passage(NamedTuple):
    """A row of the corpus, and the place in its file; `start` is -1 where the row names none."""

    doc_id: str
    text: str
    path: str
    page: int
    start: int
    metadata: dict[str, Any]
    where: str


class Piece(NamedTuple):
    """Where a passage lies in a document."""

    doc_id: str
    start: int
    end: int


def is_corpus(table: Table) -> bool:
    """Return whether a table has the columns of AutoRAG's corpus."""
    return {"doc_id", "contents"} <= set(table.columns)


def is_qa(table: Table) -> bool:
    """Return whether a table has the columns of AutoRAG's questions."""
    return {"query", "retrieval_gt"} <= set(table.columns)


def read_corpus(table: Table, gathering: Gathering) -> dict[str, Piece]:
    """Add the documents of a corpus; return where each passage lies, unless the passage is a document itself."""
    by_file: dict[tuple[str, int], list[Passage]] = {}
    known: dict[str, str] = {}
    for row in table.rows:
        try:
            passage = _passage(row.cells, row.where)
            if known.setdefault(passage.doc_id, passage.text) != passage.text:
                raise Damaged(f"document id {passage.doc_id!r} is used twice", "rename one")
            by_file.setdefault((passage.path, passage.page), []).append(passage)
        except Damaged as error:
            gathering.failed(row.where, error)
    pieces: dict[str, Piece] = {}
    apart = 0
    for (path, page), passages in by_file.items():
        whole = joined(passages) if path else None
        if whole is None or len(passages) == 1:
            apart += len(passages) if path and len(passages) > 1 else 0
            _separate(passages, gathering)
            continue
        text, places = whole
        title = file_name(path) + (f", page {page}" if page >= 0 else "")
        doc_id = gathering.document(text, title, identifier(path if page < 0 else f"{path}#{page}"), {"path": title})
        pieces |= {passage.doc_id: Piece(doc_id, *place) for passage, place in zip(passages, places, strict=True)}
    if apart:
        hint = "import the files themselves to compare chunkings"
        gathering.note(f"{apart:,} passages are documents: parts of their files are missing", hint)
    return pieces


def _separate(passages: Sequence[Passage], gathering: Gathering) -> None:
    for passage in passages:
        try:
            title = file_name(passage.path)
            gathering.document(passage.text, title, passage.doc_id, passage.metadata, passage.where)
        except Damaged as error:
            gathering.failed(passage.where, error)


def file_name(path: str) -> str:
    """Return the last part of a path of any system."""
    return (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).name


def _passage(cells: Mapping[str, Any], where: str) -> Passage:
    doc_id = identifier(cells.get("doc_id"))
    text = text_of(cells.get("contents"), "contents")
    if doc_id is None or not text.strip():
        raise Damaged("no doc_id" if doc_id is None else "a passage without contents")
    inner = cells.get("metadata")
    metadata = metadata_of(inner if isinstance(inner, Mapping) else {}, ("last_modified_datetime", "path"))
    metadata |= metadata_of(cells, PARTS)
    path = text_of(cells.get("path"), "path")
    page = metadata.get("page")
    place = cells.get("start_end_idx")
    start = -1
    if isinstance(place, list | tuple) and len(place) == 2 and all(isinstance(one, int) for one in place):
        # The end is that of the last character, in older tables that of the next one.
        length = place[1] - place[0] + 1
        body = text if len(text) in (length, length - 1) else _without_name(text, path)
        if len(body) in (length, length - 1):
            text, start = body, place[0]
    return Passage(doc_id, text, path, page if isinstance(page, int) else -1, start, metadata, where)


def _without_name(text: str, path: str) -> str:
    """Return the contents without the name of the file, which AutoRAG can write before them in three languages."""
    head, _, body = text.partition("\n")
    label, colon, rest = body.partition(": ")
    named = bool(path) and head.endswith(f": {file_name(path)}")
    return rest if named and colon and label.strip() in ("contents", "내용") else text


def joined(passages: Sequence[Passage]) -> tuple[str, list[tuple[int, int]]] | None:
    """Return the text of a file and the place of each passage in it; None if a part is missing or contradicts another.

    White space between passages is not known: it becomes one line break, or a blank line where it was longer.
    """
    passages = _apart(passages)
    places: dict[int, tuple[int, int]] = {}
    text, shift = "", 0
    in_order = sorted(range(len(passages)), key=lambda one: (passages[one].start, -len(passages[one].text)))
    for number in in_order:
        passage = passages[number]
        if passage.start < 0:
            return None
        start = passage.start + shift
        gap = start - len(text)
        if gap > GAP:
            return None
        if gap > 0:
            filled = "" if not text else "\n\n" if gap > 1 else "\n"
            text, shift, start = text + filled, shift - gap + len(filled), len(text) + len(filled)
        overlap = text[start:]
        if overlap[: len(passage.text)] != passage.text[: len(overlap)]:
            return None
        text = text[:start] + passage.text if len(passage.text) > len(overlap) else text
        places[number] = (start, start + len(passage.text))
    return text, [places[number] for number in range(len(passages))]


def _apart(passages: Sequence[Passage]) -> Sequence[Passage]:
    """Return the passages with the places that they must have had, if theirs are only the sums of their lengths.

    So AutoRAG counts what LlamaIndex splits, as if nothing overlapped and no white space was taken away.
    """
    in_order = sorted(passages, key=lambda passage: passage.start)
    pairs = list(itertools.pairwise(in_order))
    glued = [not (one.text[-1].isspace() or other.text[0].isspace()) for one, other in pairs]
    if any(other.start != one.start + len(one.text) for one, other in pairs) or not all(glued):
        return passages
    moved, end = {id(in_order[0]): in_order[0]}, in_order[0].start + len(in_order[0].text)
    for one, other in pairs:
        lengths = range(min(len(one.text), len(other.text)), OVERLAP - 1, -1)
        overlap = next((length for length in lengths if one.text.endswith(other.text[:length])), 0)
        start = end - overlap if overlap else end + 1
        moved[id(other)] = other._replace(start=start)
        end = start + len(other.text)
    return [moved[id(passage)] for passage in passages]


def read_qa(table: Table, pieces: Mapping[str, Piece], gathering: Gathering) -> None:
    """Read the questions; alternatives and combinations of passages alike count as relevant."""
    for row in table.rows:
        cells = row.cells
        try:
            text = text_of(cells.get("query"), "query")
            metadata = metadata_of(cells, ("qid", "query", "retrieval_gt", "generation_gt"))
            relevant = nested_ids(cells.get("retrieval_gt"))
            answers = strings(cells.get("generation_gt"), "generation_gt")
            query_id = gathering.query(text, table.split, identifier(cells.get("qid")), (), metadata, row.where)
            passages = []
            for passage_id in relevant:
                piece = pieces.get(passage_id)
                doc_id = passage_id if piece is None else piece.doc_id
                passages.append(doc_id)
                gathering.judge(query_id, doc_id)
                if piece is not None:
                    gathering.span(query_id, *piece)
            if not relevant:
                gathering.note("questions without retrieval_gt are unanswerable")
            gathering.answer(query_id, answers if relevant else [], None if relevant else False, passages)
        except Damaged as error:
            gathering.failed(row.where, error)
