"""Stage calls whose model a server runs: an index, its runs, and the scores of a reranker; and how much they ask.

What of an endpoint can change a result is part of the calls; where it is served is not.
"""

from __future__ import annotations

import math
from typing import Any

from harness.planning.calls import TunedPipeline
from harness.planning.corpora import TOKENS_A_CHARACTER, Corpora
from harness.planning.graph import ExpectedWork
from harness.suite.served_models import EncoderEndpoint

QUERY_TOKENS = 20
"""A guess at the tokens of a query."""


class Served(Corpora):
    """Calls that ask an encoder or a reranker at an endpoint."""

    def passage_tokens(self, pipeline: TunedPipeline) -> int:
        """A guess at the tokens of a passage that a pipeline searches."""
        chunking = pipeline.settings.chunking
        mean = TOKENS_A_CHARACTER * sum(self._lengths) / max(len(self._lengths), 1)
        return max(1, round(mean if chunking is None else min(mean, chunking.tokens)))

    def embedded(self, endpoint: EncoderEndpoint, texts: int, tokens_of_each: int) -> ExpectedWork:
        """The work of embedding so many texts."""
        tokens = texts * tokens_of_each
        requests = max(math.ceil(texts / endpoint.batch), math.ceil(tokens / endpoint.batch_tokens))
        return ExpectedWork(texts, requests, tokens, endpoint.dollars(tokens, requests), "retriever")

    def served_index(self, pipeline: TunedPipeline, corpus: str, size: int) -> str:
        """The index of dense vectors that the encoder of an endpoint makes of a corpus of this size."""
        rule = pipeline.settings.retriever
        assert rule.endpoint is not None
        spec = {"kind": "dense", "retriever": _storage(pipeline), "endpoint": rule.endpoint.identity}
        work = self.embedded(rule.endpoint, size, self.passage_tokens(pipeline))
        return self.call("index", f"index with {pipeline.name}", spec, {"corpus": corpus}, work)

    def served_search(
        self, pipeline: TunedPipeline, inputs: dict[str, str | None], depth: int, label: str, queries: int
    ) -> str:
        """Lists of the index among the inputs for so many queries."""
        rule = pipeline.settings.retriever
        assert rule.endpoint is not None
        searched = {"rescore": rule.rescore} if rule.index is None else {"index": rule.index.model_dump()}
        spec = {
            "kind": "dense",
            "depth": depth,
            "retriever": _storage(pipeline) | searched,
            "endpoint": rule.endpoint.identity,
            "exclude_own": self.suite.evaluate.exclude_own,
        }
        return self.call("retrieve", label, spec, inputs, self.embedded(rule.endpoint, queries, QUERY_TOKENS))

    def served_scores(
        self, pipeline: TunedPipeline, inputs: dict[str, str], depth: int, label: str, queries: int
    ) -> str:
        """The run among the inputs in the order of the scores of the reranker of an endpoint."""
        rule = pipeline.settings.reranker
        assert rule is not None
        assert rule.endpoint is not None
        endpoint = rule.endpoint
        spec = {"kind": "endpoint", "depth": depth, "endpoint": endpoint.identity, "max_length": rule.max_length}
        tokens = queries * depth * (self.passage_tokens(pipeline) + QUERY_TOKENS)
        requests = queries * math.ceil(depth / endpoint.batch)
        work = ExpectedWork(queries * depth, requests, tokens, endpoint.dollars(tokens, requests), "reranker")
        return self.call("rerank", label, spec, inputs, work)


def _storage(pipeline: TunedPipeline) -> dict[str, Any]:
    """How the vectors of an endpoint are stored."""
    rule = pipeline.settings.retriever
    return {"dimensions": rule.dimensions, "precision": rule.precision}
