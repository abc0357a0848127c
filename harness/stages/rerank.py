"""rerank: a run and a cross-encoder in, a run of the same documents out, the first of each list reordered.

What lies below `depth` follows in its old order. Scores fall strictly from there on, so that the list is the same
however it is read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.data.formats import read_run, write_run
from harness.models.loaders import load_cross_encoder
from harness.models.search import Hits
from harness.stages import ENCODING, Inputs, SpeedRule, Stage, Step, Takes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import model_folder, read_corpus, read_queries
from harness.stages.shared.relevance_models import count_cut, score_pairs
from harness.suite.fields import Positive, Spec
from harness.values.records import Document, Progress, Run, Usage

RELATIVE_STEP = 1e-6
"""Least relative distance of scores below `depth`: large enough that no two of them are rounded to one."""


class RerankSpec(Spec):
    """`model` is the pipeline's reranker, None if the input `model` is a tuned one; `max_length` counts tokens."""

    depth: Positive
    max_length: Positive
    model: str | None = None
    kind: Literal["cross-encoder", "late-interaction"] = "cross-encoder"
    query_prompt: str = ""
    document_prompt: str = ""


def rerank(spec: RerankSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Score the first `depth` documents of every list and order them by it."""
    run, queries = read_run(inputs["run"] / RUN_FILE, escaped=True), read_queries(inputs["queries"])
    documents = read_corpus(inputs["corpus"])
    model = cross_encoder(spec.model, spec.max_length, inputs)
    pairs = pairs_of(run, queries, documents, spec.depth)
    scores = iter(score_pairs(model, pairs, progress))
    reranked = {key: reordered(hits, [next(scores) for _ in hits[: spec.depth]]) for key, hits in run.items()}
    write_run(out / RUN_FILE, reranked)
    cut = count_cut(model, pairs)
    notes = {"queries": len(run), "pairs scored": len(pairs), f"pairs cut at {model.max_seq_length} tokens": cut}
    return Usage(units=len(pairs), notes=notes)


def cross_encoder(name: str | None, max_length: int, inputs: Mapping[str, Path]) -> Any:
    """Load the tuned cross-encoder among the inputs, else the one that is named. Raises ValueError without either."""
    if name is None and "model" not in inputs:
        raise ValueError("rerank has no model: neither a tuned one nor pipeline.reranker; name one, or tune one")
    return load_cross_encoder(model_folder(name or "", inputs), max_length)


def rerank_hits(model: Any, query: str, hits: Hits, documents: Mapping[str, Document], depth: int) -> Hits:
    """Rerank the list of one query."""
    pairs = [(query, documents[doc_id].content) for doc_id, _ in hits[:depth]]
    return reordered(hits, score_pairs(model, pairs))


def pairs_of(
    run: Run, queries: Mapping[str, str], documents: Mapping[str, Document], depth: int
) -> list[tuple[str, str]]:
    """The texts to be scored: list after list, best first."""
    return [(queries[key], documents[doc_id].content) for key, hits in run.items() for doc_id, _ in hits[:depth]]


def reordered(hits: Hits, scores: Sequence[float]) -> Hits:
    """Order the first ``len(scores)`` hits by their new scores, ties in trec_eval's order; the others follow.

    Those get scores below all new ones, each a little lower than the one before. Raises ValueError if documents were
    lost or won.
    """
    pool = [(doc_id, score) for (doc_id, _), score in zip(hits, scores, strict=False)]
    first = sorted(sorted(pool, reverse=True), key=lambda hit: -hit[1])
    floor = first[-1][1] if first else 0.0
    step = max(1.0, abs(floor) * RELATIVE_STEP)
    rest = [(doc_id, floor - step * place) for place, (doc_id, _) in enumerate(hits[len(scores) :], start=1)]
    check_pool(hits, first + rest, len(scores))
    return first + rest


def check_pool(before: Hits, after: Hits, depth: int) -> None:
    """Raise ValueError unless the first `depth` hold the same documents as before, and the rest is untouched."""
    old, new = [doc_id for doc_id, _ in before], [doc_id for doc_id, _ in after]
    if sorted(old[:depth]) != sorted(new[:depth]) or old[depth:] != new[depth:]:
        raise ValueError("reranking changed which documents a list holds, which it must not; please report this")


def serve(spec: RerankSpec, inputs: Inputs) -> Step:
    """Rerank the list of one query, as the stage does."""
    documents, run = read_corpus(inputs["corpus"]), read_run(inputs["run"] / RUN_FILE, escaped=True)
    model = cross_encoder(spec.model, spec.max_length, inputs)
    return lambda query_id, text: rerank_hits(model, text, run.get(query_id, []), documents, spec.depth)


STAGE = Stage(
    run=rerank,
    spec=RerankSpec,
    version=2,
    takes=Takes(("run", "queries", "corpus"), ("model", "tokens")),
    heavy=True,
    packages=ENCODING,
    rate=20.0,
    unit="passages",
    speed=SpeedRule(kind=("kind",), size=("max_length",), like_dev_evaluation=True),
    serve=serve,
    runs=("run",),
)
