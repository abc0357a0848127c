"""What scores the passages of a pool for its query: the part of a reranker that differs by kind.

A scorer holds the loaded model and the texts of the corpus. It never changes which passages a pool has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from harness.llm.served_reranker import EndpointReranker
from harness.models.token_batches import count_longer
from harness.models.token_encoders import encode_tokens, token_chunks
from harness.models.token_vectors import TokenIndex, max_sim
from harness.stages.shared.relevance_models import count_cut, score_pairs
from harness.values.records import Document, Progress


class Pool(NamedTuple):
    """A query and the documents that are scored for it."""

    query: str
    doc_ids: tuple[str, ...]


def _silent(done: int, total: int) -> None:
    pass


class PassageScorer(Protocol):
    """Scores pools; higher is more relevant. Scores are comparable within a pool."""

    def score(self, pools: Sequence[Pool], progress: Progress = _silent) -> list[list[float]]:
        """Return the scores of the documents of each pool, in their order."""
        ...

    def notes(self, pools: Sequence[Pool]) -> dict[str, Any]:
        """Return what the ledger keeps about scoring these pools."""
        ...


class CrossEncoderScorer:
    """A cross-encoder, whose logits are the scores."""

    def __init__(self, model: Any, documents: Mapping[str, Document]) -> None:
        self.model, self.documents = model, documents

    def score(self, pools: Sequence[Pool], progress: Progress = _silent) -> list[list[float]]:
        """Return the logits of the documents of each pool."""
        logits = iter(score_pairs(self.model, pairs_of(pools, self.documents), progress))
        return [[next(logits) for _ in pool.doc_ids] for pool in pools]

    def notes(self, pools: Sequence[Pool]) -> dict[str, Any]:
        """Return how many pairs the model cuts."""
        pairs = pairs_of(pools, self.documents)
        return {f"pairs cut at {self.model.max_seq_length} tokens": count_cut(self.model, pairs)}


class LateInteractionScorer:
    """A token encoder, scored by MaxSim.

    Token vectors of documents come from `index` if there is one; else each document of the pools is encoded once, and
    its vectors are held in float16 until all pools are scored.
    """

    def __init__(self, model: Any, documents: Mapping[str, Document], index: TokenIndex | None = None) -> None:
        self.model, self.documents, self.index = model, documents, index

    def score(self, pools: Sequence[Pool], progress: Progress = _silent) -> list[list[float]]:
        """Return the mean over query tokens of the largest cosine to a token of each document."""
        queries = encode_tokens(self.model, [pool.query for pool in pools], "query")
        if self.index is not None:
            vectors = self.index.vectors
        else:
            vectors = self._encoded(list(dict.fromkeys(key for pool in pools for key in pool.doc_ids)), progress)
        scores = []
        for done, (query, pool) in enumerate(zip(queries, pools, strict=True), start=1):
            scores.append(max_sim(query, [vectors(doc_id) for doc_id in pool.doc_ids]))
            if self.index is not None:
                progress(done, len(pools))
        return scores

    def _encoded(self, doc_ids: Sequence[str], progress: Progress) -> Any:
        import numpy as np

        texts, vectors = [self.documents[doc_id].content for doc_id in doc_ids], {}
        for numbers, arrays in token_chunks(self.model, texts, "document", progress):
            for number, array in zip(numbers, arrays, strict=True):
                vectors[doc_ids[number]] = array.astype(np.float16)
        return vectors.__getitem__

    def notes(self, pools: Sequence[Pool]) -> dict[str, Any]:
        """Return where token vectors came from, and how many documents the model cut if it read them here."""
        if self.index is not None:
            return {"token vectors": "stored"}
        texts = [self.documents[key].content for key in dict.fromkeys(key for pool in pools for key in pool.doc_ids)]
        return {
            "token vectors": "computed for the pools",
            "passages encoded": len(texts),
            "cut at max_length": count_longer(self.model, self.model.prompts.get("document") or "")(texts),
        }


class EndpointScorer:
    """A reranker that a server runs; `fresh` sends every request, whatever the cache has."""

    def __init__(self, client: EndpointReranker, documents: Mapping[str, Document], fresh: bool = False) -> None:
        self.client, self.documents, self.fresh = client, documents, fresh

    def past_cache(self) -> EndpointScorer:
        """Return the same scorer, which sends every request."""
        return EndpointScorer(self.client, self.documents, fresh=True)

    def score(self, pools: Sequence[Pool], progress: Progress = _silent) -> list[list[float]]:
        """Return the scores that the server gives. Raises ValueError if it gives none for a pool."""
        asked = [(pool.query, [self.documents[doc_id].content for doc_id in pool.doc_ids]) for pool in pools]
        return self.client.score(asked, progress, self.fresh)

    def notes(self, pools: Sequence[Pool]) -> dict[str, Any]:
        """Return nothing: the server does not say what it truncates."""
        return {}


def pairs_of(pools: Sequence[Pool], documents: Mapping[str, Document]) -> list[tuple[str, str]]:
    """Return the texts of query and passage, pool after pool."""
    return [(pool.query, documents[doc_id].content) for pool in pools for doc_id in pool.doc_ids]
