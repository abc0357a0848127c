"""What the encoder of a pipeline reads of the documents of a dataset, told from a sample before anything is made."""

from __future__ import annotations

from functools import lru_cache

from harness.data.datasets import Dataset
from harness.hashing import by_hash
from harness.models.loaders import model_digest, token_counter
from harness.models.unread import SAMPLE, Unread, unread
from harness.planning import requirements
from harness.suite.pipeline import Pipeline
from harness.suite.spec import Suite
from harness.suite.uses import models_used

MUCH = 0.05
"""Share of the text that is not read from which documents count as long."""
UNLIMITED = ("bm25", "endpoint")
"""Kinds of retrievers of which no limit is known: words have none, and a server does not say its own."""


def unread_of(suite: Suite, pipeline: Pipeline, dataset: Dataset) -> Unread | None:
    """What the encoder of a pipeline does not read of documents that are indexed whole; None if it has none."""
    rule = pipeline.retriever
    if pipeline.chunking is not None or rule.kind in UNLIMITED:
        return None
    return _counted(rule.model, model_digest(rule.model), limit_of(suite, pipeline), _Texts(dataset))


class _Texts:
    """The texts of a sample of documents; equal if the corpora are, so that they are counted once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.digest = dataset, dataset.digests["corpus"]

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Texts) and other.digest == self.digest

    def sample(self) -> list[str]:
        documents = self.dataset.documents
        return [documents[key].content for key in by_hash(list(documents))[:SAMPLE]]


@lru_cache(maxsize=8)
def _counted(model: str, digest: str, limit: int, texts: _Texts) -> Unread | None:
    count = token_counter(model)
    return None if count is None else unread(texts.sample(), count, limit)


def reads_of(suite: Suite, pipeline: Pipeline) -> int | None:
    """How many tokens of a passage the retriever reads; None for bm25, which reads all words, and at an endpoint."""
    return None if pipeline.retriever.kind in UNLIMITED else limit_of(suite, pipeline)


def limit_of(suite: Suite, pipeline: Pipeline) -> int:
    """How many tokens of a text the encoder of a pipeline reads: what is set, or less if its model takes less."""
    asked = pipeline.retriever.max_length
    for use in models_used(suite):
        if use.model == pipeline.retriever.model and use.kind in ("bi-encoder", "multi-vector", "sparse-encoder"):
            return requirements.inspected(use).takes(asked) or asked
    return asked
