"""A checked dataset: corpus, splits with their judgements, and which documents are relevant.

This module must not know files, stages or stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.hashing import digest_of
from harness.text import Detected, detect
from harness.values.findings import DatasetInfo
from harness.values.grades import LEVEL, at_level, judged_queries
from harness.values.passages import SpansOf
from harness.values.questions import synthetic_questions
from harness.values.records import Document, Qrels, Query, Reference, Turn
from harness.values.repairs import Repair


@dataclass(frozen=True)
class Split:
    """The queries of one split. `queries` holds all of them, also those without qrels (unanswerable).

    `qrels` are the judgements as they were read. A document is relevant from the grade `level` on; those in `absent`
    are judged and not in the corpus. With `exclude_own`, the document with the id of a query is left out for it.
    `spans` say where in a document the evidence lies: of a query that has any, for each of its judged documents.
    """

    queries: Mapping[str, Query]
    qrels: Qrels
    references: Mapping[str, Reference]
    level: int = LEVEL
    absent: frozenset[str] = frozenset()
    exclude_own: bool = False
    spans: SpansOf = field(default_factory=dict)

    @property
    def judged(self) -> list[str]:
        """Queries with at least one relevant document, in file order."""
        known = set(judged_queries(self.qrels, self.level))
        return [query_id for query_id in self.queries if query_id in known]

    @cached_property
    def binary(self) -> Qrels:
        """Judgements for binary measures: grades below the level are 0."""
        return at_level(self.qrels, self.level)

    @cached_property
    def graded(self) -> Qrels:
        """Judgements of documents in the corpus, with all grades: the most that an oracle can find."""
        return self._present(self.qrels)

    @cached_property
    def usable(self) -> Qrels:
        """Judgements of documents in the corpus, grades below the level set to 0: the input of stages."""
        return self._present(self.binary)

    def _present(self, qrels: Qrels) -> Qrels:
        if not self.absent:
            return qrels
        return {
            query_id: {doc_id: grade for doc_id, grade in grades.items() if doc_id not in self.absent}
            for query_id, grades in qrels.items()
        }

    @property
    def histories(self) -> dict[str, tuple[Turn, ...]]:
        """The turns before each query that has some."""
        return {query_id: query.history for query_id, query in self.queries.items() if query.history}

    @property
    def groups(self) -> dict[str, str]:
        return {query_id: query.group for query_id, query in self.queries.items()}


def _asked(query: Query) -> list[Any]:
    """What of a query is measured: one without a history has the digest that it had before there were histories."""
    return [query.query_id, query.text, *([[list(turn) for turn in query.history]] if query.history else [])]


@dataclass(frozen=True)
class Dataset:
    """A corpus and its splits, checked. `digests` has a content digest of each part, `repairs` what was repaired."""

    name: str
    documents: Mapping[str, Document]
    splits: Mapping[str, Split]
    source: Mapping[str, Any]
    repairs: tuple[Repair, ...] = ()
    asked_language: str = "auto"

    @cached_property
    def detected(self) -> Detected:
        """The language that the suite names, else the one detected in the corpus."""
        if self.asked_language != "auto":
            return Detected(self.asked_language, named=True)
        return detect([document.content for document in self.documents.values()])

    @property
    def language(self) -> str:
        """The language of the texts: a code, or several joined by ``+``."""
        return self.detected.language

    @cached_property
    def digests(self) -> dict[str, str]:
        """Content digest of the corpus and, for each split, of queries, qrels, references, groups and spans if any."""
        digests = {"corpus": digest_of([list(document) for document in self.documents.values()])}
        for name, split in self.splits.items():
            digests[f"{name}.queries"] = digest_of([_asked(query) for query in split.queries.values()])
            digests[f"{name}.qrels"] = digest_of(split.qrels)
            digests[f"{name}.references"] = digest_of([list(reference) for reference in split.references.values()])
            digests[f"{name}.groups"] = digest_of(split.groups)
            if split.spans:
                digests[f"{name}.spans"] = digest_of(split.spans)
        return digests

    @property
    def digest(self) -> str:
        return digest_of(self.digests)

    def describe(self, split_name: str, answered: int) -> DatasetInfo:
        """Return the counts for the report; `answered` is the number of questions that generators are asked."""
        split = self.splits[split_name]
        unanswerable = sum(not reference.answerable for reference in split.references.values())
        return DatasetInfo(
            name=self.name,
            digest=self.digest,
            documents=len(self.documents),
            queries={name: len(part.queries) for name, part in self.splits.items()},
            groups=len(set(split.groups.values())),
            judged=len(split.judged),
            answerable=len(split.references) - unanswerable,
            unanswerable=unanswerable,
            answered=answered,
            digests=self.digests,
            source=dict(self.source),
            questions=synthetic_questions(split.queries.values(), self.source),
        )
