"""rerank: a run and a reranker in, a run of the same documents out, the first of each list reordered.

What lies below `depth` follows in its old order. Scores fall strictly from there on, so that the list is the same
however it is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.data.formats import read_run, write_run
from harness.llm import services
from harness.models.loaders import load_cross_encoder
from harness.models.precision import prepared
from harness.models.search import Hits
from harness.models.token_encoders import load_token_encoder
from harness.models.token_vectors import TokenIndex
from harness.stages import ENCODED, ENCODING, Asked, Inputs, Ranked, SpeedRule, Stage, Step, Takes, setting
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import remote
from harness.stages.shared.causal_reranking import CausalScorer, CausalSettings, causal_reranker
from harness.stages.shared.common import model_folder, read_corpus, read_queries
from harness.stages.shared.passage_scorers import (
    CrossEncoderScorer,
    EndpointScorer,
    LateInteractionScorer,
    PassageScorer,
    Pool,
)
from harness.suite.fields import Positive, Spec
from harness.suite.local_models import ServedDType
from harness.suite.served_models import RerankerEndpoint
from harness.values.records import Document, Progress, Run, Usage

RELATIVE_STEP = 1e-6
"""Least relative distance of scores below `depth`: large enough that no two of them are rounded to one."""


class RerankSpec(Spec):
    """`model` is the reranker, None if the input `model` is a tuned one; `max_length` counts tokens.

    The prompts are those of late interaction. For ``causal-lm`` `model` is always named: the input `model` is its plain
    form if it was converted, `adapter` that of a tuned one, and `instruction` is part of its prompts. `endpoint` is the
    identity of a reranker that a server runs, for the kind of that name.
    """

    depth: Positive
    max_length: Positive
    model: str | None = None
    kind: Literal["cross-encoder", "late-interaction", "causal-lm", "endpoint"] = "cross-encoder"
    query_prompt: str = ""
    document_prompt: str = ""
    instruction: str = ""
    dtype: ServedDType = "float32"
    endpoint: RerankerEndpoint | None = None


def rerank(spec: RerankSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Score the first `depth` documents of every list and order them by it."""
    run, queries = read_run(inputs["run"] / RUN_FILE, escaped=True), read_queries(inputs["queries"])
    scorer = scorer_of(spec, inputs, read_corpus(inputs["corpus"]))
    pools = pools_of(run, queries, spec.depth)
    scores = scorer.score(pools, progress)
    reranked = {key: reordered(hits, new) for (key, hits), new in zip(run.items(), scores, strict=True)}
    write_run(out / RUN_FILE, reranked)
    count = sum(len(pool.doc_ids) for pool in pools)
    notes = {"queries": len(run), "pairs scored": count, **scorer.notes(pools)}
    if isinstance(scorer, EndpointScorer):
        return remote.usage(count, scorer.client, notes)
    return Usage(units=count, notes=notes)


def cross_encoder(spec: RerankSpec, inputs: Inputs, documents: Mapping[str, Document]) -> PassageScorer:
    """Load the cross-encoder."""
    model = load_cross_encoder(_model(spec, inputs), spec.max_length, dtype=spec.dtype)
    return CrossEncoderScorer(prepared(model, spec.dtype), documents)


def late_interaction(spec: RerankSpec, inputs: Inputs, documents: Mapping[str, Document]) -> PassageScorer:
    """Load the token encoder, and the input `tokens` if there is one: an index of the corpus by the same encoder."""
    prompts = spec.query_prompt, spec.document_prompt
    model = prepared(load_token_encoder(_model(spec, inputs), spec.max_length, *prompts, spec.dtype), spec.dtype)
    return LateInteractionScorer(model, documents, TokenIndex(inputs["tokens"]) if "tokens" in inputs else None)


def causal_lm(spec: RerankSpec, inputs: Inputs, documents: Mapping[str, Document]) -> PassageScorer:
    """Load the causal language model, with the input `adapter` if there is one."""
    settings = CausalSettings(spec.model or "", spec.max_length, spec.instruction)
    reranker = causal_reranker(settings, _model(spec, inputs), inputs.get("adapter"), spec.dtype)
    return CausalScorer(reranker, documents)


def at_endpoint(spec: RerankSpec, inputs: Inputs, documents: Mapping[str, Document]) -> PassageScorer:
    """Open the reranker that a server runs."""
    assert spec.endpoint is not None
    return EndpointScorer(services.reranker(spec.endpoint), documents)


SCORERS: dict[str, Callable[[RerankSpec, Inputs, Mapping[str, Document]], PassageScorer]] = {
    "cross-encoder": cross_encoder,
    "late-interaction": late_interaction,
    "causal-lm": causal_lm,
    "endpoint": at_endpoint,
}
"""What loads the scorer of each kind of reranker."""


def scorer_of(spec: RerankSpec, inputs: Inputs, documents: Mapping[str, Document]) -> PassageScorer:
    """Load the reranker among the inputs, else the one that is named. Raises ValueError without either."""
    return SCORERS[spec.kind](spec, inputs, documents)


def _model(spec: RerankSpec, inputs: Inputs) -> Path:
    if spec.model is None and "model" not in inputs:
        raise ValueError("rerank has no model: neither a tuned one nor pipeline.reranker; name one, or tune one")
    return model_folder(spec.model or "", inputs)


def rerank_hits(scorer: PassageScorer, query: str, hits: Hits, depth: int) -> Hits:
    """Rerank the list of one query."""
    return reordered(hits, scorer.score([Pool(query, tuple(doc_id for doc_id, _ in hits[:depth]))])[0])


def pools_of(run: Run, queries: Mapping[str, str], depth: int) -> list[Pool]:
    """Return what is scored of each list, in the order of the run."""
    return [Pool(queries[key], tuple(doc_id for doc_id, _ in hits[:depth])) for key, hits in run.items()]


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
    """Rerank the list of one query, as the stage does. At an endpoint every request is sent, past the cache."""
    scorer = scorer_of(spec, inputs, read_corpus(inputs["corpus"]))
    if isinstance(scorer, EndpointScorer):
        sent = scorer.past_cache()

        def paid(asked: Asked) -> Ranked:
            before, hits = sent.client.spent, asked.lists["run"]
            ranked = rerank_hits(sent, asked.text, hits, spec.depth) if hits else []
            return Ranked(ranked, sent.client.since(before))

        return paid

    def step(asked: Asked) -> Hits:
        hits = asked.lists["run"]
        return rerank_hits(scorer, asked.text, hits, spec.depth) if hits else []

    return step


def _first_guess(spec: Mapping[str, Any]) -> float:
    """Passages a second; of late interaction those whose token vectors are stored, as they are by default."""
    if spec.get("kind") == "late-interaction":
        return 8000.0
    return (250 if spec.get("kind") == "causal-lm" else 0.8 * ENCODED) / float(setting(spec, "max_length", 256))


STAGE = Stage(
    run=rerank,
    spec=RerankSpec,
    version=2,
    takes=Takes(("run", "queries", "corpus"), ("model", "adapter", "tokens")),
    heavy=True,
    packages=ENCODING,
    rate=_first_guess,
    unit="passages",
    speed=SpeedRule(
        kind=("kind",), size=("max_length", "dtype"), inputs={"tokens": ("kind",)}, like_dev_evaluation=True
    ),
    serve=serve,
    runs=("run",),
    role="reranker",
    all_at_endpoint=True,
    more_packages=lambda spec, inputs: ("peft",) if "adapter" in inputs else (),
)
