"""Tables of a retrieval benchmark: documents, queries, and judgements by their ids, as BEIR and MTEB publish them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.data.imports.cells import cell, identifier, metadata_of, text_of
from harness.data.imports.gathering import Gathering
from harness.data.imports.imported import Damaged, Table
from harness.data.imports.names import ID, find
from harness.data.judgements import DOCUMENT_NAMES, GRADE_NAMES, QUERY_NAMES
from harness.text.decimals import is_finite

TEXT = ("text", "query", "question", "contents", "content")


def _column(table: Table, known: frozenset[str]) -> str | None:
    return next((name for name in table.columns if name.strip().lower().replace("_", "-") in known), None)


def is_qrels(table: Table) -> bool:
    """Return whether a table has columns of query, document and grade by their names, and ids in the first two."""
    query, document, grade = (_column(table, names) for names in (QUERY_NAMES, DOCUMENT_NAMES, GRADE_NAMES))
    if query is None or document is None or grade is None:
        return False
    cells = [row.cells.get(name) for row in table.rows[:50] for name in (query, document)]
    texts = sum(isinstance(value, str) and len(value.split()) > 1 for value in cells)
    return texts * 2 < max(len(cells), 1)


def read_queries(table: Table, gathering: Gathering) -> None:
    """Read queries by id and text; their splits come from their judgements."""
    key, text = find(table.columns, ID), find(table.columns, TEXT)
    for row in table.rows:
        try:
            query_id = identifier(cell(row.cells, key))
            if query_id is None or text is None:
                raise Damaged("no id" if query_id is None else "no text", 'write {"_id": ..., "text": ...}')
            inner = row.cells.get("metadata")
            metadata = metadata_of(inner if isinstance(inner, Mapping) else {}, ())
            metadata |= metadata_of(row.cells, [str(key), text, "metadata"])
            gathering.query(text_of(cell(row.cells, text), text), None, query_id, (), metadata, row.where)
        except Damaged as error:
            gathering.failed(row.where, error)


def read_qrels(table: Table, gathering: Gathering) -> None:
    """Read judgements into the split of their table."""
    query, document, grade = (_column(table, names) for names in (QUERY_NAMES, DOCUMENT_NAMES, GRADE_NAMES))
    for row in table.rows:
        try:
            query_id, doc_id = identifier(cell(row.cells, query)), identifier(cell(row.cells, document))
            if query_id is None or doc_id is None:
                raise Damaged(f"no {'query' if query_id is None else 'document'} id")
            gathering.judge(query_id, doc_id, grade_of(cell(row.cells, grade)), table.split or "test")
        except Damaged as error:
            gathering.failed(row.where, error)


def grade_of(value: Any) -> int:
    """Return a grade as a whole number; raise Damaged for any other value."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise Damaged(f"relevance {value!r} is not an integer", "use grades such as 0, 1, 2") from None
    if isinstance(value, int) and not isinstance(value, bool) and not is_finite(value):
        raise Damaged("a relevance of more than 300 digits", "use grades such as 0, 1, 2")
    if not is_finite(value) or value != int(value):
        raise Damaged(f"relevance {value!r} is not an integer", "use grades such as 0, 1, 2")
    return int(value)
