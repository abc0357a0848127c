"""Gates on figures of the probe."""

from __future__ import annotations

from typing import Any

import judged
import pytest
from test_gate import BASE, UNTUNED, WRITTEN, column, of, only, verdicts

from harness.gates.gate import evaluate
from harness.report.content.gates import sentence
from harness.results.score_tables import tables_of
from harness.statistics.verdicts import Gating
from harness.suite.bounds import Gate
from harness.values.findings import ServingCost, Timing

# ---- figures of the probe


def served(p95: float | None, cost: float = 0.4, seed: int = 0) -> Any:
    total = Timing(part="total", n=100, p50_ms=10.0, p95_ms=p95) if p95 is not None else None
    return judged.info("untuned", seed, serving=ServingCost(parts=(), total=total, dollars_per_1000=cost))


def probed(gate: Gate, now: Any, then: Any = None, machine: str | None = None) -> Gating:
    outcome, rows = of(column(BASE), systems=(now,))
    baseline = None
    if then is not None:
        baseline = judged.baseline_of(*of(column(BASE), systems=(then,)))
    if machine:
        outcome = outcome.model_copy(update={"provenance": {**outcome.provenance, "machine": machine}})
    return evaluate([gate], outcome, tables_of(rows, "test"), baseline)


@pytest.mark.parametrize(
    ("gate", "now", "verdict"),
    [
        (Gate(probe="p95_ms", relative=0.25), served(25.0), "within bound"),
        (Gate(probe="p95_ms", relative=0.25), served(25.1), "over bound"),
        (Gate(probe="p50_ms", relative=0.0), served(25.1), "within bound"),
        (Gate(probe="cost_per_1000", relative=0.1), served(20.0, 0.45), "over bound"),
        (Gate(probe="cost_per_1000", ceiling=0.5), served(20.0, 0.45), "within bound"),
        (Gate(probe="p95_ms", ceiling=20.0), served(20.1), "over bound"),
    ],
)
def test_a_figure_is_held_to_its_bound(gate: Gate, now: Any, verdict: str) -> None:
    found = probed(gate, now, served(20.0))
    assert only(found).verdict == verdict
    assert found.exit_code == (verdict == "over bound")
    assert probed(gate.model_copy(update={"advisory": True}), now, served(20.0)).exit_code == 0


def test_times_of_another_machine_are_not_compared() -> None:
    found = probed(Gate(probe="p95_ms", relative=0.0), served(99.0), served(20.0), machine="a slow one")
    assert (only(found).verdict, found.exit_code) == ("not compared", 0)
    assert "not compared (another machine class: accepted on " in sentence(only(found))


def test_a_ceiling_needs_nothing_accepted_and_no_other_machine() -> None:
    assert probed(Gate(probe="p95_ms", ceiling=10.0), served(20.0)).exit_code == 1
    assert probed(Gate(probe="p95_ms", ceiling=10.0), served(20.0), served(20.0), machine="x").exit_code == 1
    assert only(probed(Gate(probe="p95_ms", relative=0.1), served(20.0))).verdict == "new"


def test_a_figure_that_is_not_there_does_not_pass() -> None:
    found = probed(Gate(probe="p95_ms", ceiling=30.0), served(None), served(20.0))
    assert (only(found).verdict, found.exit_code) == ("failed", 3)
    assert "no figure: not timed" in sentence(only(found))


def test_a_system_that_vanished_is_missing_from_the_probe_too() -> None:
    then = judged.baseline_of(*of({UNTUNED: {"ndcg@10": BASE}, WRITTEN: {"ndcg@10": BASE}}))
    outcome, rows = of(column(BASE))
    found = evaluate([Gate(probe="p95_ms", ceiling=30.0)], outcome, tables_of(rows, "test"), then)
    assert verdicts(found) == {
        "untuned, p95_ms ceiling": "within bound", "written (seed 0), p95_ms ceiling": "missing",
    }  # fmt: skip


def test_figures_are_worded_with_their_units() -> None:
    found = only(probed(Gate(probe="p95_ms", relative=0.1), served(25.0), served(20.0)))
    assert sentence(found) == ("untuned, p95_ms: 25.0 ms (100 single queries) is over bound 22.0 ms, accepted 20.0 ms.")
    found = only(probed(Gate(probe="cost_per_1000", ceiling=1.0), served(25.0)))
    assert sentence(found) == "untuned, cost_per_1000 ceiling: $0.40 (100 single queries) is within bound $1.00."
