"""index: a corpus in, a search index out: vectors (dense), or a bm25s index."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.models.search import Bm25Index, DenseIndex
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.shared.common import bi_encoder, count_longer, encode, read_corpus, reads
from harness.suite.fields import Spec
from harness.suite.pipeline import Retriever
from harness.text import ENGLISH
from harness.values.records import Progress, Usage


class IndexSpec(Spec):
    """`retriever` is only used, and must be given, for a dense index; `language` for bm25."""

    kind: Literal["dense", "bm25", "tokens"]
    retriever: Retriever | None = None
    language: str = ENGLISH
    precision: Literal["float16", "int8"] = "float16"


def index(spec: IndexSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Index every document by title and text; the model is the input `model`, or the one the spec names."""
    documents = list(read_corpus(inputs["corpus"]).values())
    if spec.kind == "bm25":
        Bm25Index.save(out, documents, spec.language)
        progress(len(documents), len(documents))
        return Usage(units=len(documents))
    model = bi_encoder(spec.retriever, inputs)
    texts = [document.content for document in documents]
    vectors = encode(model, texts, "document", progress)
    DenseIndex.save(out, [document.doc_id for document in documents], vectors)
    cut = count_longer(model, texts, "document")
    notes = {"passages": len(documents), "cut at max_length": cut, "tokens read of a passage": reads(model)}
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
