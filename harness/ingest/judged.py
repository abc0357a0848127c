"""What imports bring beside documents: queries, judgements, answers, spans; never in place of the user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.data.folders import PACKED
from harness.data.imports import Imported
from harness.errors import Problem
from harness.files import write_atomically
from harness.ingest.state import State

QUERIES, ANSWERS, SPANS = "queries.jsonl", "answers.jsonl", "spans.jsonl"
QRELS, SPLITS = "qrels", "splits.tsv"

Row = dict[str, Any]


class Judged:
    """The queries, judgements, answers and spans of all imports, with the ids of documents that were given."""

    def __init__(self) -> None:
        self.queries: dict[str, Row] = {}
        self.qrels: dict[str, dict[str, dict[str, int]]] = {}
        self.answers: list[Row] = []
        self.spans: list[Row] = []

    def add(self, imported: Imported, prefix: str) -> None:
        """Add an import, whose documents have their ids in the corpus.

        `prefix` stands before the id of a query that another import has used.
        """
        queries: dict[str, str] = {}
        for row in imported.queries:
            before = str(row["_id"])
            queries[before] = after = before if before not in self.queries else f"{prefix}/{before}"
            self.queries[after] = {**row, "_id": after}
        for split, judgements in imported.qrels.items():
            ours = self.qrels.setdefault(split, {})
            for query, grades in judgements.items():
                ours.setdefault(queries.get(query, query), {}).update(grades)
        for row in imported.answers:
            self.answers.append({**row, "_id": queries.get(str(row["_id"]), row["_id"])})
        for row in imported.spans:
            query = str(row["query_id"])
            self.spans.append({**row, "query_id": queries.get(query, query)})

    def files(self) -> dict[str, str]:
        """Return the files, as name -> content; none that would be empty."""
        files = {
            QUERIES: _lines(self.queries.values()),
            ANSWERS: _lines(self.answers),
            SPANS: _lines(self.spans),
            SPLITS: _splits(self.qrels),
            **{f"{QRELS}/{split}.tsv": _table(judgements) for split, judgements in sorted(self.qrels.items())},
        }
        return {name: text for name, text in files.items() if text}


def with_ids(imported: Imported, ids: Mapping[str, str]) -> Imported:
    """Return an import whose documents have other ids; one that `ids` lacks keeps its own."""
    qrels = {
        split: {query: {ids.get(doc, doc): grade for doc, grade in docs.items()} for query, docs in queries.items()}
        for split, queries in imported.qrels.items()
    }
    answers = [
        {**row, "source_passages": [ids.get(doc, doc) for doc in row.get("source_passages", ())]}
        for row in imported.answers
    ]
    return imported._replace(
        documents=[{**row, "_id": ids.get(row["_id"], row["_id"])} for row in imported.documents],
        qrels=qrels,
        answers=answers,
        spans=[{**row, "doc_id": ids.get(row["doc_id"], row["doc_id"])} for row in imported.spans],
        contexts={ids.get(doc, doc): pieces for doc, pieces in imported.contexts.items()},
    )


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _splits(qrels: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """The table of queries without judgements, whose split no other file names."""
    rows = [
        f"{query}\t{split}\n" for split, queries in sorted(qrels.items()) for query, docs in queries.items() if not docs
    ]
    return "query-id\tsplit\n" + "".join(rows) if rows else ""


def _table(judgements: Mapping[str, Mapping[str, int]]) -> str:
    rows = [f"{query}\t{doc}\t{grade}\n" for query, docs in judgements.items() for doc, grade in docs.items()]
    return "query-id\tcorpus-id\tscore\n" + "".join(rows) if rows else ""


def write_files(
    folder: Path, files: Mapping[str, str], state: State, keep: bool, problems: list[Problem]
) -> dict[str, str]:
    """Write files beside the corpus; return name -> digest of those that are an ingest's.

    A file that the user has written or changed stays, with a problem. One of an earlier run that is no longer made is
    removed, unless `keep`.
    """
    written: dict[str, str] = {}
    for name, text in files.items():
        path = folder / name
        packed = [path.with_name(path.name + ending) for ending in PACKED]
        theirs = next((one for one in packed if one.exists()), None)
        if theirs is not None or not state.is_ours(path):
            what = "was not written by 'harness ingest', or was changed since, and stays"
            problems.append(
                Problem((theirs or path).relative_to(folder).as_posix(), what, "to replace it, move it away")
            )
            continue
        write_atomically(path, text)
        written[name] = hashlib.sha256(text.encode("utf-8")).hexdigest()
    for name, digest in state.written.items():
        path = folder / name
        if name in files or not path.exists():
            continue
        if not keep and state.is_ours(path):
            path.unlink()
        else:
            written[name] = digest
    return written
