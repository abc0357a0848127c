"""What stage calls cost, what the planned ones will cost, and the build cost of a system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from harness.planning.graph import Plan, PlannedCall, SystemPlan
from harness.planning.speed import STARTUP_SECONDS, Rates, rates, speed_of
from harness.stages import load_stage
from harness.store import Store
from harness.suite.bounds import Prices
from harness.values.findings import LedgerRow
from harness.values.records import FOUND, CallFacts, Usage


class CallEstimate(NamedTuple):
    """The estimated cost of a planned call; zero if it is in the store already.

    `measured` says whether the seconds rest on calls of the same speed class, as far as they are in the store.
    """

    stored: bool
    seconds: float
    llm_calls: int
    tokens: int
    dollars: float = 0.0
    measured: bool = True


def facts_of(
    planned: PlannedCall, seconds: float, peak_memory_mb: float, usage: Usage, out: Path,
    calls: Mapping[str, PlannedCall] = {}, share: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """The cost of a call as it is kept in the artifact's manifest; `calls` are those of its plan.

    `share` is that of the machine which it had.
    """
    return CallFacts(
        stage=planned.call.stage,
        label=planned.label,
        seconds=seconds,
        device=planned.call.device,
        usage=usage,
        peak_memory_mb=peak_memory_mb,
        bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        speed=speed_of(planned.call, calls),
        share=share,
        call=asdict(planned.call),
    ).as_facts()


def row_of(planned: PlannedCall, facts: Mapping[str, Any], reused: bool) -> LedgerRow:
    """The ledger's row for a call; the label is this plan's, even if another suite made the artifact."""
    known = {key: value for key, value in facts.items() if key in LedgerRow.model_fields and key != "label"}
    systems = tuple(sorted(set(planned.systems)))
    return LedgerRow(
        key=planned.key, label=planned.label, role=planned.work.role or "", reused=reused, systems=systems, **known
    )


def estimate(plan: Plan, store: Store, known: Rates | None = None) -> dict[str, CallEstimate]:
    """Return the estimated cost of each call of a plan, alone on the machine; too much for a training that stops early.

    A dev evaluation is taken to be as fast as the stage that uses the tuned model. `known` are the rates of the store
    if they were read already.
    """
    known = known or rates(store)
    uses = {
        key: one
        for one in plan.calls.values()
        if load_stage(one.call.stage).speed.like_dev_evaluation
        for key in one.call.inputs.values()
    }
    found = {}
    for key, planned in plan.calls.items():
        if store.has(key):
            found[key] = CallEstimate(True, 0.0, 0, 0)
        else:
            work, rate = planned.work, known.of(planned.call, plan.calls)
            seconds = STARTUP_SECONDS + work.units / rate.units
            if work.evaluations and key in uses:
                seconds += work.evaluations / known.of(uses[key].call, plan.calls).units
            found[key] = CallEstimate(False, seconds, work.llm_calls, work.tokens, work.dollars, rate.measured)
    return found


def together(rows: Mapping[str, LedgerRow], more: Mapping[str, LedgerRow]) -> dict[str, LedgerRow]:
    """Return the rows of two executions of one run by key: what either has made was made, for the systems of both."""
    found = dict(rows)
    for key, row in more.items():
        if (known := found.get(key)) is not None:
            systems = tuple(sorted({*known.systems, *row.systems}))
            row = known.model_copy(update={"reused": known.reused and row.reused, "systems": systems})
        found[key] = row
    return found


def build_cost(plan: Plan, system: SystemPlan, rows: Mapping[str, LedgerRow], prices: Prices) -> tuple[float, float]:
    """Return the build cost of a system (data, training, index) in seconds of the machine and in dollars.

    Calls that systems share count in full.
    """
    made = [rows[key] for key in plan.upstream(system.serving.keys) if key in rows]
    return sum(row.machine_seconds for row in made), sum(dollars(row, prices) for row in made)


def unknown_costs(plan: Plan, system: SystemPlan, rows: Mapping[str, LedgerRow]) -> list[str]:
    """Return the labels of the calls of a system whose cost is unknown, each with the reason."""
    keys = plan.upstream(system.serving.keys)
    gone = [plan.calls[key].label for key in keys if key not in rows]
    there = [plan.calls[key].label for key in keys if key in rows and rows[key].unknown_cost]
    return [*(f"{label} (no longer in the store)" for label in gone), *(f"{label} ({FOUND})" for label in there)]


def dollars(row: LedgerRow, prices: Prices) -> float:
    """Return the dollars for a call: the machine's time, and what an endpoint was paid."""
    return row.machine_seconds / 3600 * hourly(row.device, prices) + row.llm_dollars


def hourly(device: str, prices: Prices) -> float:
    """Dollars for an hour of the machine that calls of a device class keep busy."""
    return prices.cpu_hour if device in ("cpu", "any") else prices.gpu_hour
