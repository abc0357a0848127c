"""Split a dataset so that no document belongs to the questions of two splits."""

from __future__ import annotations

from collections.abc import Mapping

from harness.data.imports.imported import Imported, MissingSplits
from harness.hashing import by_hash

SHARES = (("test", 0.4), ("dev", 0.2))
"""Shares of the queries; the rest is `train`."""


def split_by_document(imported: Imported, seed: int = 0) -> Imported:
    """Return the dataset with whole documents assigned to splits: 40 % of the queries test, 20 % dev, the rest train.

    Queries that share a document, directly or through others, stay together. The same seed gives the same splits.
    """
    queries = {query_id: grades for part in imported.qrels.values() for query_id, grades in part.items()}
    passages = {row["_id"]: row["source_passages"] for row in imported.answers}
    groups = _groups({key: [*grades, *passages.get(key, ())] for key, grades in queries.items()})
    wanted = {split: share * len(queries) for split, share in SHARES}
    parts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for name in by_hash(f"{seed}\t{name}" for name in groups):
        members = groups[name.partition("\t")[2]]
        # A group that is larger than what a split still lacks must not leave the others empty.
        open_splits = [split for split, share in wanted.items() if len(parts[split]) + len(members) / 2 <= share]
        split = open_splits[0] if open_splits else "train" if parts["test"] else "test"
        parts[split] += members
    order = {query_id: place for place, query_id in enumerate(queries)}
    qrels = {
        split: {query_id: dict(queries[query_id]) for query_id in sorted(members, key=order.__getitem__)}
        for split, members in parts.items()
        if members
    }
    problems = [one for one in imported.problems if not isinstance(one, MissingSplits)]
    empty = [split for split, members in parts.items() if not members]
    if empty and queries:
        what = f"no query is left for {' and '.join(map(repr, empty))}: too many questions share a document"
        problems.append(
            MissingSplits(str(imported.source.get("from", "")), what, "add documents with questions of their own")
        )
    return imported._replace(qrels=qrels, problems=problems)


def _groups(documents: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the queries that share documents, by the first of their documents (or the query, if it has none)."""
    root: dict[str, str] = {}

    def top(name: str) -> str:
        while root.setdefault(name, name) != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for query_id, doc_ids in documents.items():
        names = [f"d\t{doc_id}" for doc_id in doc_ids] or [f"q\t{query_id}"]
        first = top(names[0])
        for name in names[1:]:
            other = top(name)
            low, high = min(first, other), max(first, other)
            root[high] = low
            first = low
    groups: dict[str, list[str]] = {}
    for query_id, doc_ids in documents.items():
        name = top(f"d\t{doc_ids[0]}" if doc_ids else f"q\t{query_id}")
        groups.setdefault(name.partition("\t")[2], []).append(query_id)
    return groups
