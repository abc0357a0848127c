"""Stage calls that index the passages of a pipeline: for bm25, as vectors of each kind, by other libraries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from harness.models.precision import dtype_here
from harness.planning.calls import TunedPipeline
from harness.planning.graph import ExpectedWork
from harness.planning.served import Served
from harness.suite.pipeline import Encoder, Retriever
from harness.values.systems import UNTUNED

IndexKind = Literal["dense", "tokens", "sparse"]
INDEXES: dict[str, IndexKind] = {"dense": "dense", "late-interaction": "tokens", "sparse": "sparse"}


class Indexes(Served):
    """Calls that end in an index."""

    def bm25_index(self, pipeline: TunedPipeline) -> str:
        size = self.size(pipeline)
        inputs = {"corpus": self.corpus(pipeline)}
        spec = {"kind": "bm25", "language": self.dataset.language}
        return self.call("index", "index for bm25", spec, inputs, ExpectedWork(size))

    def index(self, pipeline: TunedPipeline) -> str:
        """The index of a pipeline's first stage, of whichever kind it is."""
        rule = pipeline.settings.retriever
        if rule.kind == "bm25":
            return self.bm25_index(pipeline)
        if rule.endpoint is not None:
            return self.served_index(pipeline, self.corpus(pipeline), self.size(pipeline))
        stored = {"dimensions": rule.dimensions, "precision": rule.precision, "dtype": dtype_here(rule.dtype)}
        return self._vectors(INDEXES[rule.kind], rule.encoder, stored, pipeline.model("retriever"), pipeline)

    def built_index(self, pipeline: TunedPipeline) -> str | None:
        """The index of another library over a pipeline's vectors; None where every vector is compared."""
        rule = pipeline.settings.retriever.index
        if rule is None:
            return None
        label = f"build {rule.as_built.words} with {pipeline.label('retriever')}"
        spec, inputs = {"index": rule.as_built.model_dump()}, {"vectors": self.index(pipeline)}
        return self.call("build_index", label, spec, inputs, ExpectedWork(self.size(pipeline)))

    def dense_index(self, pipeline: TunedPipeline) -> str:
        """Dense vectors of a pipeline's encoder in full precision, which training data is made with."""
        return self.index(self.plain(pipeline))

    def plain(self, pipeline: TunedPipeline) -> TunedPipeline:
        """The suite's pipeline with this one's encoder, searched by dense vectors, not reranked.

        Training data is made with it, so that candidates whose other settings differ share their trainings.
        """
        encoder = pipeline.settings.retriever.encoder
        own = encoder == self.suite.pipeline.retriever.encoder
        retriever = Retriever(**encoder.model_dump(exclude_defaults=True))
        changed: dict[str, Any] = {"retriever": retriever, "reranker": None, "conversation": "last"}
        changed |= {"chunking": pipeline.settings.chunking}
        settings = self.suite.pipeline.model_copy(update=changed)
        return replace(pipeline, settings=settings, name=UNTUNED if own else pipeline.name)

    def _vectors(
        self, kind: IndexKind, encoder: Encoder, stored: dict[str, Any], model: str | None, pipeline: TunedPipeline
    ) -> str:
        spec: dict[str, Any] = {"kind": kind, "retriever": {**encoder.model_dump(), **stored}}
        if kind == "tokens":
            spec = {"kind": kind, "retriever": encoder.model_dump()}
            spec["retriever"] |= {"dtype": stored["dtype"]} if "dtype" in stored else {}
            spec["precision"] = stored.get("precision") or "float16"
        inputs = {"corpus": self.corpus(pipeline), "model": model}
        what = "" if kind == "dense" else f" {kind}"
        label = f"index{what} with {pipeline.label('retriever', 'reranker') if model else pipeline.name}"
        label += " (pool)" if pipeline.pool else ""
        return self.call("index", label, spec, inputs, ExpectedWork(self.size(pipeline)), models=[encoder.model])
