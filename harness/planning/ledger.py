"""What stage calls cost, what the planned ones will cost, and what a system cost to make.

How fast a stage is depends on what it works with: calls are timed by speed class, see `speed_of`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness import provenance
from harness.planning.graph import Plan, PlannedCall, SystemPlan
from harness.stages import STAGES
from harness.store import FolderStore
from harness.suite.bounds import Prices
from harness.values.findings import LedgerRow
from harness.values.records import DEV_EVALUATION_SECONDS, CallFacts, StageCall, Usage

STARTUP_SECONDS = 2.0
"""A guess at what the child of a call needs before it begins to work."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "index": ("kind",),
    "retrieve": ("kind",),
    "mine": ("relabel.by",),
    "label": ("by",),
    "instruct": ("answers",),
    "tune_retriever": ("recipe.recipe",),
    "tune_reranker": ("recipe.recipe",),
    "tune_generator": ("recipe.recipe",),
    "answer": ("source",),
}
"""Keys of a stage's spec that say what kind of work a unit is: calls that differ in one tell nothing of each other."""
SIZES: Mapping[str, tuple[str, ...]] = {
    "synthesize": ("passage_tokens", "max_new_tokens"),
    "sift": ("retriever.max_length",),
    "mine": ("retriever.max_length",),
    "label": ("passage_tokens", "max_new_tokens"),
    "instruct": ("passage_tokens", "max_new_tokens"),
    "tune_retriever": ("retriever.max_length", "recipe.max_length", "recipe.lora_rank", "recipe.candidates"),
    "tune_reranker": ("max_length",),
    "tune_generator": ("generator.passage_tokens", "recipe.max_length"),
    "index": ("retriever.max_length",),
    "retrieve": ("retriever.max_length",),
    "rerank": ("max_length",),
    "answer": (
        "context",
        "few_shot",
        "generator.passage_tokens",
        "generator.max_new_tokens",
        "generator.thinking",
        "stop",
    ),
}
"""Keys that say how large a unit is; the models matter too."""
LIKE_A_LOOK = ("index", "rerank")
"""Stages that use a tuned model as a look at dev does."""


class Estimate(NamedTuple):
    """What a planned call is expected to take; nothing if it is in the store already."""

    stored: bool
    seconds: float
    llm_calls: int
    tokens: int
    dollars: float = 0.0


class Rate(NamedTuple):
    """Units a second. `measured`: on calls of the same speed class; otherwise it is a guess."""

    units: float
    measured: bool


class Speed(NamedTuple):
    """The speed class of a call: calls that are alike in all of it take the same time for a unit.

    `kind` holds stage, device, and what kind of work it is; `detail` the machine, the models, and the size of a unit.
    """

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} | {self.detail}"


def speed_of(call: StageCall, calls: Mapping[str, PlannedCall]) -> Speed:
    """The speed class of a call; `calls` are those of its plan.

    What a call reads says the rest: which model a tuned one was made from, and how many passages a list has.
    """
    models, sizes = set(call.models.values()), _said(call, SIZES)
    for name in ("model", "adapter", "triplets"):
        above = calls.get(call.inputs.get(name, ""))
        if above is None:
            continue
        if name == "triplets" and call.stage == "tune_retriever":
            sizes.append(f"negatives {above.call.spec['hard'] + above.call.spec['random']}")
        elif name != "triplets":
            models |= set(above.call.models.values())
    kind, served = [call.stage, call.device, *_said(call, KINDS)], call.spec.get("endpoint")
    if served:
        kind.append("endpoint")
        sizes.append(f"model {served['model']}")
    elif call.device != "any":
        sizes.insert(0, provenance.machine_class())
    return Speed("; ".join(kind), "; ".join([*sizes, *(model[:12] for model in sorted(models))]))


def asks_endpoint(call: StageCall) -> bool:
    """Whether a call asks a model that runs elsewhere."""
    return bool(call.spec.get("endpoint"))


def _said(call: StageCall, keys: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What a call's spec says under these dotted keys, as far as it has them."""
    found = []
    for dotted in keys.get(call.stage, ()):
        value: Any = call.spec
        for key in dotted.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            found.append(f"{dotted} {value}")
    return found


def facts_of(
    planned: PlannedCall, seconds: float, peak_memory_mb: float, usage: Usage, out: Path,
    calls: Mapping[str, PlannedCall] = {},
) -> dict[str, Any]:  # fmt: skip
    """The cost of a call as it is kept in the artifact's manifest; `calls` are those of its plan."""
    return CallFacts(
        stage=planned.call.stage,
        label=planned.label,
        seconds=seconds,
        device=planned.call.device,
        usage=usage,
        peak_memory_mb=peak_memory_mb,
        bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        speed=speed_of(planned.call, calls),
    ).as_facts()


def row_of(planned: PlannedCall, facts: Mapping[str, Any], reused: bool) -> LedgerRow:
    """The ledger's row for a call; the label is this plan's, even if another suite made the artifact."""
    known = {key: value for key, value in facts.items() if key in LedgerRow.model_fields and key != "label"}
    systems = tuple(sorted(set(planned.systems)))
    return LedgerRow(
        key=planned.key, label=planned.label, role=planned.work.role or "", reused=reused, systems=systems, **known
    )


@dataclass(frozen=True)
class Rates:
    """Units a second that a store has seen, by speed class, by kind, and of artifacts that know no class by stage."""

    classes: Mapping[Speed, float]
    kinds: Mapping[str, float]
    stages: Mapping[tuple[str, str], float]

    def of(self, call: StageCall, calls: Mapping[str, PlannedCall]) -> Rate:
        """The rate of a planned call: of its class if that was timed.

        Else a guess: its kind of work with other models or on another machine, what older artifacts say of the stage
        on this device, or the first guess of the stage.
        """
        speed = speed_of(call, calls)
        if speed in self.classes:
            return Rate(self.classes[speed], True)
        older = None if asks_endpoint(call) else self.stages.get((call.stage, call.device))
        return Rate(self.kinds.get(speed.kind) or older or STAGES[call.stage].rate, False)


def rates(store: FolderStore) -> Rates:
    """Units a second of what this store has timed, all calls of a class taken together.

    What a child needs to begin is taken off, and what a training looked at dev, so that a small sample speaks for a
    large call; never more than half of the rest, as a call that is over at once would seem infinitely fast.
    """
    counted: dict[Any, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for facts in _timed(store):
        worked = max(facts["seconds"] - facts.get("notes", {}).get(DEV_EVALUATION_SECONDS, 0.0), 0.0)
        seconds = max(worked - STARTUP_SECONDS, worked / 2)
        speed = _speed_in(facts)
        for name in (speed, speed.kind) if speed else ((facts["stage"], str(facts.get("device"))),):
            counted[name][0] += facts["units"]
            counted[name][1] += seconds
    found = {name: units / seconds for name, (units, seconds) in counted.items()}
    return Rates(
        {name: rate for name, rate in found.items() if isinstance(name, Speed)},
        {name: rate for name, rate in found.items() if isinstance(name, str)},
        {name: rate for name, rate in found.items() if isinstance(name, tuple) and not isinstance(name, Speed)},
    )


def measured(store: FolderStore) -> set[Speed]:
    """The speed classes that this store has timed."""
    return {speed for facts in _timed(store) if (speed := _speed_in(facts)) is not None}


def _timed(store: FolderStore) -> Iterator[dict[str, Any]]:
    """Facts of calls that say how fast a stage is; answers that came from the cache do not."""
    for facts in store.all_facts():
        if facts.get("units") and facts.get("seconds", 0) > 0 and facts.get("stage") in STAGES:
            speed = _speed_in(facts)
            if speed is None or "; endpoint" not in speed.kind or facts.get("llm_calls"):
                yield facts


def _speed_in(facts: Mapping[str, Any]) -> Speed | None:
    """The speed class that an artifact was made in; None if it is older than these."""
    return Speed(*facts["speed"]) if "speed" in facts else None


def estimate(plan: Plan, store: FolderStore) -> dict[str, Estimate]:
    """What each call of the plan will take; of a training that stops early it is too much.

    A look at dev does what the call does that uses the tuned model, and is taken to be as fast.
    """
    known = rates(store)
    uses = {
        key: one for one in plan.calls.values() if one.call.stage in LIKE_A_LOOK for key in one.call.inputs.values()
    }
    found = {}
    for key, planned in plan.calls.items():
        if store.has(key):
            found[key] = Estimate(True, 0.0, 0, 0)
        else:
            work = planned.work
            seconds = STARTUP_SECONDS + work.units / known.of(planned.call, plan.calls).units
            if work.evaluations and key in uses:
                seconds += work.evaluations / known.of(uses[key].call, plan.calls).units
            found[key] = Estimate(False, seconds, work.llm_calls, work.tokens, work.dollars)
    return found


def build_cost(plan: Plan, system: SystemPlan, rows: Mapping[str, LedgerRow], prices: Prices) -> tuple[float, float]:
    """Seconds and dollars spent once until a system can serve (data, training, index); what is shared counts whole."""
    made = [rows[key] for key in plan.upstream(system.serving.keys) if key in rows]
    return sum(row.seconds for row in made), sum(dollars(row, prices) for row in made)


def unknown_costs(plan: Plan, system: SystemPlan, rows: Mapping[str, LedgerRow]) -> list[str]:
    """Calls that a system needed and whose cost is not known: made earlier, and no longer in the store."""
    return [plan.calls[key].label for key in plan.upstream(system.serving.keys) if key not in rows]


def dollars(row: LedgerRow, prices: Prices) -> float:
    """Price of the machine for the time of a call, and what an endpoint was paid."""
    return row.seconds / 3600 * hourly(row.device, prices) + row.llm_dollars


def hourly(device: str, prices: Prices) -> float:
    """Dollars for an hour of the machine that calls of a device class keep busy."""
    return prices.cpu_hour if device in ("cpu", "any") else prices.gpu_hour
