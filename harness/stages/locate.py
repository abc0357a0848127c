"""locate: judgements of documents in, judgements of chunks out.

Judgements name documents, or spans of them; what is trained and what oracles show are chunks. A judged span makes
every chunk relevant that holds it (see `values.passages.holds`). Without a span it is one chunk of the document: the
one that a reference answer stands in, else the one that shares the most of the query's words, rare ones first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.stages import Inputs, Stage, Takes
from harness.stages.shared import common
from harness.suite.fields import Spec
from harness.text import ENGLISH, Texts, text_of
from harness.values.passages import Place, Span, SpansOf, document_of, holds_any, overlap, span_of
from harness.values.records import Document, Pair, Progress, Reference, Usage


class LocateSpec(Spec):
    """With `every`, all chunks of a document that is judged without a span are judged like it."""

    every: bool = False
    language: str = ENGLISH


def locate(spec: LocateSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Move the input `qrels`, `references` or `pairs` to the chunks of the input `corpus`.

    `queries` are the texts that judgements are about, `spans` where their evidence lies. Pairs may be about documents,
    or about chunks that were cut in another way. A document that is not in the corpus has no judgement here.
    """
    chunks = Chunks(common.read_corpus(inputs["corpus"]), text_of(spec.language))
    queries = common.read_queries(inputs["queries"]) if "queries" in inputs else {}
    references = common.read_references(inputs["references"]) if "references" in inputs else {}
    spans = common.read_spans(inputs["spans"]) if "spans" in inputs else {}
    finder = Finder(chunks, queries, references, spans, spec.every)
    if "pairs" in inputs:
        pairs = [found for pair in common.read_pairs(inputs["pairs"]) if (found := chunks.moved(pair))]
        common.write_pairs(out, pairs)
        common.write_queries(out, {pair.query_id: pair.query for pair in pairs})
        common.write_judgements(out, {pair.query_id: {pair.doc_id: 1} for pair in pairs})
        progress(len(pairs), len(pairs))
        return Usage(units=len(pairs), notes={"pairs": len(pairs)})
    qrels = common.read_judgements(inputs["qrels"]) if "qrels" in inputs else {}
    located = {key: finder.judged(key, grades) for key, grades in qrels.items()}
    common.write_judgements(out, located)
    common.write_references(out, {key: finder.sourced(reference) for key, reference in references.items()})
    progress(len(located), len(located))
    notes = {"judgements of documents": sum(map(len, qrels.values()))}
    notes |= {"judgements of chunks": sum(map(len, located.values()))}
    return Usage(units=len(located), notes=notes)


class Chunks:
    """The chunks of a corpus by their documents, and which of some shares the most words with a text."""

    def __init__(self, corpus: Mapping[str, Document], texts: Texts) -> None:
        self.corpus, self.texts = corpus, texts
        self.of: dict[str, list[Span]] = {}
        self.ids: dict[Span, str] = {}
        for passage_id, chunk in corpus.items():
            span = span_of(passage_id) or Span(passage_id, 0, len(chunk.text))
            self.of.setdefault(span.doc_id, []).append(span)
            self.ids[span] = passage_id
        self._words: dict[str, frozenset[str]] = {}

    def words(self, passage_id: str) -> frozenset[str]:
        if passage_id not in self._words:
            self._words[passage_id] = frozenset(self.texts.search([self.corpus[passage_id].content])[0])
        return self._words[passage_id]

    def best(self, spans: Sequence[Span], text: str, answers: Sequence[str] = ()) -> str:
        """The id of the chunk that an answer stands in, or that shares most with the text; the first of equal ones."""
        ids = [self.ids[span] for span in spans]
        asked = set(self.texts.search([" ".join([text, *answers])])[0])
        holding = Counter(word for passage_id in ids for word in self.words(passage_id) & asked)
        worth = {word: math.log(1 + len(ids) / count) for word, count in holding.items()}
        said = [folded for answer in answers if (folded := " ".join(answer.casefold().split()))]

        def value(passage_id: str) -> tuple[bool, float]:
            content = " ".join(self.corpus[passage_id].content.casefold().split()) if said else ""
            shared = math.fsum(sorted(worth[word] for word in self.words(passage_id) & asked))
            return any(answer in content for answer in said), shared

        return max(ids, key=value)

    def moved(self, pair: Pair) -> Pair | None:
        """A pair with the chunk of this corpus that its passage is in now; None if the document has no chunk."""
        spans = self.of.get(document_of(pair.doc_id), [])
        old = span_of(pair.doc_id)
        shared = [span for span in spans if old is None or overlap(span.place, old.place)]
        return pair._replace(doc_id=self.best(shared, pair.query)) if shared else None


class Finder:
    """Finds the chunks that the judgements of queries mean."""

    def __init__(
        self,
        chunks: Chunks,
        queries: Mapping[str, str],
        references: Mapping[str, Reference],
        spans: SpansOf,
        every: bool,
    ) -> None:
        self.chunks, self.queries, self.references, self.spans, self.every = chunks, queries, references, spans, every

    def judged(self, query_id: str, grades: Mapping[str, int]) -> dict[str, int]:
        """The grades of the chunks that the graded documents of a query stand for."""
        found: dict[str, int] = {}
        for doc_id, grade in grades.items():
            for passage_id in self._chunks(query_id, doc_id):
                found[passage_id] = max(grade, found.get(passage_id, 0))
        return found

    def sourced(self, reference: Reference) -> Reference:
        """A reference whose source passages are chunks."""
        sources = [one for doc_id in reference.source_passages for one in self._chunks(reference.query_id, doc_id)]
        return reference._replace(source_passages=tuple(dict.fromkeys(sources)))

    def _chunks(self, query_id: str, doc_id: str) -> list[str]:
        spans = self.chunks.of.get(doc_id, [])
        places: tuple[Place, ...] = tuple(self.spans.get(query_id, {}).get(doc_id, ()))
        if places or self.every:
            return [self.chunks.ids[span] for span in spans if not places or holds_any(span.place, places)]
        if not spans:
            return []
        reference = self.references.get(query_id)
        return [self.chunks.best(spans, self.queries.get(query_id, ""), reference.answers if reference else ())]


STAGE = Stage(
    run=locate,
    spec=LocateSpec,
    version=1,
    takes=Takes(("corpus",), ("qrels", "references", "queries", "spans", "pairs")),
    heavy=False,
    rate=500.0,
    unit="queries",
)
