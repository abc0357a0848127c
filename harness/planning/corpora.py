"""What a pipeline searches: whole documents or chunks, with judgements of these; and what is scored of its runs.

Judgements lie on documents or on spans of them. A pipeline that chunks gets them moved to its chunks, for training and
for oracles; its runs are projected to what was judged, so that any two chunkings are measured alike.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal

from harness.planning.calls import Calls, TunedPipeline
from harness.planning.graph import ExpectedWork
from harness.suite.pipeline import Chunking

TOKENS_A_CHARACTER = 0.25
"""A guess, for estimates."""
JudgedPart = Literal["qrels", "graded", "references"]


class Corpora(Calls):
    """Calls that make chunks, and judgements of chunks."""

    def corpus(self, pipeline: TunedPipeline) -> str:
        """Key of the passages that a pipeline searches: chunks, or the documents themselves."""
        chunking = pipeline.settings.chunking
        return self.artifacts.keys["corpus"] if chunking is None else self._chunks(pipeline, chunking)

    def _chunks(self, pipeline: TunedPipeline, chunking: Chunking) -> str:
        retriever = pipeline.settings.retriever
        model = None if retriever.kind in ("bm25", "endpoint") else retriever.model
        spec = {**chunking.model_dump(), "model": model}
        inputs = {"corpus": self.artifacts.keys["corpus"]}
        return self.call(
            "chunk", f"chunk {_named(chunking)}", spec, inputs, ExpectedWork(self.size(pipeline)),
            models=[model] if model else [],
        )  # fmt: skip

    def size(self, pipeline: TunedPipeline) -> int:
        """How many passages a pipeline searches; of chunks a guess."""
        chunking = pipeline.settings.chunking
        if chunking is None:
            return len(self.dataset.documents)
        step = max(1, chunking.tokens - chunking.overlap)
        return sum(max(1, math.ceil(length * TOKENS_A_CHARACTER / step)) for length in self._lengths)

    @cached_property
    def _lengths(self) -> list[int]:
        return [len(document.text) for document in self.dataset.documents.values()]

    def judgements(self, pipeline: TunedPipeline, split: str, part: JudgedPart = "graded", every: bool = False) -> str:
        """Key of the judgements of a split, or of its references, about the passages that a pipeline searches.

        With `every`, all chunks of a document that is judged as a whole are judged like it.
        """
        keys = self.artifacts.keys
        own = keys[f"{split}.{part}"]
        if pipeline.settings.chunking is None:
            return own
        inputs: dict[str, Any] = {"corpus": self.corpus(pipeline.whole), "queries": keys[f"{split}.queries"]}
        inputs |= {"spans": keys.get(f"{split}.spans"), "references": keys[f"{split}.references"]}
        inputs |= {} if part == "references" else {"qrels": own}
        spec, work = {"every": every, "language": self.dataset.language}, ExpectedWork(self._queries_in(split))
        which = "all chunks" if every else "chunks"
        return self.call("locate", f"locate {part} of {split} in {which}", spec, inputs, work)

    def _queries_in(self, split: str) -> int:
        return len(self.dataset.splits[split].queries)

    def moved_pairs(self, pairs: str, pipeline: TunedPipeline) -> str:
        """Key of training pairs about the passages that a pipeline searches; `pairs` are about those of the suite's."""
        if pipeline.settings.chunking == self.suite.pipeline.chunking:
            return pairs
        spec = {"language": self.dataset.language}
        work = ExpectedWork(self.calls[pairs].work.units)
        return self.call(
            "locate", "locate pairs in chunks", spec, {"corpus": self.corpus(pipeline), "pairs": pairs}, work
        )

    def scored(self, pipeline: TunedPipeline, run: str | None, split: str) -> str | None:
        """Key of what is scored of a run: the run itself, or its projection to what was judged."""
        spans = self.artifacts.keys.get(f"{split}.spans")
        if run is None or (pipeline.settings.chunking is None and spans is None):
            return run
        inputs = {"run": run, "corpus": self.artifacts.keys["corpus"], "spans": spans}
        label = f"project to what was judged: {self.calls[run].label}"
        return self.call("project", label, {}, inputs, ExpectedWork(self._queries_in(split)))


def _named(chunking: Chunking) -> str:
    overlap = f", {chunking.overlap} repeated" if chunking.overlap else ""
    return f"by {chunking.by}, {chunking.tokens} tokens{overlap}"
