"""Facts of a diagnosis, and the advice that the rules give on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diagnosed

from harness.diagnosis.advice import advise
from harness.diagnosis.rules import Rules, load_rules
from harness.suite.recipes import Part
from harness.values.insights import Advice, CostEstimate, OracleGain

RULES = load_rules()
CANDIDATES: dict[str, tuple[Part, ...]] = {
    "retriever": ("retriever",),
    "reranker": ("reranker",),
    "generator": ("generator",),
    "retriever-generator": ("retriever", "generator"),
    "turned": ("reranker", "retriever"),
    "all": ("retriever", "reranker", "generator"),
}
TRAINED = {"reranker.untrained": 0.0, "reranker.planned": 1.0, "reranker.tuned": 1.0}
UNTRAINED = TRAINED | {"reranker.untrained": 1.0}
MARGINS = {"margin.rank": 0.02, "margin.answers": 0.05}
SLOW = {"p95_ms": 500.0, "added.p95.reranker": 200.0, "p95.reranker": 700.0, "limit.p95_ms": 600.0}
DEEPER = {
    "depth": 100.0, "gain.depth.to": 200.0, "gain.depth": 0.1, "gain.depth.low": 0.04, "gain.depth.measured": 1.0,
    "lost.pool": 0.15, "lost.pool.low": 0.05, "pool.share": 0.02, "reranker.planned": 1.0,
}  # fmt: skip
MORE = {
    "context": 3.0, "context.best": 5.0, "gain.context": 0.1, "gain.context.low": 0.02, "gain.context.half": 0.08,
} | MARGINS  # fmt: skip


def surely(**shares: float) -> dict[str, float]:
    """Facts with an interval that is the value itself; `__` stands for a dot."""
    names = {name.replace("__", "."): value for name, value in shares.items()}
    return {name + end: value for name, value in names.items() for end in ("", ".low", ".high")}


WITHOUT = surely(oracle_gain__without_reranker=0.2)
RERANKED = {"rerank.depth": 50.0, "depth": 100.0, "reranker.planned": 1.0}


def advised(
    facts: Mapping[str, float | None],
    candidates: Mapping[str, tuple[Part, ...]] | None = None,
    rules: Rules = RULES,
    **changes: Any,
) -> dict[str, Advice]:
    seen = diagnosed.diagnosis(**{"facts": dict(facts), "estimates": ()} | changes)
    found = advise(seen, rules, CANDIDATES if candidates is None else candidates)
    return {one.rule: one for one in found}


def estimate(name: str, dollars: float = 1.0, added: float | None = 0.0) -> CostEstimate:
    return CostEstimate(
        candidate=name, tunes=CANDIDATES[name], seconds=60, seconds_in_full=60, dollars=dollars, added_p95_ms=added
    )


def gain(oracle: Any, measure: str, difference: float | None, real: float = 0.4) -> OracleGain:
    return OracleGain(
        oracle=oracle,
        measure=measure,
        bound="@" in measure,
        real=real,
        best=None,
        difference=difference,
        low=0.1,
        high=0.9,
    )
