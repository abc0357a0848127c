"""Carrying out a plan: what is in the store is taken from it, the rest is made in the order of the plan.

A call that fails takes along only what needs it. Whatever was committed stays, so a run that was killed goes on where
it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import StageFailed
from harness.execution.environments import environment_now
from harness.execution.executors import Executor, Request
from harness.llm.services import Services
from harness.planning.graph import Plan, PlannedCall
from harness.planning.ledger import facts_of, row_of
from harness.stages import load_stage
from harness.store import FolderStore
from harness.values.findings import LedgerRow
from harness.values.records import Progress

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Opened once for a long step with its label; gives the function that is told of its progress."""


def no_watch(label: str) -> AbstractContextManager[Progress]:
    """A watch that shows nothing."""
    return nullcontext(lambda done, total: None)


@dataclass
class Execution:
    """What came of a plan: ledger rows by key, and the reason of each call that failed."""

    rows: dict[str, LedgerRow] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def made(self) -> int:
        return sum(not row.reused for row in self.rows.values())


def carry_out(
    plan: Plan, store: FolderStore, heavy: Executor, light: Executor, watch: Watch = no_watch,
    services: Services | None = None,
) -> Execution:  # fmt: skip
    """Make every artifact that the plan's systems need and the store lacks."""
    done = Execution()
    if services is not None and not services.replay:
        _ask_again(plan, store)
    needed = _needed(plan, store)
    for key, planned in plan.calls.items():
        if store.has(key):
            done.rows[key] = row_of(planned, store.facts(key), reused=True)
        elif key in needed:
            broken = next((done.failed[item] for item in planned.call.inputs.values() if item in done.failed), None)
            if broken is not None:
                done.failed[key] = broken
                continue
            try:
                executor = heavy if load_stage(planned.call.stage).heavy else light
                with watch(planned.label) as progress:
                    done.rows[key] = make(planned, store, executor, progress, services, plan)
            except StageFailed as error:
                done.failed[key] = f"{planned.label}: {error}"
    return done


def _ask_again(plan: Plan, store: FolderStore) -> None:
    """Drop answers some of which failed: those that did not are known, so only the failed ones are paid for again.

    Nothing else is: what was trained on an artifact would no longer be what its key says.
    """
    for key, planned in plan.calls.items():
        if planned.call.stage == "answer" and store.has(key) and store.facts(key).get("failed"):
            store.discard(key)


def _needed(plan: Plan, store: FolderStore) -> set[str]:
    """Calls that are not in the store and that something not in the store, a goal, or serving depends on.

    What will be read, goals and inputs of calls that are made, has to be intact to the last byte; of the rest it is
    enough that it is there.
    """
    needed: set[str] = set()
    read = [key for system in plan.systems for key in system.goals] + ([plan.judge] if plan.judge else [])
    served = [key for system in plan.systems for key in system.serving.keys]
    waiting = [*((key, True) for key in read), *((key, False) for key in served)]
    while waiting:
        key, is_read = waiting.pop()
        there = store.get(key) is not None if is_read else store.has(key)
        if key in plan.calls and key not in needed and not there:
            needed.add(key)
            waiting += [(above, True) for above in plan.calls[key].call.inputs.values()]
    return needed


def make(
    planned: PlannedCall, store: FolderStore, executor: Executor, progress: Progress, services: Services | None = None,
    plan: Plan | None = None,
) -> LedgerRow:  # fmt: skip
    """Make one artifact whose inputs are in the store, unless another process has made it meanwhile.

    The calls of `plan` say what the time of this one tells of others, its suite on which device this one runs.
    """
    calls: Mapping[str, PlannedCall] = plan.calls if plan else {}
    environment = environment_now(plan.suite.device if plan else None)
    with store.claim(planned.key) as folder:
        if store.has(planned.key):
            # Another process made it while this one waited for the lock.
            return row_of(planned, store.facts(planned.key), reused=True)
        request = request_for(planned, store, folder)._replace(services=services, environment=environment)
        cost = executor.run(request, progress)
        facts = facts_of(planned, cost.seconds, cost.peak_memory_mb, cost.usage, folder, calls)
        store.commit(planned.key, folder, facts)
    return row_of(planned, facts, reused=False)


def request_for(planned: PlannedCall, store: FolderStore, out: Path) -> Request:
    """The request that makes a call's artifact in `out`."""
    stage = load_stage(planned.call.stage)
    inputs = {}
    for name, key in planned.call.inputs.items():
        found = store.get(key)
        if found is None:
            raise StageFailed(f"its input {name} is not in the store any more; run again")
        inputs[name] = found
    return Request(stage.function_path, stage.spec_path, planned.call.spec, inputs, out, planned.call.seed)
