"""project: a run of passages in, a run of what was judged out.

Judgements lie on documents or on spans of them, so that one test set measures any chunking. A document stands where its
best chunk stood (MaxP: Dai and Callan, SIGIR 2019). Where a query has judged spans, a chunk of such a document stands
for it only if it holds a span; every other chunk is a miss of its own, as a reader would meet it. Beside the run lies
how many words a reader meets until the evidence is read; see `scoring.evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from harness.data.formats import load_jsonl, read_run, write_jsonl, write_run
from harness.data.passages import Passages
from harness.stages import Inputs, Stage, Takes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import read_corpus, read_spans
from harness.suite.fields import Spec
from harness.values.passages import Place, SpansOf, holds_any, overlap, span_of
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
    passages = Passages(documents)
    return {key: ranking(hits, passages, spans.get(key, {})) for key, hits in run.items()}


def ranking(hits: Hits, passages: Mapping[str, Document], judged: Mapping[str, tuple[Place, ...]]) -> Projected:
    """One ranking by what was judged: `judged` are the spans of its query by document; see the module."""
    if not judged:
        return Projected(_by_document(hits), {})
    found: Hits = []
    words: dict[str, int] = {}
    read = 0
    for (passage_id, score), shown in zip(hits, _shown(hits, passages), strict=True):
        places = judged.get(shown.doc_id, ())
        if not holds_any(shown.place, places):
            found.append((passage_id, score))
        elif shown.doc_id not in words:
            found.append((shown.doc_id, score))
            words[shown.doc_id] = read + shown.words_to(places)
        read += shown.words_to(())
    return Projected(found, words)


def _by_document(hits: Hits) -> Hits:
    best: dict[str, float] = {}
    for passage_id, score in hits:
        span = span_of(passage_id)
        best.setdefault(passage_id if span is None else span.doc_id, score)
    return list(best.items())


class _Shown(NamedTuple):
    """A passage as a reader meets it: the document, the span, and its text."""

    doc_id: str
    place: Place
    text: str

    def words_to(self, places: tuple[Place, ...]) -> int:
        """Words up to the end of the first span that the passage holds; all of them without spans."""
        start, end = self.place
        ends = [min(end, place[1]) for place in places if overlap(self.place, place)]
        return len(self.text[: min(ends) - start].split()) if ends else len(self.text.split())


def _shown(hits: Hits, passages: Mapping[str, Document]) -> Iterator[_Shown]:
    for passage_id, _ in hits:
        text = passages[passage_id].text
        span = span_of(passage_id)
        if span is None:
            yield _Shown(passage_id, (0, len(text)), text)
        else:
            yield _Shown(span.doc_id, span.place, passages[span.doc_id].text[span.start : span.end])


STAGE = Stage(
    run=project,
    spec=ProjectSpec,
    version=1,
    takes=Takes(("run", "corpus"), ("spans",)),
    heavy=False,
    rate=2000.0,
    unit="queries",
)
