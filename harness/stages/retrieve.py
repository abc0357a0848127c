"""retrieve: an index and queries in, a run out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.data.formats import write_run
from harness.indexes.protocol import Built
from harness.indexes.registry import registered
from harness.indexes.searching import IndexedSearch
from harness.models.search import Bm25Index, DenseIndex, Hits
from harness.models.sparse_encoder import encode_sparse
from harness.models.sparse_index import SparseIndex
from harness.models.stored_vectors import shortened
from harness.models.token_encoders import encode_tokens
from harness.models.token_vectors import TokenIndex
from harness.stages import Inputs, SpeedRule, Stage, Step, Takes
from harness.stages.shared.common import bi_encoder, encode, read_queries, sparse_encoder, token_encoder
from harness.suite.fields import Spec
from harness.suite.pipeline import Served
from harness.suite.vector_indexes import VectorIndex, keyed_without_address
from harness.values.grades import without_own
from harness.values.records import Progress, Usage

RUN_FILE = "run.trec"
OWN = "own documents left out"
"""The note on how many lists held the document of their query."""
SHORT = "lists shorter than asked"
"""The note on how many lists of an index have fewer documents than were asked for and exist."""
Search = Callable[[Sequence[str], Progress], list[Hits]]


class RetrieveSpec(Spec):
    """`depth` documents a query; `retriever` as in `index`, whose kind `tokens` is for ``late-interaction``.

    With `exclude_own`, the document that has the id of the query is in no list.
    """

    kind: Literal["dense", "bm25", "late-interaction", "sparse"]
    depth: int
    retriever: Served | None = None
    exclude_own: bool = False

    @property
    def index(self) -> VectorIndex | None:
        """The index of another library that is searched; None for exact search."""
        return self.retriever.index if self.retriever is not None else None

    def key_settings(self) -> dict[str, Any]:
        """Return what the key is made of; not where the server of an index is."""
        settings = super().key_settings()
        return settings if self.index is None else keyed_without_address(settings, "retriever", "index")


def retrieve(spec: RetrieveSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Search the input `index` for every query, exactly, ties in trec_eval's order; or by the input `built` of it."""
    queries = read_queries(inputs["queries"])
    texts = list(queries.values())
    depth = spec.depth + spec.exclude_own
    found = search_of(spec, inputs, depth)(texts, progress)
    run = dict(zip(queries, found, strict=True))
    own = short = 0
    if spec.index is not None:
        expected = min(depth, Built.read(inputs["built"]).passages)
        short = sum(len(hits) < expected for hits in found)
    if spec.exclude_own:
        own = sum(query_id in {doc_id for doc_id, _ in hits} for query_id, hits in run.items())
        run = {query_id: hits[: spec.depth] for query_id, hits in without_own(run).items()}
    write_run(out / RUN_FILE, run)
    progress(len(texts), len(texts))
    notes = {"queries": len(texts), "empty lists": sum(not hits for hits in run.values())}
    notes |= {OWN: own} if spec.exclude_own else {}
    return Usage(units=len(texts), notes=notes | ({SHORT: short} if spec.index is not None else {}))


def search_of(spec: RetrieveSpec, inputs: Inputs, depth: int) -> Search:
    """Load the index and the encoder of its queries; return the function that searches for the best `depth`."""
    folder, rule = inputs["index"], spec.retriever
    if spec.kind == "bm25":
        words = Bm25Index(folder)
        return lambda texts, progress: words.search(texts, depth)
    assert rule is not None
    if spec.kind == "sparse":
        terms, weights = sparse_encoder(rule, inputs), SparseIndex(folder)
        return lambda texts, progress: weights.search(encode_sparse(terms, texts, "query", progress), depth)
    if spec.kind == "late-interaction":
        encoder, tokens = token_encoder(rule, inputs), TokenIndex(folder)
        return lambda texts, progress: tokens.search(encode_tokens(encoder, texts, "query", progress), depth)
    model, index = bi_encoder(rule, inputs), DenseIndex(folder)
    indexed = IndexedSearch(index, inputs["built"], rule.index) if rule.index is not None else None

    def dense(texts: Sequence[str], progress: Progress) -> list[Hits]:
        vectors = encode(model, texts, "query", progress)
        vectors = shortened(vectors, rule.dimensions, model.similarity_fn_name != "dot")
        return index.search(vectors, depth, rule.rescore) if indexed is None else indexed.search(vectors, depth)

    return dense


def _packages(spec: RetrieveSpec, inputs: Collection[str]) -> tuple[str, ...]:
    return (registered(spec.index).distribution,) if spec.index is not None else ()


def silent(done: int, total: int | None) -> None:
    """Show no progress."""


def serve(spec: RetrieveSpec, inputs: Inputs) -> Step:
    """Search for one query, as the stage does."""
    search = search_of(spec, inputs, spec.depth)
    return lambda asked: search([asked.text], silent)[0]


STAGE = Stage(
    run=retrieve,
    spec=RetrieveSpec,
    version=2,
    takes=Takes(("index", "queries"), ("model", "built")),
    heavy=True,
    packages=("sentence-transformers", "torch", "bm25s"),
    more_packages=_packages,
    rate=lambda spec: 1000.0 if spec.get("kind") == "bm25" else 300.0,
    unit="queries",
    speed=SpeedRule(
        kind=("kind", "retriever.index.kind", "retriever.index.method"),
        size=("retriever.max_length", "retriever.dtype"),
    ),
    serve=serve,
)
