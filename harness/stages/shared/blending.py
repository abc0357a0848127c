"""Blending: one ranking of the scores of two runs, weighted, standardised per query.

Scores of two rankers have different scales, which also differ from query to query. Standardised (mean 0, deviation 1
over the pool of a query), they can be added, and keep the distances that ranks lose: a weighted sum of normalised
scores ranks better than fusion by ranks, and needs few judged queries for its weight (Bruch, Gai and Ingber, An
Analysis of Fusion Functions for Hybrid Retrieval, ACM TOIS 2023). Must not know what made the runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from harness.models.search import Hits
from harness.stages.rerank import reordered
from harness.values.records import Run

BlendPool = Literal["first", "union"]
"""``first``: the first documents of the first run, reordered; ``union``: those of both runs, fused."""
WEIGHT_FILE = "weight.json"
DIGITS = 12
"""Decimal places of a blended score: sums that differ by rounding alone are ties."""


class Blending(NamedTuple):
    """How two lists become one: the `weight` (0 to 1) of the second, the `depth`, and which documents take part."""

    weight: float
    depth: int
    pool: BlendPool


class Weight(NamedTuple):
    """A weight that was chosen on dev, and the mean ndcg@10 of every weight tried, as text with one decimal place."""

    weight: float
    scores: Mapping[str, float]

    def write(self, folder: Path) -> None:
        text = json.dumps({"weight": self.weight, "scores": dict(self.scores)}, indent=1)
        (folder / WEIGHT_FILE).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> Weight:
        return Weight(**json.loads((folder / WEIGHT_FILE).read_text(encoding="utf-8")))


def blended_runs(first: Run, second: Run, how: Blending) -> Run:
    """Blend the lists of every query; of a pool ``first``, queries that only the second run has are none of it."""
    queries = dict.fromkeys([*first, *second] if how.pool == "union" else first)
    return {key: blended(first.get(key, []), second.get(key, []), how) for key in queries}


def blended(first: Hits, second: Hits, how: Blending) -> Hits:
    """Blend the two lists of one query, ties in trec_eval's order.

    ``first``: the first `depth` documents of the first list are reordered, the others follow in their order.
    ``union``: the documents of both lists, cut to `depth`. What a list lacks has the lowest score of it; but score
    0 if the list is shorter than `depth` and its scores are positive: a list of bm25 then holds every document that has
    a word of the query. A weight of 0 gives the first list as it is, 1 orders by the second alone.
    """
    if how.pool == "first":
        return _within(first, second, how)
    if how.weight in (0, 1):
        return (second if how.weight else first)[: how.depth]
    doc_ids = list(dict.fromkeys(doc_id for doc_id, _ in first + second))
    left, right = (_completed(hits, doc_ids, how.depth) for hits in (first, second))
    scores = _sums(doc_ids, left, right, how.weight)
    ranked = sorted(scores.items(), reverse=True)
    ranked.sort(key=lambda hit: -hit[1])
    return ranked[: how.depth]


def _within(first: Hits, second: Hits, how: Blending) -> Hits:
    pool = first[: how.depth]
    ids = {doc_id for doc_id, _ in pool}
    other = [hit for hit in second if hit[0] in ids]
    if how.weight == 0 or not other:
        return first
    if how.weight == 1:
        scores, lowest = dict(other), min(score for _, score in other)
        return reordered(first, [scores.get(doc_id, lowest) for doc_id, _ in pool])
    ids_in_order, scored = [doc_id for doc_id, _ in pool], dict(other)
    lowest = min(scored.values())
    second_scores = [(doc_id, scored.get(doc_id, lowest)) for doc_id in ids_in_order]
    return reordered(first, list(_sums(ids_in_order, pool, second_scores, how.weight).values()))


def _completed(hits: Hits, doc_ids: Sequence[str], depth: int) -> Hits:
    """The list with a score for every document of the pool."""
    scores = dict(hits)
    lowest = min(scores.values(), default=0.0)
    missing = 0.0 if len(hits) < depth and lowest > 0 else lowest
    return [(doc_id, scores.get(doc_id, missing)) for doc_id in doc_ids]


def _sums(doc_ids: Sequence[str], first: Hits, second: Hits, weight: float) -> dict[str, float]:
    """The weighted sum of both standardised scores for each document; both lists have all of them."""
    left, right = standardised(first), standardised(second)
    return {doc_id: round((1 - weight) * left[doc_id] + weight * right[doc_id], DIGITS) for doc_id in doc_ids}


def standardised(hits: Hits) -> dict[str, float]:
    """Scores by document with mean 0 and standard deviation 1 over the list; all 0 if they are equal."""
    scores = [score for _, score in hits]
    if not scores or max(scores) == min(scores):
        return {doc_id: 0.0 for doc_id, _ in hits}
    mean = math.fsum(scores) / len(scores)
    # Divided by the largest distance first, no square is too large or too small to be held.
    peak = max(abs(score - mean) for score in scores)
    distances = [(score - mean) / peak for score in scores]
    deviation = math.sqrt(math.fsum(distance * distance for distance in distances) / len(scores))
    return {doc_id: distance / deviation for (doc_id, _), distance in zip(hits, distances, strict=True)}
