"""Where the evidence for a query lies in its documents: `spans.jsonl`, read and checked.

A span refines the judgement of its query and document: of a document that is cut into chunks, only those that hold the
span are relevant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.formats import read_jsonl
from harness.errors import Problem
from harness.values.grades import relevant_grades
from harness.values.passages import Place, SpansOf
from harness.values.records import Document, Qrels
from harness.values.repairs import Repairing

FORM = 'write {"query_id": "...", "doc_id": "...", "start": 0, "end": 100}'
ORDINARY = ("query_id", "doc_id")
NAMES = {
    "query_id": ("query_id", "query-id", "qid", "query"),
    "doc_id": ("doc_id", "corpus-id", "corpus_id", "document_id", "docid", "doc"),
}


class EvidenceSpan(NamedTuple):
    """Where the evidence for a query lies in a document, in characters of its text, and where that was read."""

    query_id: str
    doc_id: str
    place: Place
    where: str


def read_spans(path: Path, problems: list[Problem], repairing: Repairing) -> list[EvidenceSpan]:
    """Read the spans of a folder; none if it has no such file. A line that says nothing clear is a problem."""
    if not path.exists():
        return []
    spans = []
    for number, row in read_jsonl(path, problems, repairing):
        where = f"{path}:{number}"
        ids = {name: _id(row, name) for name in ORDINARY}
        start, end = row.get("start"), row.get("end")
        if not all(ids.values()):
            missing = " and no ".join(name for name in ORDINARY if not ids[name])
            problems.append(Problem(where, f"no {missing}", FORM))
        elif not _is_place(start) or not _is_place(end) or not start < end:  # type: ignore[operator]
            what = f"start {start!r} and end {end!r} are no span: whole numbers, the first the smaller"
            problems.append(Problem(where, what, FORM))
        else:
            spans.append(EvidenceSpan(ids["query_id"], ids["doc_id"], (int(start), int(end)), where))  # type: ignore[arg-type]
    return spans


def _id(row: Mapping[str, Any], name: str) -> str:
    value = next((row[known] for known in NAMES[name] if row.get(known) is not None), "")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def checked_spans(
    spans: Iterable[EvidenceSpan], qrels: Qrels, documents: Mapping[str, Document], level: int,
    problems: list[Problem], repairing: Repairing,
) -> dict[str, dict[str, tuple[Place, ...]]]:  # fmt: skip
    """Return the spans of judged queries and documents: query_id -> {doc_id: spans}, in order and each once.

    Where a query has any span, its relevant documents without one are evidence as a whole. A span that ends behind its
    document is a problem; one that no judgement stands behind is left out and counted.
    """
    found: dict[str, dict[str, set[Place]]] = {}
    for span in spans:
        if span.doc_id not in qrels.get(span.query_id, {}) or span.doc_id not in documents:
            repairing.note("absent-span", span.where, f"{span.doc_id!r} of query {span.query_id!r}")
            continue
        length = len(documents[span.doc_id].text)
        if span.place[1] > length:
            what = f"the span ends at {span.place[1]}, and the text of {span.doc_id!r} has {length} characters"
            hint = "count characters of 'text', without the title; if the document has changed, mend or remove the span"
            problems.append(Problem(span.where, what, hint))
            continue
        found.setdefault(span.query_id, {}).setdefault(span.doc_id, set()).add(span.place)
    for query_id, of_query in found.items():
        for doc_id in relevant_grades(qrels[query_id], level):
            if doc_id in documents:
                of_query.setdefault(doc_id, {(0, max(1, len(documents[doc_id].text)))})
    return {key: {doc: tuple(sorted(places)) for doc, places in docs.items()} for key, docs in found.items()}


def of_queries(spans: SpansOf, query_ids: Sequence[str]) -> SpansOf:
    """The spans of some queries, in their order."""
    return {key: spans[key] for key in query_ids if key in spans}
