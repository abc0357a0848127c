"""retrieve: an index and queries in, a run out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.data.formats import write_run
from harness.indexes.protocol import Built
from harness.indexes.registry import registered
from harness.indexes.searching import IndexedSearch
from harness.llm import services
from harness.llm.served_encoder import EndpointEncoder
from harness.models.search import Bm25Index, DenseIndex, Hits
from harness.models.sparse_encoder import encode_sparse
from harness.models.sparse_index import SparseIndex
from harness.models.stored_vectors import shortened
from harness.models.token_encoders import encode_tokens
from harness.models.token_vectors import TokenIndex
from harness.stages import Asked, Inputs, Ranked, SpeedRule, Stage, Step, Takes
from harness.stages.shared import remote
from harness.stages.shared.common import bi_encoder, encode, read_queries, sparse_encoder, token_encoder
from harness.suite.fields import Spec
from harness.suite.pipeline import Served, ServedRetriever
from harness.suite.served_models import EncoderEndpoint
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

    `endpoint` is as in `index`. With `exclude_own`, the document that has the id of the query is in no list.
    """

    kind: Literal["dense", "bm25", "late-interaction", "sparse"]
    depth: int
    retriever: Served | None = None
    exclude_own: bool = False
    endpoint: EncoderEndpoint | None = None

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
    served = services.encoder(spec.endpoint) if spec.endpoint is not None else None
    search = search_of(spec, inputs, depth) if served is None else search_at(served, spec, inputs, depth)
    found = search(texts, progress)
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
    notes |= {SHORT: short} if spec.index is not None else {}
    return remote.usage(len(texts), served, notes) if served is not None else Usage(units=len(texts), notes=notes)


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
    model, nearest = bi_encoder(rule, inputs), _nearest(rule, inputs, depth)

    def dense(texts: Sequence[str], progress: Progress) -> list[Hits]:
        vectors = encode(model, texts, "query", progress)
        return nearest(shortened(vectors, rule.dimensions, model.similarity_fn_name != "dot"))

    return dense


def search_at(served: EndpointEncoder, spec: RetrieveSpec, inputs: Inputs, depth: int, fresh: bool = False) -> Search:
    """Load the index; return the function that searches with the encoder of an endpoint, past its cache if `fresh`."""
    rule = spec.retriever
    assert rule is not None
    nearest = _nearest(rule, inputs, depth)

    def search(texts: Sequence[str], progress: Progress) -> list[Hits]:
        vectors = served.embed(texts, "query", progress, fresh)
        return nearest(shortened(vectors, rule.dimensions, served.unit_length)) if len(vectors) else []

    return search


def _nearest(rule: ServedRetriever, inputs: Inputs, depth: int) -> Callable[[Any], list[Hits]]:
    """Load an index of dense vectors; return the function that finds the `depth` nearest documents of query vectors."""
    index = DenseIndex(inputs["index"])
    if rule.index is not None:
        indexed = IndexedSearch(index, inputs["built"], rule.index)
        return lambda vectors: indexed.search(vectors, depth)
    return lambda vectors: index.search(vectors, depth, rule.rescore)


def _packages(spec: RetrieveSpec, inputs: Collection[str]) -> tuple[str, ...]:
    return (registered(spec.index).distribution,) if spec.index is not None else ()


def silent(done: int, total: int | None) -> None:
    """Show no progress."""


def serve(spec: RetrieveSpec, inputs: Inputs) -> Step:
    """Search for one query, as the stage does. At an endpoint every request is sent, past the cache."""
    if spec.endpoint is not None:
        served = services.encoder(spec.endpoint)
        sent = search_at(served, spec, inputs, spec.depth, fresh=True)

        def step(asked: Asked) -> Ranked:
            before = served.spent
            hits = sent([asked.text], silent)[0]
            return Ranked(hits, served.since(before))

        return step
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
    role="retriever",
    all_at_endpoint=True,
)
