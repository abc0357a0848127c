"""index: a corpus in, a search index out: vectors of texts (dense) or of their tokens, or a bm25s index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from harness.models.search import Bm25Index, DenseIndex
from harness.models.token_encoders import token_chunks
from harness.models.token_vectors import Precision, TokenIndex, TokenWriter
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.shared.common import bi_encoder, count_longer, encode, read_corpus, reads, token_encoder
from harness.suite.fields import Spec
from harness.suite.pipeline import Retriever
from harness.text import ENGLISH
from harness.values.records import Document, Progress, Usage


class IndexSpec(Spec):
    """`retriever`, the encoder, must be given for vectors. `language` is for bm25, `precision` for kind ``tokens``."""

    kind: Literal["dense", "bm25", "tokens"]
    retriever: Retriever | None = None
    language: str = ENGLISH
    precision: Precision = "float16"


def index(spec: IndexSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Index every document by title and text; the model is the input `model`, or the one the spec names."""
    documents = list(read_corpus(inputs["corpus"]).values())
    if spec.kind == "bm25":
        Bm25Index.save(out, documents, spec.language)
        progress(len(documents), len(documents))
        return Usage(units=len(documents))
    if spec.kind == "tokens":
        return _index_tokens(spec, inputs, documents, out, progress)
    model = bi_encoder(spec.retriever, inputs)
    texts = [document.content for document in documents]
    vectors = encode(model, texts, "document", progress)
    DenseIndex.save(out, [document.doc_id for document in documents], vectors)
    cut = count_longer(model, texts, "document")
    notes = {"passages": len(documents), "cut at max_length": cut, "tokens read of a passage": reads(model)}
    return Usage(units=len(documents), notes=notes)


def _index_tokens(
    spec: IndexSpec, inputs: Inputs, documents: Sequence[Document], out: Path, progress: Progress
) -> Usage:
    model = token_encoder(spec.retriever, inputs)
    texts = [document.content for document in documents]
    with TokenWriter(out, spec.precision) as writer:
        for numbers, vectors in token_chunks(model, texts, "document", progress):
            for number, array in zip(numbers, vectors, strict=True):
                writer.add(documents[number].doc_id, array)
    stored = TokenIndex(out)
    notes = {
        "passages": len(documents),
        "cut at max_length": count_longer(model, texts, "document"),
        "tokens read of a passage": reads(model),
        "token vectors": len(stored.tokens),
        "size_bytes": stored.size_bytes,
    }
    return Usage(units=len(documents), notes=notes)


STAGE = Stage(
    run=index,
    spec=IndexSpec,
    version=2,
    takes=Takes(("corpus",), ("model",)),
    heavy=True,
    packages=("sentence-transformers", "torch", "bm25s"),
    rate=25.0,
    unit="passages",
    speed=SpeedRule(kind=("kind",), size=("retriever.max_length",), like_dev_evaluation=True),
)
