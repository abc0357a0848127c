"""retrieve: an index and queries in, a run out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.data.formats import write_run
from harness.models.search import Bm25Index, DenseIndex
from harness.models.token_encoders import encode_tokens
from harness.models.token_vectors import TokenIndex
from harness.stages import Inputs, SpeedRule, Stage, Step, Takes
from harness.stages.shared.common import bi_encoder, encode, read_queries, token_encoder
from harness.suite.fields import Spec
from harness.suite.pipeline import Retriever
from harness.values.grades import without_own
from harness.values.records import Progress, Usage

RUN_FILE = "run.trec"
OWN = "own documents left out"
"""The note on how many lists held the document of their query."""


class RetrieveSpec(Spec):
    """`depth` documents a query; `retriever` as in `index`, whose kind `tokens` is for ``late-interaction``.

    With `exclude_own`, the document that has the id of the query is in no list.
    """

    kind: Literal["dense", "bm25", "late-interaction"]
    depth: int
    retriever: Retriever | None = None
    exclude_own: bool = False


def retrieve(spec: RetrieveSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Search the input `index` for every query, exactly, ties in trec_eval's order."""
    queries = read_queries(inputs["queries"])
    texts = list(queries.values())
    depth = spec.depth + spec.exclude_own
    if spec.kind == "bm25":
        found = Bm25Index(inputs["index"]).search(texts, depth)
    elif spec.kind == "late-interaction":
        tokens = encode_tokens(token_encoder(spec.retriever, inputs), texts, "query", progress)
        found = TokenIndex(inputs["index"]).search(tokens, depth)
    else:
        vectors = encode(bi_encoder(spec.retriever, inputs), texts, "query", progress)
        found = DenseIndex(inputs["index"]).search(vectors, depth)
    run = dict(zip(queries, found, strict=True))
    own = 0
    if spec.exclude_own:
        own = sum(query_id in {doc_id for doc_id, _ in hits} for query_id, hits in run.items())
        run = {query_id: hits[: spec.depth] for query_id, hits in without_own(run).items()}
    write_run(out / RUN_FILE, run)
    progress(len(texts), len(texts))
    notes = {"queries": len(texts), "empty lists": sum(not hits for hits in run.values())}
    return Usage(units=len(texts), notes=notes | ({OWN: own} if spec.exclude_own else {}))


def serve(spec: RetrieveSpec, inputs: Inputs) -> Step:
    """Search for one query, as the stage does."""
    if spec.kind == "bm25":
        words = Bm25Index(inputs["index"])
        return lambda query_id, text: words.search([text], spec.depth)
    if spec.kind == "late-interaction":
        encoder, tokens = token_encoder(spec.retriever, inputs), TokenIndex(inputs["index"])
        return lambda query_id, text: tokens.search(encode_tokens(encoder, [text], "query"), spec.depth)
    model, vectors = bi_encoder(spec.retriever, inputs), DenseIndex(inputs["index"])
    return lambda query_id, text: vectors.search(encode(model, [text], "query"), spec.depth)


STAGE = Stage(
    run=retrieve,
    spec=RetrieveSpec,
    version=2,
    takes=Takes(("index", "queries"), ("model",)),
    heavy=True,
    packages=("sentence-transformers", "torch", "bm25s"),
    rate=60.0,
    unit="queries",
    speed=SpeedRule(kind=("kind",), size=("retriever.max_length",)),
    serve=serve,
)
