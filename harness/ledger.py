"""What stage calls cost, what the planned ones will cost, and what a system cost to make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.bounds import Prices
from harness.findings import LedgerRow
from harness.graph import Plan, PlannedCall, SystemPlan
from harness.stages import STAGES
from harness.store import FolderStore

STARTUP_SECONDS = 2.0


class Estimate(NamedTuple):
    """What a planned call is expected to take; nothing if it is in the store already."""

    stored: bool
    seconds: float
    llm_calls: int
    tokens: int
    dollars: float = 0.0


def facts_of(planned: PlannedCall, seconds: float, peak_memory_mb: float, usage: Any, out: Path) -> dict[str, Any]:
    """The cost of a call as it is kept in the artifact's manifest."""
    return {
        "stage": planned.call.stage,
        "label": planned.label,
        "seconds": seconds,
        "device": planned.call.device,
        "peak_memory_mb": peak_memory_mb,
        "units": usage.units,
        "llm_calls": usage.llm_calls,
        "prompt_tokens": usage.prompt_tokens,
        "new_tokens": usage.new_tokens,
        "llm_dollars": usage.dollars,
        "failed": usage.failed,
        "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "notes": dict(usage.notes),
    }


def row_of(planned: PlannedCall, facts: Mapping[str, Any], reused: bool) -> LedgerRow:
    """The ledger's row for a call; the label is this plan's, even if another suite made the artifact."""
    known = {key: value for key, value in facts.items() if key in LedgerRow.model_fields and key != "label"}
    systems = tuple(sorted(set(planned.systems)))
    return LedgerRow(
        key=planned.key, label=planned.label, role=planned.work.role or "", reused=reused, systems=systems, **known
    )


def rates(store: FolderStore) -> dict[str, float]:
    """Units a second of every stage: all that this store has seen of it taken together, else the stage's first guess.

    What a child needs to begin is taken off, so that a small sample speaks for a large call.
    """
    units: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    for facts in _timed(store):
        units[facts["stage"]] += facts["units"]
        seconds[facts["stage"]] += max(facts["seconds"] - STARTUP_SECONDS, facts["seconds"] / 2)
    return {name: units[name] / seconds[name] if units[name] else stage.rate for name, stage in STAGES.items()}


def measured(store: FolderStore) -> set[str]:
    """The stages that this store has timed."""
    return {facts["stage"] for facts in _timed(store)}


def _timed(store: FolderStore) -> Iterator[dict[str, Any]]:
    for facts in store.all_facts():
        if facts.get("units") and facts.get("seconds", 0) > 0 and facts.get("stage") in STAGES:
            yield facts


def estimate(plan: Plan, store: FolderStore) -> dict[str, Estimate]:
    """What each call of the plan will take."""
    speed = rates(store)
    found = {}
    for key, planned in plan.calls.items():
        if store.get(key) is not None:
            found[key] = Estimate(True, 0.0, 0, 0)
        else:
            seconds = STARTUP_SECONDS + planned.work.units / speed[planned.call.stage]
            work = planned.work
            found[key] = Estimate(False, seconds, work.llm_calls, work.tokens, work.dollars)
    return found


def making_cost(plan: Plan, system: SystemPlan, rows: Mapping[str, LedgerRow], prices: Prices) -> tuple[float, float]:
    """Seconds and dollars spent once until a system can serve (data, training, index); what is shared counts whole."""
    made = [rows[key] for key in plan.upstream(system.serving.keys) if key in rows]
    return sum(row.seconds for row in made), sum(dollars(row, prices) for row in made)


def unknown_costs(plan: Plan, system: SystemPlan, rows: Mapping[str, LedgerRow]) -> list[str]:
    """Calls that a system needed and whose cost is not known: made earlier, and no longer in the store."""
    return [plan.calls[key].label for key in plan.upstream(system.serving.keys) if key not in rows]


def dollars(row: LedgerRow, prices: Prices) -> float:
    """Price of the machine for the time of a call, and what an endpoint was paid."""
    hour = prices.cpu_hour if row.device in ("cpu", "any") else prices.gpu_hour
    return row.seconds / 3600 * hour + row.llm_dollars
