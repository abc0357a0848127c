"""Gates on figures of the probe."""

from __future__ import annotations

from typing import Any

import judged
import numpy as np
import pytest
from test_gate import BASE, UNTUNED, WRITTEN, column, of, only, verdicts

from harness.execution.latency import timing
from harness.gates.gate import evaluate
from harness.gates.probe_gates import _figure, _standing
from harness.report.content.gates import sentence
from harness.results.score_tables import tables_of
from harness.statistics.verdicts import Gating
from harness.suite.bounds import Gate
from harness.values.findings import ServingCost, Timing

# ---- figures of the probe


def served(p95: float | None, cost: float = 0.4, seed: int = 0) -> Any:
    total = Timing(part="total", n=100, p50_ms=10.0, p95_ms=p95) if p95 is not None else None
    return judged.info("untuned", seed, serving=ServingCost(parts=("dense",), total=total, dollars_per_1000=cost))


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


# ---- intervals of latencies


def ranged(p95: float, spread: float) -> Any:
    total = Timing(part="total", n=100, p50_ms=10.0, p95_ms=p95, p95_range=(p95 * (1 - spread), p95 * (1 + spread)))
    return judged.info("untuned", 0, serving=ServingCost(parts=("dense",), total=total, dollars_per_1000=0.4))


@pytest.mark.parametrize(
    ("now", "verdict", "strict"),
    [
        (ranged(24.0, 0.1), "within bound", 0),
        (ranged(25.1, 0.1), "inconclusive", 1),
        (ranged(31.0, 0.1), "over bound", 1),
        (ranged(25.1, 0.001), "over bound", 1),
    ],
)
def test_a_latency_is_over_its_bound_only_if_its_interval_is(now: Any, verdict: str, strict: int) -> None:
    gate = Gate(probe="p95_ms", ceiling=25.0)
    found = probed(gate, now)
    assert (only(found).verdict, found.exit_code) == (verdict, verdict == "over bound")
    assert probed(gate.model_copy(update={"on_inconclusive": "fail"}), now).exit_code == strict


def test_the_accepted_latency_varies_too() -> None:
    gate = Gate(probe="p95_ms", relative=0.1)
    exact, vague = ranged(20.0, 0.001), ranged(20.0, 0.3)
    assert only(probed(gate, ranged(25.0, 0.05), exact)).verdict == "over bound"
    assert only(probed(gate, ranged(25.0, 0.05), vague)).verdict == "inconclusive"


def test_few_queries_do_not_show_that_a_latency_rose() -> None:
    """The p95 of three queries is the largest of them: one outlier is no verdict."""
    rng = np.random.default_rng(0)
    gate = Gate(probe="p95_ms", relative=0.0)
    quiet = timing("total", list(rng.lognormal(3.0, 0.3, 3)))
    outlier = timing("total", [20.0, 21.0, 900.0])
    before, now = (_figure(gate, judged.info("a", 0, serving=ServingCost(parts=(), total=one)))
                   for one in (quiet, outlier))  # fmt: skip
    assert before.value is not None
    assert _standing(now, before.value, before) == "inconclusive"


def test_an_interval_is_in_the_sentence() -> None:
    found = only(probed(Gate(probe="p95_ms", ceiling=25.0), ranged(26.0, 0.1)))
    assert sentence(found) == (
        "untuned, p95_ms ceiling: 26.0 ms [23.4, 28.6] (100 single queries) is inconclusive: above bound 25.0 ms by no "
        "more than chance."
    )


def test_a_machine_that_did_not_change_is_seldom_called_slower() -> None:
    """Two probes of one system, 1,000 times: the gate on the p95 fails in about as many as it may."""
    rng = np.random.default_rng(5)
    gate = Gate(probe="p95_ms", relative=0.0)
    over = 0
    for _ in range(1000):
        drawn = [timing("total", list(rng.lognormal(3.0, 0.3, 100))) for _ in range(2)]
        now, before = (_figure(gate, judged.info("a", 0, serving=ServingCost(parts=(), total=one))) for one in drawn)
        assert before.value is not None
        over += _standing(now, before.value, before) == "over bound"
    assert over / 1000 <= 0.05 + 2 * (0.05 * 0.95 / 1000) ** 0.5
    slower = [timing("total", list(rng.lognormal(3.5, 0.3, 100))) for _ in range(100)]
    before = _figure(gate, judged.info("a", 0, serving=ServingCost(parts=(), total=drawn[0])))
    assert before.value is not None
    now = [_figure(gate, judged.info("a", 0, serving=ServingCost(parts=(), total=one))) for one in slower]
    assert sum(_standing(one, before.value, before) == "over bound" for one in now) > 90
