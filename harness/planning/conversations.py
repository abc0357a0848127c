"""Stage calls that make queries: what a pipeline searches with where queries have earlier turns.

A split without histories has one artifact of queries, whatever the pipeline says, so that no key changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from harness.planning.calls import Calls, TunedPipeline
from harness.planning.graph import ExpectedWork
from harness.suite.pipeline import Pipeline, Reranker, Retriever
from harness.suite.uses import RERANKER_MODELS, RETRIEVER_MODELS

ReadBy = Literal["retriever", "bm25", "reranker"]
PROMPT_TOKENS, NEW_TOKENS = 500, 24
"""Guesses at the tokens of a prompt that asks for a rewrite, and of the rewrite."""
IN_WORDS = {"last": "", "concatenate": ", with earlier turns", "rewrite": ", rewritten"}
"""What is added to the label of a call whose queries are not those of the dataset."""


class Conversations(Calls):
    """Calls that end in queries."""

    def asked(self, pipeline: TunedPipeline, split: str, by: ReadBy) -> str:
        """The key of the queries of a split as a part of a pipeline reads them."""
        keys, how = self.artifacts.keys, pipeline.settings.conversation
        inputs = {"queries": keys[f"{split}.queries"], "history": keys.get(f"{split}.history")}
        if how == "last" or inputs["history"] is None:
            return keys[f"{split}.queries"]
        if how == "rewrite":
            return self._rewritten(split, inputs)
        reader = reader_of(pipeline.settings, by)
        work = ExpectedWork(len(self.dataset.splits[split].queries))
        limit = f", {reader['max_length']} tokens{' with a passage' if reader['pairs'] else ''}" if reader else ""
        return self.call(
            "concatenate", f"concatenate turns of {split}{limit}", {"reader": reader}, inputs, work,
            models=[reader["model"]] if reader else [],
        )  # fmt: skip

    def _rewritten(self, split: str, inputs: dict[str, str | None]) -> str:
        llm, endpoint = self.suite.llm.rewriter, self.endpoint("rewriter", "rewrite")
        spec: dict[str, Any] = {"model": llm.model, "language": self.dataset.language}
        spec |= {"endpoint": endpoint} if endpoint else {"local": llm.local.model_dump()}
        inputs = inputs | {"model": None if endpoint else self.converted(llm.model)}
        work = self.llm_work("rewriter", len(self.dataset.splits[split].histories), PROMPT_TOKENS, NEW_TOKENS)
        return self.call("rewrite", f"rewrite {split}", spec, inputs, work, models=self.local("rewriter"))

    def asked_in_words(self, pipeline: TunedPipeline, split: str) -> str:
        """What the label of a call says of its queries; empty if they are those of the dataset."""
        return IN_WORDS[pipeline.settings.conversation] if f"{split}.history" in self.artifacts.keys else ""

    def without_history(self, pipeline: TunedPipeline) -> TunedPipeline:
        """The pipeline as training data are made with it: by single queries."""
        if pipeline.settings.conversation == "last":
            return pipeline
        return replace(pipeline, settings=pipeline.settings.model_copy(update={"conversation": "last"}))


def reader_of(pipeline: Pipeline, by: ReadBy) -> dict[str, Any] | None:
    """Return the model that reads the queries of a part, as the stage `concatenate` has it.

    None for bm25 and at endpoints, where nobody knows what is read.
    """
    retriever, reranker = pipeline.retriever, pipeline.reranker
    if by == "bm25" or (by == "retriever" and retriever.kind not in RETRIEVER_MODELS):
        return None
    if by == "retriever" or reranker is None:
        return _reader(retriever, retriever.model, str(RETRIEVER_MODELS[retriever.kind]))
    if reranker.kind not in RERANKER_MODELS:
        return None
    return _reader(reranker, reranker.model or retriever.model, RERANKER_MODELS[reranker.kind])


def _reader(part: Retriever | Reranker, model: str, kind: str) -> dict[str, Any]:
    pairs = kind in ("cross-encoder", "generator")
    return {"model": model, "kind": kind, "max_length": part.max_length, "prompt": part.query_prompt, "pairs": pairs}
