"""A synthetic question as it stands in a dataset folder, and what else stands there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.hashing import digest_of
from harness.testset.evidence import Span
from harness.values.questions import digest_of_passages
from harness.values.records import Document

PREFIX = "syn-"


class Item(NamedTuple):
    """A synthetic question as it stands in the folder. `passages` are those it was written about.

    `digest` is that of their text then; empty for a question of an older version.
    """

    query_id: str
    text: str
    kind: str
    split: str
    answer: str
    passages: tuple[Span, ...]
    spans: tuple[Span, ...] = ()
    by: str = ""
    reviewed: bool = False
    edited: bool = False
    digest: str = ""

    @property
    def doc_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(doc_id for doc_id, _, _ in self.passages))

    @property
    def answerable(self) -> bool:
        return self.kind != "unanswerable"


class Contents(NamedTuple):
    """What a dataset folder holds: documents, questions of people by id, synthetic ones, and the splits of documents.

    `split_of` has the split of every question of people, `asked_about` the splits in which each document is relevant
    for one. `rejected` are the ids of synthetic questions that a person rejected.
    """

    documents: Mapping[str, Document]
    questions: Mapping[str, str]
    items: tuple[Item, ...]
    split_of: Mapping[str, str]
    asked_about: Mapping[str, frozenset[str]]
    rejected: Mapping[str, tuple[Span, ...]]
    source: Mapping[str, Any]

    def is_changed(self, item: Item) -> bool:
        """Return whether the passages of a question are no longer what they were when it was written."""
        return bool(item.digest) and digest_of_passages(item.passages, self.documents) != item.digest

    @property
    def changed(self) -> list[str]:
        """The ids of the questions whose passages have changed."""
        return [item.query_id for item in self.items if self.is_changed(item)]


def id_of(kind: str, passages: Sequence[Span], text: str, taken: Iterable[str] = ()) -> str:
    """Return the id of a synthetic question, by its content; none that is taken."""
    known, extra = set(taken), 0
    while (name := f"{PREFIX}{digest_of([kind, [list(one) for one in passages], text, extra])[:12]}") in known:
        extra += 1
    return name
