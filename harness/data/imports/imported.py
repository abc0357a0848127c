"""What a reader of foreign data returns: rows of a dataset folder, and a sentence for each thing that was left out.

This module knows neither files nor formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.errors import Problem


class Columns(NamedTuple):
    """The names of columns that the user gives; a name that is None is recognised by the usual names."""

    id: str | None = None
    text: str | None = None
    title: str | None = None
    question: str | None = None
    answer: str | None = None
    context: str | None = None


NO_COLUMNS = Columns()


class Imported(NamedTuple):
    """Rows of `corpus.jsonl`, `queries.jsonl`, `answers.jsonl` and `spans.jsonl`, and judgements by split and query.

    Every query is in one split of `qrels`; a query without judgements has an empty mapping there. `problems` tell what
    was left out, each with file and line. A `Note` among them tells of something that was kept. `contexts` are the
    documents that came beside questions, each with the spans of its pieces, which may be parts of other documents.
    """

    documents: list[dict[str, Any]]
    queries: list[dict[str, Any]]
    qrels: dict[str, dict[str, dict[str, int]]]
    answers: list[dict[str, Any]]
    spans: list[dict[str, Any]]
    source: dict[str, Any]
    problems: list[Problem]
    contexts: Mapping[str, Sequence[tuple[int, int]]] = {}


@dataclass(frozen=True)
class Note(Problem):
    """Something to know about what was imported; nothing was left out."""


class MissingSplits(Note):
    """Splits that have no query."""


class Damaged(Exception):
    """A row that cannot be used: what is wrong with it, and what to do. Readers add the place."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


class Row(NamedTuple):
    """A row of a table: its place (``file:line``) and its cells by column."""

    where: str
    cells: Mapping[str, Any]


class Table(NamedTuple):
    """Rows with the same columns. `name` says what the table holds (``queries``), `split` which split, where known."""

    where: str
    name: str
    split: str | None
    columns: Sequence[str]
    rows: Sequence[Row]


def missing_splits(qrels: Mapping[str, Mapping[str, object]], where: str) -> list[Problem]:
    """Return the note of the splits that have no query; empty if all have some, or if there is no query."""
    missing = [split for split in ("train", "dev", "test") if not qrels.get(split)]
    if not any(qrels.values()) or not missing:
        return []
    names = " and ".join(repr(split) for split in missing)
    hint = "split by document, or give files of these splits"
    return [MissingSplits(where, f"no query is in {'the split' if len(missing) == 1 else 'the splits'} {names}", hint)]
