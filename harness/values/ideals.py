"""What an ideal part would have made of a list, from the judgements. Pure functions on plain lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.values.grades import best_first

Hits = Sequence[tuple[str, float]]
"""A ranked list: (doc_id, score), best first."""


def ideal_order(hits: Hits, judged: Mapping[str, int], first: int) -> list[tuple[str, float]]:
    """What the best reranker makes of a list: its `first` documents by relevance, the rest as it was.

    No order of these documents has a higher value of any rank measure here. Documents of one relevance keep their
    order; scores are made anew, so that they fall.
    """
    head = sorted(hits[:first], key=lambda hit: -judged.get(hit[0], 0))
    return _scored([doc_id for doc_id, _ in [*head, *hits[first:]]])


def ideal_pool(hits: Hits, judged: Mapping[str, int], depth: int) -> list[tuple[str, float]]:
    """What the best retriever would have found: every relevant document first, by relevance, then the list as it was.

    The list is `depth` documents long at most.
    """
    relevant = best_first(judged)
    known = set(relevant)
    return _scored([*relevant, *(doc_id for doc_id, _ in hits if doc_id not in known)][:depth])


def _scored(doc_ids: Sequence[str]) -> list[tuple[str, float]]:
    return [(doc_id, 1.0 / rank) for rank, doc_id in enumerate(doc_ids, start=1)]
