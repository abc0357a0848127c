"""Known positives of training queries: a file beside triplets and labels, so that no stage forgets them.

A pair may be dropped on the way (too few negatives, a label that cannot be read); its document stays relevant. Only
what training may see is in it: training pairs, judgements of the split train, and what relabelling found. Judgements of
dev and test are never read, even for a query that is asked there too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from harness.data.formats import load_jsonl, write_jsonl
from harness.training.batches import text_key
from harness.values.records import Document

KNOWN_FILE = "known.jsonl"


class Known:
    """Documents known to be relevant, by the text of their query, without regard to case and white space."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._documents: dict[str, set[str]] = {}
        self._keys: dict[str, str] = {}
        for query, doc_id in pairs:
            self.add(query, doc_id)

    def add(self, query: str, doc_id: str) -> None:
        self._documents.setdefault(self._key(query), set()).add(doc_id)

    def of(self, query: str) -> Collection[str]:
        """The ids of the documents that are known to be relevant for this query."""
        return self._documents.get(self._key(query), set())

    def renamed(self, queries: Mapping[str, str]) -> Known:
        """The same with further texts of queries: what is relevant for the old one is so for the new one."""
        found = Known()
        found._documents = {key: set(doc_ids) for key, doc_ids in self._documents.items()}
        for old, new in queries.items():
            for doc_id in self.of(old):
                found.add(new, doc_id)
        return found

    def write(self, folder: Path) -> None:
        rows = ({"query": key, "doc_ids": sorted(doc_ids)} for key, doc_ids in self._documents.items())
        write_jsonl(folder / KNOWN_FILE, rows)

    @staticmethod
    def read(folder: Path) -> Known:
        """What was written beside triplets or labels; nothing if there is no such file."""
        path = folder / KNOWN_FILE
        rows = load_jsonl(path) if path.is_file() else []
        return Known((row["query"], doc_id) for row in rows for doc_id in row["doc_ids"])

    def _key(self, query: str) -> str:
        # The same few texts are asked about again and again.
        if query not in self._keys:
            self._keys[query] = text_key(query)
        return self._keys[query]


class EqualTexts:
    """Which documents of a corpus have equal texts: where one is relevant, none of the others is wrong."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._keys = {doc_id: text_key(document.content) for doc_id, document in documents.items()}
        self._alike: dict[str, list[str]] = {}
        for doc_id, key in self._keys.items():
            self._alike.setdefault(key, []).append(doc_id)

    def of(self, doc_ids: Iterable[str]) -> set[str]:
        """These documents, and all whose texts are equal to one of theirs."""
        known = set(doc_ids)
        return known | {other for doc_id in known & self._keys.keys() for other in self._alike[self._keys[doc_id]]}

    def texts(self, doc_ids: Iterable[str]) -> frozenset[str]:
        """The texts of these documents, by `text_key`."""
        return frozenset(self._keys[doc_id] for doc_id in doc_ids if doc_id in self._keys)

    def like(self, text: str) -> set[str]:
        """The documents that are equal to a text."""
        return set(self._alike.get(text_key(text), ()))
