"""What an outcome rests on, query by query: what the systems retrieved and wrote, with texts and judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.values.grades import LEVEL
from harness.values.records import Answer, Document, Qrels, Query, Reference, Run, Score


@dataclass(frozen=True)
class Evidence:
    """What an outcome rests on, query by query; every part may be empty.

    `runs` and `answers` go by the label of the system; `queries`, `qrels` and `references` are of the scored split.
    A document is relevant from the grade `level` on. Of systems that search chunks, `found` has the chunk that a
    document was found by: label -> query_id -> doc_id -> chunk_id. `searched` holds by label and query what a system
    searched with, where that is another text than the query.
    """

    rows: Sequence[Score]
    runs: Mapping[str, Run] = field(default_factory=dict)
    answers: Mapping[str, Mapping[str, Answer]] = field(default_factory=dict)
    queries: Mapping[str, Query] = field(default_factory=dict)
    qrels: Qrels = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    documents: Mapping[str, Document] = field(default_factory=dict)
    level: int = LEVEL
    found: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    searched: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
