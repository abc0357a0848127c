"""Dev evaluations, for choosing checkpoints only; reported scores come from `scoring`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from harness.hashing import by_hash
from harness.values.grades import relevant_grades
from harness.values.records import Qrels, Reference

DEV_CUTOFF = 10
DEV_INPUTS = ("dev_run", "dev_queries", "dev_qrels")
"""Inputs of a training that chooses a checkpoint on dev."""


def judged_sample(queries: Iterable[str], qrels: Qrels, count: int) -> list[str]:
    """Return at most `count` of the queries with a relevant document, in an order independent of their ids."""
    return by_hash(key for key in queries if relevant_grades(qrels.get(key, {})))[:count]


def sample_with_references(queries: Iterable[str], references: Mapping[str, Reference], count: int) -> list[str]:
    """Return at most `count` of the queries that have a reference, in their order, the unanswerable in their share.

    Which ones is decided by hashes of ids: a larger sample holds the smaller.
    """
    asked = [query_id for query_id in queries if query_id in references]
    if count >= len(asked):
        return asked
    unanswerable = [query_id for query_id in asked if not references[query_id].answerable]
    declined = round(count * len(unanswerable) / len(asked))
    answerable = [query_id for query_id in asked if references[query_id].answerable]
    chosen = set(by_hash(unanswerable)[:declined] + by_hash(answerable)[: count - declined])
    return [query_id for query_id in asked if query_id in chosen]


def ndcg(ranked: Sequence[str], relevance: Mapping[str, int], cutoff: int) -> float:
    """Normalised discounted cumulative gain, linear (Jarvelin and Kekalainen 2002); 0 without relevant documents."""

    def gained(gains: Sequence[int]) -> float:
        return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:cutoff]))

    best = gained(sorted((gain for gain in relevance.values() if gain > 0), reverse=True))
    return gained([max(relevance.get(doc_id, 0), 0) for doc_id in ranked]) / best if best else 0.0
