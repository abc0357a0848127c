"""The scheduler: make what a plan needs and the store lacks, with as many calls in flight as the executor has room for.

A call starts once all its inputs are there. Which of the ready calls is first, and what fits beside what, is decided
by `planning.schedule`. A call that fails takes along only what needs it. Whatever was committed stays, so a run that
was killed continues where it stopped. Rows and failures are in the order of the plan, whatever the order in which
results arrive.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.errors import OutOfMemory, StageFailed
from harness.execution.executors import Executor, InlineExecutor
from harness.execution.making import Display, Maker, Making, ended, no_display
from harness.execution.remote import RemoteExecutor
from harness.llm.services import Services
from harness.planning.graph import Plan
from harness.planning.ledger import row_of
from harness.planning.outlook import Outlook
from harness.planning.resources import Needs
from harness.planning.schedule import in_order, makespan, simulate, startable
from harness.stages import load_stage
from harness.store import Store
from harness.values.findings import LedgerRow

REFRESH_SECONDS = 5.0
"""How often the time left and the memory that is free are looked at while nothing ends."""
TELLING = 0.1
"""From this share of its work on, the progress of a call says how long it takes."""
log = logging.getLogger(__name__)


class InFlight(NamedTuple):
    """A call in flight: its making, the future of its cost, what it needs, and when it started."""

    making: Making
    future: Future[Any]
    needs: Needs
    started: float


@dataclass
class Execution:
    """What came of a plan: ledger rows by key, and the reason of each call that failed."""

    rows: dict[str, LedgerRow] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def made(self) -> int:
        return sum(not row.reused for row in self.rows.values())

    def why_failed(self, goals: list[str]) -> str:
        """The reason of the first goal that failed; empty if none did."""
        return next((self.failed[goal] for goal in goals if goal in self.failed), "")


def carry_out(
    plan: Plan, store: Store, heavy: Executor, light: Executor | None = None, display: Display = no_display,
    services: Services | None = None, watch: Callable[[Execution], None] = lambda execution: None,
    kept: Collection[str] = (),
) -> Execution:  # fmt: skip
    """Make every artifact that the plan's systems need and the store lacks.

    Calls run side by side within the resources of `heavy`. `light` runs those that take no time, by default in this
    process. `watch` is told what is done so far, whenever a call started or ended. Artifacts that are `kept`, as others
    work with them, are not made again to complete them.
    """
    if services is not None and not services.replay:
        _discard_partial_answers(plan, store, kept)
    return _Scheduler(plan, store, heavy, light or InlineExecutor(), display, services).run(watch)


class _Scheduler:
    """One execution of a plan: calls wait, are in flight, and end as a row or as a failure."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        heavy: Executor,
        light: Executor,
        display: Display,
        services: Services | None,
    ) -> None:
        self.plan, self.store, self.heavy, self.light, self.display = plan, store, heavy, light, display
        self.maker = Maker(store, display, services, plan)
        self.remote = isinstance(heavy, RemoteExecutor)
        self.outlook = Outlook(plan, store, one_machine=not self.remote)
        self.done = Execution()
        self.waiting: list[str] = []
        self.in_flight: dict[str, InFlight] = {}
        self.total = 0

    def run(self, watch: Callable[[Execution], None]) -> Execution:
        needed = _needed(self.plan, self.store)
        for key, planned in self.plan.calls.items():
            if self.store.has(key):
                self.done.rows[key] = row_of(planned, self.store.facts(key), reused=True)
            elif key in needed:
                self.waiting.append(key)
        self.total = len(self.waiting)
        try:
            while self.waiting or self.in_flight:
                if not self._start_next():
                    self._finish_some()
                watch(self.done)
        finally:
            # Empty unless something was raised.
            if self.in_flight:
                self.heavy.cancel()
                self.light.cancel()
            for call in self.in_flight.values():
                call.making.close()
            self.display.rest(0.0, self.total, self.total)
        order = self.plan.calls
        rows, failed = self.done.rows, self.done.failed
        return Execution(
            {key: rows[key] for key in order if key in rows}, {key: failed[key] for key in order if key in failed}
        )

    def _start_next(self) -> bool:
        """Start the first call that can start. False if none can before one in flight has ended."""
        unfinished = {*self.waiting, *self.in_flight}
        ready = []
        for key in self.waiting:
            inputs = self.plan.calls[key].call.inputs.values()
            if unfinished.isdisjoint(inputs):
                if broken := self.done.why_failed([*inputs]):
                    self.waiting.remove(key)
                    self.done.failed[key] = broken
                    return True
                ready.append(key)
        resources = self.heavy.resources()
        if len(self.in_flight) >= resources.jobs:
            return False
        several = resources.jobs > 1 or self.remote
        if several:
            order = in_order(self.outlook.tasks(self.waiting, resources.jobs), resources.jobs)
            ready.sort(key={key: place for place, key in enumerate(order)}.__getitem__)
        needs_of = self.outlook.needs if several else lambda key: Needs()
        running = [call.needs for call in self.in_flight.values()]
        return any(self._start(key, several) for key in startable(ready, needs_of, running, resources))

    def _start(self, key: str, several: bool) -> bool:
        """Start a call; with `several` at a time it has its share of the machine.

        False if another process is making it while there is other work here to wait for: two processes that both hold
        one key and wait for the other's would wait for ever.
        """
        planned = self.plan.calls[key]
        needs = self.outlook.needs(key) if several else Needs()
        heavy = load_stage(planned.call.stage).heavy
        executor, beside = (self.heavy, needs if several else None) if heavy else (self.light, None)
        making = self.maker.make(planned, executor, not self.in_flight, beside)
        try:
            future = next(making)
        except StopIteration as stop:
            if stop.value is None:
                return False
            self._keep(key, stop.value)
        except StageFailed as error:
            self.done.failed[key] = f"{planned.label}: {error}"
        else:
            self.in_flight[key] = InFlight(making, future, needs, time.monotonic())
        self.waiting.remove(key)
        return True

    def _finish_some(self) -> None:
        """Wait until a call in flight has ended, and commit it; or for some seconds, as there may be room by then."""
        self._show_rest()
        futures = [call.future for call in self.in_flight.values()]
        over = wait(futures, REFRESH_SECONDS, FIRST_COMPLETED).done
        for key, call in list(self.in_flight.items()):
            if call.future in over:
                try:
                    self._keep(key, ended(call.making))
                except OutOfMemory as error:
                    self._was_short(key, call, error)
                except StageFailed as error:
                    self.done.failed[key] = f"{self.plan.calls[key].label}: {error}"
                del self.in_flight[key]

    def _was_short(self, key: str, call: InFlight, error: OutOfMemory) -> None:
        """Let a call that found too little memory beside others wait until it can run alone, once."""
        if self.heavy.resources().jobs > 1 and call.needs.memory_mb is not None:
            log.warning("%s: out of memory beside other calls; it will run again alone", self.plan.calls[key].label)
            self.outlook.was_short(key)
            self.waiting.append(key)
        else:
            self.done.failed[key] = f"{self.plan.calls[key].label}: {error}"

    def _keep(self, key: str, row: LedgerRow) -> None:
        self.done.rows[key] = row
        self.outlook.learn(self.store.facts(key))

    def _show_rest(self) -> None:
        """Show how many calls are done, and how long the rest takes: what is in flight, and then what waits."""
        if not self.display.shows_rest:
            self.display.rest(None, self.total - len(self.waiting) - len(self.in_flight), self.total)
            return
        resources = self.heavy.resources()
        tasks = self.outlook.tasks([*self.waiting, *self.in_flight], resources.jobs)
        for key in self.in_flight:
            tasks[key] = tasks[key]._replace(seconds=self._seconds_left(key, tasks[key].seconds))
        seconds = makespan(simulate(tasks, resources, [*self.in_flight]))
        self.display.rest(seconds, self.total - len(tasks), self.total)

    def _seconds_left(self, key: str, estimate: float) -> float:
        """Seconds until a call in flight ends: by its progress where the estimate is a guess, and by that otherwise."""
        elapsed = time.monotonic() - self.in_flight[key].started
        share = self.maker.shares_done.get(key, 0.0)
        if share >= TELLING and not self.outlook.estimates[key].measured:
            return elapsed * (1 - share) / share
        return max(0.0, estimate - elapsed)


def _discard_partial_answers(plan: Plan, store: Store, kept: Collection[str]) -> None:
    """Discard artifacts of answers some of which failed, and of external systems, so that they are made again.

    Answers that did not fail are in the cache of the endpoint: only the failed ones are paid for. Other stages are
    left alone: what was trained on an artifact would no longer be what its key says.
    """
    for key, planned in plan.calls.items():
        asked = planned.call.stage in ("answer", "external") and key not in kept
        if asked and store.has(key) and store.facts(key).get("failed"):
            store.discard(key)


def _needed(plan: Plan, store: Store) -> set[str]:
    """Calls that are not in the store and that something not in the store, a goal, or serving depends on.

    What will be read, goals and inputs of calls that are made, has to be intact to the last byte; of the rest it is
    enough that it is there.
    """
    needed: set[str] = set()
    read = [key for system in plan.systems for key in [*system.goals, *system.compared]]
    read += [plan.judge] if plan.judge else []
    served = [key for system in plan.systems for key in system.serving.keys]
    waiting = [*((key, True) for key in read), *((key, False) for key in served)]
    while waiting:
        key, is_read = waiting.pop()
        stored = store.get(key) is not None if is_read else store.has(key)
        if key in plan.calls and key not in needed and not stored:
            needed.add(key)
            waiting += [(above, True) for above in plan.calls[key].call.inputs.values()]
    return needed
