"""Weights that were chosen on dev are told on the front of a report, and parts that they leave out are named."""

from __future__ import annotations

from typing import Any

import pocket

from harness.planning.plan import build_plan
from harness.remarks import weights
from harness.values.findings import LedgerRow

ROW: dict[str, Any] = {"key": "k", "label": "l", "seconds": 1.0, "device": "any", "peak_memory_mb": 1.0}


def row(pool: str, weight: float, *systems: str, stage: str = "weigh") -> LedgerRow:
    notes = {"dev queries": 9, "pool": pool, "weight": weight}
    return LedgerRow.model_validate({**ROW, "stage": stage, "systems": systems, "notes": notes})


def test_weights_are_told_by_what_has_them() -> None:
    rows = [row("union", 0.5, "fused", "both"), row("first", 0.9, "late"), row("first", 0.1, "both")]
    assert list(weights.chosen(rows)) == [
        "The weight of bm25 in the score was chosen on dev, from 0 to 1: 0.5 in fused and both.",
        "The weight of the reranker in the score was chosen on dev, from 0 to 1: 0.9 in late; 0.1 in both.",
    ]


def test_a_part_without_weight_is_named_as_a_cost() -> None:
    told = list(weights.chosen([row("first", 0.0, "late", "staged (seed 0)")]))
    assert told[1] == (
        "With weight 0, the reranker changes nothing and costs time: leave it out of late and staged (seed 0)."
    )


def test_other_stages_and_rows_of_older_stores_say_nothing() -> None:
    assert list(weights.chosen([row("first", 0.0, "late", stage="blend")])) == []
    assert list(weights.chosen([row("", 0.3, "late")])) == []


def test_each_weight_of_a_system_has_a_label_of_its_own() -> None:
    both = {"retriever": {"bm25_weight": "dev"}, "reranker": {"kind": "late-interaction"}}
    plan = build_plan(pocket.suite({"candidates": {"both": {"pipeline": both}}}), pocket.dataset())
    labels = [planned.label for planned in plan.calls.values() if planned.call.stage == "weigh"]
    assert len(labels) == len(set(labels)) == 2
