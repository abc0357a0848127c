"""The data of a page's query explorer: scores of every query; rankings, answers and texts of as many as fit.

The page reads it as one compressed text.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from harness.report import format as fmt
from harness.report.untrusted import cut, plain
from harness.report.view import BASELINE, less_is_better, view
from harness.text.decimals import finite
from harness.values.evidence import Evidence
from harness.values.findings import Outcome
from harness.values.grades import relevant_grades
from harness.values.records import Answer, Document, Score
from harness.values.systems import label_of

LISTED = 10
"""Documents shown of each ranking."""
RELEVANT = 20
"""Relevant documents of a query that are looked for further down."""
TURNS = 12
"""Turns before a query that are shown, the newest."""
PASSAGE, ANSWER, QUESTION, NAME = 400, 1200, 600, 200
"""Where a text is cut, in characters."""
BUDGET = 2_500_000
"""Characters of rankings, answers and texts, before compression."""


class Packed(NamedTuple):
    """The explorer's data as base64 of gzipped JSON, and what a reader must know of what was left out."""

    text: str
    remarks: tuple[str, ...]


def pack(outcome: Outcome, evidence: Evidence, budget: int = BUDGET) -> Packed:
    """Gather and compress; queries on which systems differ most get their rankings and texts first."""
    scores = _Scores(outcome, evidence.rows)
    details = _Details(scores.keys, evidence)
    order = sorted(range(len(scores.ids)), key=scores.unrest, reverse=True)
    kept = details.take([scores.ids[number] for number in order], budget)
    data = {
        "systems": [plain(label) for label in scores.labels],
        "left": scores.labels.index(BASELINE) if BASELINE in scores.labels else 0,
        "right": _first_candidate(outcome, scores.labels),
        "measures": [{"name": name, "lower": less_is_better(name)} for name in scores.measures],
        "queries": [[plain(key), *_question(key, evidence)] for key in scores.ids],
        "scores": scores.table,
        "reasons": list(scores.reasons),
        "documents": details.documents,
        "details": {scores.numbers[key]: value for key, value in details.of.items()},
        "listed": LISTED,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    packed = base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), compresslevel=6, mtime=0))
    return Packed(packed.decode("ascii"), tuple(_remarks(len(scores.ids), kept, evidence)))


def _remarks(queries: int, kept: int, evidence: Evidence) -> Iterable[str]:
    parts = [f"the first {LISTED} documents of each ranking", f"passages up to {PASSAGE} characters"]
    parts += [f"answers up to {ANSWER:,}"] if evidence.answers else []
    yield f"To keep this file small it holds {fmt.listed(parts)}."
    if kept < queries:
        yield (
            f"Rankings, answers and texts are here for the {kept:,} of {queries:,} queries on which the systems differ "
            "most; for the others, the scores. The outcome's folder holds all of them."
        )
    if not evidence.queries:
        yield "The dataset could not be read when this page was made, so texts and judgements are missing."


def _first_candidate(outcome: Outcome, labels: Sequence[str]) -> int:
    """The candidate with the largest gain on the first gated measure; failing that, the last system."""
    seen = view(outcome)
    gains = [
        (gain.difference, -labels.index(info.label))
        for info in seen.candidates
        if seen.gated and info.label in labels
        if (gain := seen.gain(info, seen.gated[0])) and finite(gain.difference) is not None
    ]
    ranked = sorted(((number or 0.0, place) for number, place in gains), reverse=True)
    return -ranked[0][1] if ranked else len(labels) - 1


def _question(query_id: str, evidence: Evidence) -> tuple[str, str]:
    query = evidence.queries.get(query_id)
    return (cut(query.text, QUESTION), cut(query.group, NAME)) if query else ("", "")


class _Scores:
    """Scores of the scored split as `table[system][measure][query]`.

    A number; null where the measure does not apply; the place of the reason, as text, where the score failed.
    """

    def __init__(self, outcome: Outcome, rows: Sequence[Score]) -> None:
        rows = [row for row in rows if row.split == outcome.split]
        seen = view(outcome)
        present = {(row.system, row.seed) for row in rows}
        infos = [info for info in seen.systems if (info.name, info.seed) in present]
        self.labels = [info.label for info in infos]
        self.keys = [label_of(info.name, info.seed, info.tunes) for info in infos]
        systems = {(info.name, info.seed): number for number, info in enumerate(infos)}
        named = dict.fromkeys(row.measure for row in rows)
        self.measures = sorted(named, key=lambda name: (name not in seen.gated, *_place(name, seen.measures)))
        measures = {name: number for number, name in enumerate(self.measures)}
        self.ids = list(dict.fromkeys(row.query_id for row in rows))
        self.numbers = {key: number for number, key in enumerate(self.ids)}
        self.reasons: dict[str, int] = {}
        self.table: list[list[list[float | str | None]]] = [
            [[None] * len(self.ids) for _ in self.measures] for _ in self.labels
        ]
        for row in rows:
            place = systems.get((row.system, row.seed))
            if place is not None:
                self.table[place][measures[row.measure]][self.numbers[row.query_id]] = self._value(row)

    def _value(self, row: Score) -> float | str | None:
        value = finite(row.value)
        if row.status == "failed":
            return str(self.reasons.setdefault(cut(row.reason, QUESTION), len(self.reasons)))
        return round(value, 4) if value is not None else None

    def unrest(self, query: int) -> float:
        """How far the systems lie apart on a query, at most, in any measure."""
        most = 0.0
        for number in range(len(self.measures)):
            column = [system[number][query] for system in self.table]
            values = [value for value in column if isinstance(value, float | int)]
            failed = any(isinstance(value, str) for value in column)
            most = max(most, 1.0 if failed else 0.0, max(values) - min(values) if values else 0.0)
        return most


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


class _Details:
    """Rankings, answers, judgements and references by query, with each document's text once."""

    def __init__(self, labels: Sequence[str], evidence: Evidence) -> None:
        """`labels` are those by which the evidence is kept."""
        self.labels, self.evidence = labels, evidence
        self.of: dict[str, dict[str, Any]] = {}
        self.documents: list[list[str]] = []
        self._numbers: dict[str, int] = {}
        self._size = 0

    def take(self, query_ids: Sequence[str], budget: int) -> int:
        """Take queries in their order until the budget is spent; return how many."""
        for taken, query_id in enumerate(query_ids):
            if self._size >= budget:
                return taken
            self.of[query_id] = detail = self._detail(query_id)
            self._size += len(json.dumps(detail, ensure_ascii=False))
        return len(query_ids)

    def _detail(self, query_id: str) -> dict[str, Any]:
        judged = self.evidence.qrels.get(query_id, {})
        relevant = list(relevant_grades(judged, self.evidence.level))[:RELEVANT]
        runs = [self.evidence.runs.get(label) for label in self.labels]
        lists = [None if run is None else [doc_id for doc_id, _ in run.get(query_id, [])] for run in runs]
        answers = [self.evidence.answers.get(label, {}).get(query_id) for label in self.labels]
        shown = [
            None
            if one is None
            else {doc_id: self._number(self._passage(label, query_id, doc_id)) for doc_id in one[:LISTED]}
            for label, one in zip(self.labels, lists, strict=True)
        ]
        return {
            "lists": [None if one is None else list(one.values()) for one in shown],
            "ranks": [_ranks(one, relevant) for one in lists],
            "relevant": [self._number(doc_id) for doc_id in relevant],
            "judged": {one[doc_id]: judged[doc_id] for one in shown if one for doc_id in one if doc_id in judged},
            "answers": [None if one is None else self._answer(one) for one in answers],
            "reference": self._reference(query_id),
            **self._history(query_id),
        }

    def _history(self, query_id: str) -> dict[str, Any]:
        """The turns before a query, where there are any, and how many more there were."""
        query = self.evidence.queries.get(query_id)
        turns = query.history if query else ()
        if not turns:
            return {}
        shown = [[turn.role, cut(turn.content, PASSAGE)] for turn in turns[-TURNS:]]
        asked = [self.evidence.searched.get(label, {}).get(query_id, "") for label in self.labels]
        searched = {"searched": [cut(text, QUESTION) for text in asked]} if any(asked) else {}
        return {"history": shown, "before": len(turns) - len(shown), **searched}

    def _passage(self, label: str, query_id: str, doc_id: str) -> str:
        """The id of what a system showed of a document: the chunk that it was found by, or all of it."""
        return self.evidence.found.get(label, {}).get(query_id, {}).get(doc_id, doc_id)

    def _answer(self, answer: Answer) -> list[Any]:
        return [cut(answer.text, ANSWER), [self._number(doc_id) for doc_id in answer.context[:LISTED]]]

    def _reference(self, query_id: str) -> dict[str, Any] | None:
        found = self.evidence.references.get(query_id)
        if found is None:
            return None
        answers = [cut(answer, ANSWER) for answer in found.answers[:LISTED]]
        return {"answers": answers, "answerable": found.answerable}

    def _number(self, doc_id: str) -> int:
        """The place of a document among those that the page holds; it is added if it is new."""
        if doc_id not in self._numbers:
            self._numbers[doc_id] = len(self.documents)
            found = self.evidence.documents.get(doc_id, Document(doc_id, "", ""))
            row = [cut(doc_id, NAME), cut(found.title, NAME), cut(found.text, PASSAGE)]
            self.documents.append(row)
            self._size += sum(map(len, row))
        return self._numbers[doc_id]


def _ranks(found: Sequence[str] | None, relevant: Sequence[str]) -> list[int]:
    """The rank of each relevant document in a list; 0 where it is not in it."""
    places = {doc_id: rank for rank, doc_id in enumerate(found or (), start=1)}
    return [places.get(doc_id, 0) for doc_id in relevant]
