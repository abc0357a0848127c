"""index: a corpus in, a search index out: vectors of texts (dense) or tokens, weights of terms (sparse), or bm25."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from harness.claims import PARTS
from harness.llm import services
from harness.models.search import IDS_FILE, Bm25Index, DenseIndex
from harness.models.sparse_encoder import encode_sparse
from harness.models.sparse_index import SparseIndex
from harness.models.stored_vectors import shortened
from harness.models.token_batches import Truncations
from harness.models.token_encoders import token_chunks
from harness.models.token_vectors import Precision, TokenIndex, TokenWriter
from harness.stages import Inputs, SpeedRule, Stage, Takes, encoding
from harness.stages.shared import remote
from harness.stages.shared.common import (
    bi_encoder,
    count_corpus,
    encode,
    read_corpus,
    reads,
    sparse_encoder,
    stream_corpus,
    token_encoder,
)
from harness.stages.shared.encoded_parts import PART, EncodedParts
from harness.suite.fields import Spec
from harness.suite.pipeline import Served
from harness.suite.served_models import EncoderEndpoint
from harness.text import ENGLISH
from harness.values.records import Document, Progress, Usage

SIZE = "size_bytes"
"""The note on the size of an index: all of it but the ids of documents."""
TERMS, TERMS_OF_MODEL = "terms with a weight, mean of a passage", "terms of the model"
"""Notes on a learned sparse index."""


class IndexSpec(Spec):
    """`retriever` must be given for an index that a model makes. `language` is for bm25.

    `precision` is for kind ``tokens``; dense vectors have that of the retriever. `endpoint` is the identity of an
    encoder that a server runs; `retriever` then says how its vectors are stored.
    """

    kind: Literal["dense", "bm25", "tokens", "sparse"]
    retriever: Served | None = None
    language: str = ENGLISH
    precision: Precision = "float16"
    endpoint: EncoderEndpoint | None = None


def index(spec: IndexSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Index every document by title and text; the model is the input `model`, or the one the spec names."""
    if spec.kind == "dense":
        return _index_dense(spec, inputs, out, progress)
    documents = list(read_corpus(inputs["corpus"]).values())
    if spec.kind == "bm25":
        Bm25Index.save(out, documents, spec.language)
        progress(len(documents), len(documents))
        return Usage(units=len(documents), notes={SIZE: size_of(out)})
    if spec.kind == "tokens":
        return _index_tokens(spec, inputs, documents, out, progress)
    texts, doc_ids = [document.content for document in documents], [document.doc_id for document in documents]
    rule, truncations = spec.retriever, Truncations()
    assert rule is not None
    model = sparse_encoder(rule, inputs)
    weights = encode_sparse(model, texts, "document", progress, truncations)
    terms = {TERMS: round(weights.nnz / max(len(texts), 1)), TERMS_OF_MODEL: weights.shape[1]}
    SparseIndex.save(out, doc_ids, weights)
    notes = _counted(len(documents), truncations.count, model)
    return Usage(units=len(documents), notes={**notes, **terms, SIZE: size_of(out)})


def _index_dense(spec: IndexSpec, inputs: Inputs, out: Path, progress: Progress) -> Usage:
    """Encode the corpus part by part; see `EncodedParts`. One that fits into a part is held in memory."""
    rule = spec.retriever
    assert rule is not None
    total = count_corpus(inputs["corpus"])
    precision = rule.precision or "float32"
    served = services.encoder(spec.endpoint) if spec.endpoint is not None else None
    # What an endpoint has encoded is in its cache, which knows what it cost.
    parts = EncodedParts(out / PARTS, resumed=served is None)
    model: Any = bi_encoder(rule, inputs) if served is None else None

    def encoded(texts: list[str], progress: Progress, truncations: Truncations) -> Any:
        if served is not None:
            return shortened(served.embed(texts, "document", progress), rule.dimensions, served.unit_length)
        vectors = encode(model, texts, "document", progress, truncations)
        return shortened(vectors, rule.dimensions, model.similarity_fn_name != "dot")

    if total <= PART:
        documents, truncations = list(stream_corpus(inputs["corpus"])), Truncations()
        vectors = encoded([document.content for document in documents], progress, truncations)
        DenseIndex.save(out, [document.doc_id for document in documents], vectors, precision)
        cut = truncations.count
    else:
        parts.encode(stream_corpus(inputs["corpus"]), total, encoded, progress)
        DenseIndex.save_parts(out, parts.doc_ids, parts.arrays, precision)
        cut = parts.cut
    if served is not None:
        return remote.usage(total, served, {"passages": total, SIZE: size_of(out)})
    return Usage(units=total, notes={**_counted(total, cut, model), SIZE: size_of(out)}, before=parts.before)


def _counted(passages: int, cut: int, model: Any) -> dict[str, Any]:
    return {"passages": passages, "cut at max_length": cut, "tokens read of a passage": reads(model)}


def size_of(folder: Path) -> int:
    """Return the bytes of an index, without the ids of its documents, which every kind has alike."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != IDS_FILE]
    return sum(path.stat().st_size for path in files if folder / PARTS not in path.parents)


def _index_tokens(
    spec: IndexSpec, inputs: Inputs, documents: Sequence[Document], out: Path, progress: Progress
) -> Usage:
    assert spec.retriever is not None
    model = token_encoder(spec.retriever, inputs)
    texts, truncations = [document.content for document in documents], Truncations()
    with TokenWriter(out, spec.precision) as writer:
        for numbers, vectors in token_chunks(model, texts, "document", progress, truncations):
            for number, array in zip(numbers, vectors, strict=True):
                writer.add(documents[number].doc_id, array)
    stored = TokenIndex(out)
    notes = {
        "passages": len(documents),
        "cut at max_length": truncations.count,
        "tokens read of a passage": reads(model),
        "token vectors": len(stored.tokens),
        SIZE: stored.size_bytes,
    }
    return Usage(units=len(documents), notes=notes)


STAGE = Stage(
    run=index,
    spec=IndexSpec,
    version=2,
    takes=Takes(("corpus",), ("model",)),
    heavy=True,
    packages=("sentence-transformers", "torch", "bm25s"),
    rate=lambda spec: 2000.0 if spec.get("kind") == "bm25" else encoding(spec),
    unit="passages",
    speed=SpeedRule(kind=("kind",), size=("retriever.max_length", "retriever.dtype"), like_dev_evaluation=True),
    role="retriever",
    all_at_endpoint=True,
)
