"""What candidates are estimated to cost, once and per query, before any of them is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from harness import provenance
from harness.findings import Timing
from harness.graph import Plan, SystemPlan
from harness.insights import Quote
from harness.ledger import Estimate, estimate, measured, rates
from harness.store import FolderStore

TAIL = 1.1
"""A guess at p95 over the mean for reranking, which reads the same number of passages for every query."""


def quotes(plan: Plan, store: FolderStore, untuned: Timing | None) -> tuple[Quote, ...]:
    """Estimate what every candidate of a plan costs; `untuned` is the latency of the pipeline as it is.

    The one-time cost counts what stands upstream of what serves, as the ledger does afterwards. Only a reranker where
    there was none adds to the latency: tuning changes weights, not shapes.
    """
    timed, guesses = measured(store), estimate(plan, store)
    speed = rates(store)["rerank"]
    found: dict[str, Quote] = {}
    for system in plan.systems:
        if system.role == "candidate" and system.name not in found:
            keys = plan.upstream(system.serving.keys)
            adds = _added_ms(plan, system, speed)
            found[system.name] = Quote(
                candidate=system.name,
                tunes=system.tunes,
                seconds=sum(guesses[key].seconds for key in keys),
                seconds_in_full=sum(_whole(guesses[key], store, key) for key in keys),
                dollars=sum(_dollars(plan, store, guesses[key], key) for key in keys),
                added_p95_ms=adds if untuned is not None or not adds else None,
                added_dollars_per_1000=adds / 3600 * _hour(plan),
                basis=_basis((plan.calls[key].call.stage for key in keys), timed),
            )
    return tuple(found.values())


def _whole(guess: Estimate, store: FolderStore, key: str) -> float:
    return float(store.facts(key).get("seconds", 0.0)) if guess.stored else guess.seconds


def _dollars(plan: Plan, store: FolderStore, guess: Estimate, key: str) -> float:
    paid = float(store.facts(key).get("llm_dollars", 0.0)) if guess.stored else guess.dollars
    return _whole(guess, store, key) / 3600 * _hour(plan) + paid


def _hour(plan: Plan) -> float:
    prices = plan.suite.prices
    return prices.cpu_hour if provenance.device_class() == "cpu" else prices.gpu_hour


def _added_ms(plan: Plan, system: SystemPlan, speed: float) -> float:
    """Milliseconds that a query takes longer: those of a reranker where the pipeline has none."""
    if "reranker" not in system.tunes or plan.suite.pipeline.reranker is not None:
        return 0.0
    return TAIL * 1000 * min(plan.suite.pipeline.rerank_depth, plan.suite.pipeline.depth) / speed


def _basis(stages: Iterable[str], timed: set[str]) -> dict[str, Literal["measured", "guessed"]]:
    return {stage: "measured" if stage in timed else "guessed" for stage in dict.fromkeys(stages)}
