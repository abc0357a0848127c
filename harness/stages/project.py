"""project: a run of passages in, a run of what was judged out.

Judgements lie on documents or on spans of them, so that one test set measures any chunking. A document stands where its
best chunk stood (MaxP: Dai and Callan, SIGIR 2019). Where a query has judged spans, a chunk of such a document stands
for it only if it holds a span; every other chunk is a miss of its own, as a reader would meet it. Beside the run lies
how many words a reader meets until the evidence is read; see `scoring.evidence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.data.formats import load_jsonl, read_run, write_jsonl, write_run
from harness.stages import Inputs, Stage, Takes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import read_corpus, read_spans
from harness.stages.shared.failed_rankings import read_failed, write_failed
from harness.suite.fields import Spec
from harness.values.passages import Place, Span, SpansOf, document_of, holds_any, overlap, span_of
from harness.values.records import Document, Progress, Run, Usage

EVIDENCE_FILE = "evidence.jsonl"
Hits = list[tuple[str, float]]


class ProjectSpec(Spec):
    """Nothing is set: what was judged decides."""


class Projected(NamedTuple):
    """The ranking of one query by what was judged; words read until the evidence of a document, by its id."""

    hits: Hits
    words: dict[str, int]


def project(spec: ProjectSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Project every ranking of the input `run`; `corpus` holds the documents, `spans` where evidence lies."""
    run = read_run(inputs["run"] / RUN_FILE, escaped=True)
    documents = read_corpus(inputs["corpus"])
    spans = read_spans(inputs["spans"]) if "spans" in inputs else {}
    found = projected(run, documents, spans)
    write_run(out / RUN_FILE, {key: one.hits for key, one in found.items()})
    if spans:
        rows = ({"query_id": key, "words": found[key].words} for key in found if key in spans)
        write_jsonl(out / EVIDENCE_FILE, rows)
    write_failed(out, read_failed(inputs["run"]))
    progress(len(run), len(run))
    passages, units = (sum(map(len, lists)) for lists in (run.values(), (one.hits for one in found.values())))
    return Usage(units=len(run), notes={"queries": len(run), "passages": passages, "documents or spans": units})


def read_evidence(folder: Path) -> dict[str, dict[str, int]]:
    """Words until the evidence is read: query_id -> {doc_id: words}; empty where nothing has spans."""
    path = folder / EVIDENCE_FILE
    rows = load_jsonl(path) if path.is_file() else []
    return {row["query_id"]: row["words"] for row in rows}


def projected(run: Run, documents: Mapping[str, Document], spans: SpansOf) -> dict[str, Projected]:
    """The rankings of a run by what was judged."""
    reader = Reader(documents)
    return {key: ranking(hits, reader, spans.get(key, {})) for key, hits in run.items()}


class Reader:
    """Counts the words of passages, each once, as a reader meets them in their order."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self.documents = documents
        self._words: dict[str, int] = {}

    def span(self, passage_id: str) -> Span:
        """The span that a passage shows; of a document, all of its text."""
        if passage_id in self.documents:
            return Span(passage_id, 0, len(self.documents[passage_id].text))
        span = span_of(passage_id)
        if span is None:
            raise ValueError(f"the passage {passage_id!r} is no part of the corpus")
        return span

    def words(self, passage_id: str) -> int:
        """All words of a passage."""
        if passage_id not in self._words:
            self._words[passage_id] = self._between(self.span(passage_id), None)
        return self._words[passage_id]

    def words_to(self, passage_id: str, places: Sequence[Place]) -> int:
        """Words of a passage up to the end of the first span in it."""
        span = self.span(passage_id)
        return self._between(span, min(min(span.end, place[1]) for place in places if overlap(span.place, place)))

    def _between(self, span: Span, end: int | None) -> int:
        return len(self.documents[span.doc_id].text[span.start : span.end if end is None else end].split())


def ranking(hits: Hits, reader: Reader, judged: Mapping[str, tuple[Place, ...]]) -> Projected:
    """One ranking by what was judged: `judged` are the spans of its query by document; see the module."""
    if not judged:
        return Projected(_by_document(hits, reader.documents), {})
    found: Hits = []
    words: dict[str, int] = {}
    read = 0
    for passage_id, score in hits:
        span = reader.span(passage_id)
        places = judged.get(span.doc_id, ())
        if not holds_any(span.place, places):
            found.append((passage_id, score))
        elif span.doc_id not in words:
            found.append((span.doc_id, score))
            words[span.doc_id] = read + reader.words_to(passage_id, places)
        read += reader.words(passage_id)
    return Projected(found, words)


def _by_document(hits: Hits, documents: Mapping[str, Document]) -> Hits:
    best: dict[str, float] = {}
    for passage_id, score in hits:
        best.setdefault(passage_id if passage_id in documents else document_of(passage_id), score)
    return list(best.items())


STAGE = Stage(
    run=project,
    spec=ProjectSpec,
    version=1,
    takes=Takes(("run", "corpus"), ("spans",)),
    heavy=False,
    rate=2000.0,
    unit="queries",
)
