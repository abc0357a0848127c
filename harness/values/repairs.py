"""Repairs of a folder or a file: their kinds, counts and places, and the sentence that reports them.

Only lines with one possible reading are repaired. `content` repairs change what is measured and are limited by
`dataset.repairs`; the others read another notation of the same content.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.values.frozen import Frozen

EXAMPLES = 3


class RepairKind(NamedTuple):
    """A kind of repair in words: the finding in the singular and the plural, and the repair.

    `content`: the repair changes what is measured, so `dataset.repairs` limits it.
    """

    one: str
    many: str
    done: str
    content: bool = False


KINDS: dict[str, RepairKind] = {
    "empty-document": RepairKind(
        "document has neither title nor text", "documents have neither title nor text", "kept as empty", True
    ),
    "absent-document": RepairKind(
        "relevant judgement names a document that is not in the corpus",
        "relevant judgements name documents that are not in the corpus",
        "counted as relevant and not found",
        True,
    ),
    "absent-query": RepairKind(
        "judged query is not among the queries", "judged queries are not among the queries", "left out", True
    ),
    "left-out-row": RepairKind("row cannot be imported", "rows cannot be imported", "left out", True),
    "absent-split-query": RepairKind(
        "line of splits.tsv names an unknown query", "lines of splits.tsv name unknown queries", "left out", True
    ),
    "absent-answer-query": RepairKind(
        "reference answer is to an unknown query", "reference answers are to unknown queries", "left out", True
    ),
    "absent-source": RepairKind(
        "source passage is not in the corpus", "source passages are not in the corpus", "left out", True
    ),
    "absent-span": RepairKind(
        "span is of no judged query and document", "spans are of no judged query and document", "left out", True
    ),
    "same-document": RepairKind("document is repeated", "documents are repeated", "read once", True),
    "same-query": RepairKind("query is repeated", "queries are repeated", "read once", True),
    "same-answer": RepairKind("reference answer is repeated", "reference answers are repeated", "read once", True),
    "same-judgement": RepairKind(
        "judgement is repeated with the same grade", "judgements are repeated with the same grade", "read once", True
    ),
    "same-line": RepairKind("line of a run is repeated", "lines of a run are repeated", "read once", True),
    "absent-irrelevant": RepairKind(
        "judgement with grade 0 names a document that is not in the corpus",
        "judgements with grade 0 name documents that are not in the corpus",
        "without effect",
    ),
    "title-only": RepairKind(
        "document has a title and no text", "documents have a title and no text", "read by the title"
    ),
    "unused-query": RepairKind(
        "query without text is in no split in use", "queries without text are in no split in use", "left out"
    ),
    "unused-file": RepairKind(
        "damaged file is not used by this suite", "damaged files are not used by this suite", "left out"
    ),
    "split-name": RepairKind(
        "split has another name", "splits have other names", "read as train, dev or test, whichever is meant"
    ),
    "number-id": RepairKind("id is a number", "ids are numbers", "read as text"),
    "id-spaces": RepairKind("id has spaces around it", "ids have spaces around them", "read without"),
    "decimal-id": RepairKind("id ends in '.0'", "ids end in '.0'", "read as whole numbers"),
    "other-id-field": RepairKind("line has no '_id'", "lines have no '_id'", "read from 'id', 'docid' or the like"),
    "other-text-field": RepairKind(
        "line has no 'text'", "lines have no 'text'", "read from 'contents', 'query' or the like"
    ),
    "other-history": RepairKind(
        "history has another form", "histories have another form", "read as turns of user and assistant"
    ),
    "other-turn": RepairKind(
        "turn of a history is a system's or a tool's, or has no text",
        "turns of histories are a system's or a tool's, or have no text",
        "left out",
    ),
    "query-in-history": RepairKind(
        "history ends with the query itself", "histories end with the query itself", "read up to it"
    ),
    "number-text": RepairKind("text is a number", "texts are numbers", "read as text"),
    "text-list": RepairKind("text is a list", "texts are lists", "joined by spaces"),
    "not-a-number": RepairKind("field is NaN", "fields are NaN", "read as empty"),
    "import-note": RepairKind(
        "assumption was made while importing", "assumptions were made while importing", "see its first places"
    ),
    "table": RepairKind("file is a table", "files are tables", "read as ids and texts"),
    "json-list": RepairKind("file is other JSON", "files are other JSON", "its objects are read as JSON Lines"),
    "utf-16": RepairKind("file is UTF-16", "files are UTF-16", "read as such"),
    "trec-judgement": RepairKind(
        "judgement has the four columns of TREC", "judgements have the four columns of TREC", "read as such"
    ),
    "spaces": RepairKind("judgement is split by spaces", "judgements are split by spaces", "read as if by tabs"),
    "commas": RepairKind("file is split by commas", "files are split by commas", "read as if by tabs"),
    "same-header": RepairKind("header is repeated", "headers are repeated", "passed over"),
    "header": RepairKind(
        "header has other names or other columns", "headers have other names or other columns", "read by name"
    ),
    "decimal-grade": RepairKind("grade has decimals", "grades have decimals", "1.0 is read as 1"),
    "negative-grade": RepairKind("grade is below 0", "grades are below 0", "counted as 0, not relevant"),
    "no-tag": RepairKind("line of a run has no tag", "lines of a run have no tag", "read without it"),
}


class Repair(Frozen):
    """Repairs of one kind: their number, and the first places (``file:line: what``)."""

    kind: str
    count: int
    examples: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The finding and the repair: ``2 ids are numbers (read as text)``."""
        kind = KINDS[self.kind]
        return f"{self.count:,} {kind.one if self.count == 1 else kind.many} ({kind.done})"


def in_words(repairs: Sequence[Repair]) -> str:
    """Return all repairs as one sentence with their counts; empty if there are none."""
    if not repairs:
        return ""
    return f"Repaired while reading: {'; '.join(repair.text for repair in repairs)}."


class Repairing:
    """Collects repairs: counts by kind and the first places."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.places: dict[str, list[str]] = {}

    def note(self, kind: str, where: str, what: str = "", count: int = 1) -> None:
        """Count a repair at ``file:line``; `what` names what was found there."""
        assert kind in KINDS, kind
        self.counts[kind] = self.counts.get(kind, 0) + count
        places = self.places.setdefault(kind, [])
        if len(places) < EXAMPLES:
            places.append(f"{where}: {what}" if what else where)

    def add(self, others: Iterable[Repair]) -> None:
        """Add the repairs of another file."""
        for other in others:
            self.note(other.kind, "", count=0)
            self.counts[other.kind] += other.count
            places = [place for place in self.places[other.kind] if place]
            self.places[other.kind] = [*places, *other.examples][:EXAMPLES]

    def made(self) -> tuple[Repair, ...]:
        """Return all repairs, those that change what is measured first."""
        return tuple(
            Repair(kind=kind, count=self.counts[kind], examples=tuple(self.places[kind]))
            for kind in KINDS
            if self.counts.get(kind)
        )
