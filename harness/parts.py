"""The parts of a data set as artifacts, so that a stage call depends on what it reads and on nothing else.

A changed test question does not make the corpus be indexed again, and relevant documents are given to no stage that
has no business with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.datasets import Dataset, Split
from harness.digests import digest_of
from harness.stages import common
from harness.store import Store

Writer = Callable[[Path], None]


def sample_queries(split: Split, count: int | None) -> list[str]:
    """Choose the questions that generators are asked: those with a reference, the unanswerable in their share.

    The choice goes by a hash of the id, so it is the same on every machine and a larger sample holds the smaller.
    """
    asked = [query_id for query_id in split.queries if query_id in split.references]
    if count is None or count >= len(asked):
        return asked
    unanswerable = [query_id for query_id in asked if not split.references[query_id].answerable]
    declined = round(count * len(unanswerable) / len(asked))
    answerable = [query_id for query_id in asked if split.references[query_id].answerable]
    chosen = set(by_hash(unanswerable)[:declined] + by_hash(answerable)[: count - declined])
    return [query_id for query_id in asked if query_id in chosen]


def by_hash(ids: list[str]) -> list[str]:
    """Ids in an order that has nothing to do with how they are written."""
    return sorted(ids, key=lambda text: hashlib.sha256(text.encode()).digest())


class Parts:
    """Keys and writers of all parts of a data set, by name: ``corpus``, ``test.queries``, ``test.sample``, ..."""

    def __init__(self, dataset: Dataset, split: str, sample: list[str]) -> None:
        self.keys: dict[str, str] = {}
        self._writers: dict[str, Writer] = {}
        self._add("corpus", dataset.digests["corpus"], lambda out: common.write_corpus(out, dataset.documents))
        for name, part in dataset.splits.items():
            self._add_queries(f"{name}.queries", {key: query.text for key, query in part.queries.items()})
            digests = dataset.digests
            self._add(f"{name}.qrels", digests[f"{name}.qrels"], self._qrels(part))
            self._add(f"{name}.references", digests[f"{name}.references"], self._references(part))
        chosen = dataset.splits[split].queries
        self.queries = {key: query.text for key, query in chosen.items()}
        self._add_queries("sample", {key: chosen[key].text for key in sample})

    def _add(self, name: str, digest: str, writer: Writer) -> None:
        self.keys[name] = digest_of(["part", name.split(".")[-1], digest])
        self._writers[name] = writer

    def _add_queries(self, name: str, queries: Mapping[str, str]) -> None:
        self.keys[name] = digest_of(["part", "queries", list(queries.items())])
        self._writers[name] = lambda out: common.write_queries(out, queries)

    @staticmethod
    def _qrels(part: Split) -> Writer:
        return lambda out: common.write_judgements(out, part.qrels)

    @staticmethod
    def _references(part: Split) -> Writer:
        return lambda out: common.write_references(out, part.references)

    def publish(self, store: Store) -> None:
        """Put every part into the store that is not there yet."""
        for name, key in self.keys.items():
            if store.get(key) is None:
                with store.claim(key) as folder:
                    self._writers[name](folder)
                    store.commit(key, folder, {"part": name})
