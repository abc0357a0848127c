"""Remarks on weights that were chosen on dev: those that were taken, and parts that they leave out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from harness.remarks import systems
from harness.stages.weigh import POOL, WEIGHT
from harness.values.findings import LedgerRow

WEIGHED = {"union": "bm25", "first": "the reranker"}
"""What has the weight, by the pool that is weighted."""


def chosen(ledger: Iterable[LedgerRow]) -> Iterator[str]:
    """Yield a sentence on the weights of each kind, and one on every part that has none and still costs time."""
    weights: dict[str, dict[str, float]] = defaultdict(dict)
    for row in ledger:
        what, weight = WEIGHED.get(str(row.notes.get(POOL))), row.notes.get(WEIGHT)
        if row.stage == "weigh" and what is not None and isinstance(weight, int | float):
            weights[what] |= dict.fromkeys(row.systems, float(weight))
    for what, by_system in weights.items():
        listed = systems.by_value(by_system, lambda weight: f"{weight:g}")
        yield f"The weight of {what} in the score was chosen on dev, from 0 to 1: {listed}."
        unused = [system for system, weight in by_system.items() if weight == 0]
        if unused:
            yield f"With weight 0, {what} changes nothing and costs time: leave it out of {systems.named(unused)}."
