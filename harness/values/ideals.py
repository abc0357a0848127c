"""Rankings of an oracle reranker and an oracle retriever, from the judgements. Pure functions on plain lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.values.grades import best_first

Hits = Sequence[tuple[str, float]]
"""A ranked list: (doc_id, score), best first."""


def ideal_order(hits: Hits, judged: Mapping[str, int], first: int) -> list[tuple[str, float]]:
    """Return the ranking of an oracle reranker: its `first` documents by relevance, the rest unchanged.

    No order of these documents scores higher on any rank measure. Documents of equal relevance keep their order; new
    scores fall with the rank.
    """
    head = sorted(hits[:first], key=lambda hit: -judged.get(hit[0], 0))
    return _scored([doc_id for doc_id, _ in [*head, *hits[first:]]])


def ideal_pool(hits: Hits, judged: Mapping[str, int], depth: int) -> list[tuple[str, float]]:
    """Return the ranking of an oracle retriever: every relevant document first, by relevance, then the list as it was.

    The list is cut to `depth` documents.
    """
    relevant = best_first(judged)
    known = set(relevant)
    return _scored([*relevant, *(doc_id for doc_id, _ in hits if doc_id not in known)][:depth])


def _scored(doc_ids: Sequence[str]) -> list[tuple[str, float]]:
    return [(doc_id, 1.0 / rank) for rank, doc_id in enumerate(doc_ids, start=1)]
