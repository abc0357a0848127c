"""How many of the nearest neighbours an index finds. Must not know where runs come from."""

from __future__ import annotations

from statistics import fmean

from harness.values.records import Run


def neighbour_recall(exact: Run, found: Run, cutoff: int) -> float | None:
    """Return the share of the first `cutoff` of the exact lists that the first `cutoff` found have, mean of queries.

    Queries whose exact list is empty are left out; None if all are. A document that ties with the last one of the exact
    list counts as missed if it was found in its place.
    """
    shares = []
    for query_id, hits in exact.items():
        nearest = {doc_id for doc_id, _ in hits[:cutoff]}
        if nearest:
            shares.append(len(nearest & {doc_id for doc_id, _ in found.get(query_id, [])[:cutoff]}) / len(nearest))
    return fmean(shares) if shares else None
