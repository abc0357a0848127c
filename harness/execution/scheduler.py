"""The scheduler: make what a plan needs and the store lacks, with as many calls in flight as the executor takes.

A call starts once all its inputs are there. A call that fails takes along only what needs it. Whatever was committed
stays, so a run that was killed continues where it stopped. Rows and failures are in the order of the plan, whatever
the order in which results arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import StageFailed
from harness.execution.environments import environment_now
from harness.execution.executors import Cost, Executor, InlineExecutor, Request
from harness.llm.services import Services
from harness.planning.graph import Plan, PlannedCall
from harness.planning.ledger import facts_of, row_of
from harness.stages import load_stage
from harness.store import Store
from harness.values.findings import LedgerRow
from harness.values.records import Progress

Display = Callable[[str], AbstractContextManager[Progress]]
"""Opens the display of one long step by its label; gives the function that reports the progress of the step."""
Making = Generator[Future[Cost], None, LedgerRow | None]
"""A call being made: yields the future of its cost, and returns its row, or None if another process holds its key."""


def no_display(label: str) -> AbstractContextManager[Progress]:
    """Show nothing."""
    return nullcontext(lambda done, total: None)


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
) -> Execution:  # fmt: skip
    """Make every artifact that the plan's systems need and the store lacks.

    At most `heavy.capacity` calls are in flight. `light` runs those that take no time, by default in this process.
    `watch` is told what is done so far, whenever a call started or ended.
    """
    if services is not None and not services.replay:
        _discard_partial_answers(plan, store)
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
        self.plan, self.store, self.heavy, self.light = plan, store, heavy, light
        self.display, self.services = display, services
        self.done = Execution()
        self.waiting: list[str] = []
        self.in_flight: dict[str, tuple[Making, Future[Cost]]] = {}

    def run(self, watch: Callable[[Execution], None]) -> Execution:
        needed = _needed(self.plan, self.store)
        for key, planned in self.plan.calls.items():
            if self.store.has(key):
                self.done.rows[key] = row_of(planned, self.store.facts(key), reused=True)
            elif key in needed:
                self.waiting.append(key)
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
            for making, _ in self.in_flight.values():
                making.close()
        order = self.plan.calls
        rows, failed = self.done.rows, self.done.failed
        return Execution(
            {key: rows[key] for key in order if key in rows}, {key: failed[key] for key in order if key in failed}
        )

    def _start_next(self) -> bool:
        """Start the first call that can start. False if none can before one in flight has ended."""
        if len(self.in_flight) >= self.heavy.capacity:
            return False
        unfinished = {*self.waiting, *self.in_flight}
        for key in list(self.waiting):
            inputs = self.plan.calls[key].call.inputs.values()
            if not unfinished.isdisjoint(inputs):
                continue
            broken = self.done.why_failed([*inputs])
            if broken:
                self.waiting.remove(key)
                self.done.failed[key] = broken
                return True
            if self._start(key):
                return True
        return False

    def _start(self, key: str) -> bool:
        """Start a call. False if another process is making it while there is other work here to wait for.

        Two processes that both hold one key and wait for the other's would wait for ever.
        """
        planned = self.plan.calls[key]
        executor = self.heavy if load_stage(planned.call.stage).heavy else self.light
        making = _making(
            planned, self.store, executor, self.display, self.services, self.plan, blocking=not self.in_flight
        )
        try:
            future = next(making)
        except StopIteration as ended:
            if ended.value is None:
                return False
            self.done.rows[key] = ended.value
        except StageFailed as error:
            self.done.failed[key] = f"{planned.label}: {error}"
        else:
            self.in_flight[key] = making, future
        self.waiting.remove(key)
        return True

    def _finish_some(self) -> None:
        """Wait until a call in flight has ended; commit what ended."""
        ended = wait([future for _, future in self.in_flight.values()], return_when=FIRST_COMPLETED).done
        for key, (making, future) in list(self.in_flight.items()):
            if future in ended:
                try:
                    self.done.rows[key] = _row(making)
                except StageFailed as error:
                    self.done.failed[key] = f"{self.plan.calls[key].label}: {error}"
                del self.in_flight[key]


def _making(
    planned: PlannedCall, store: Store, executor: Executor, display: Display, services: Services | None,
    plan: Plan | None, blocking: bool,
) -> Making:  # fmt: skip
    """Make one artifact whose inputs are in the store, unless another process has made it meanwhile.

    The calls of `plan` say what the time of this one tells of others, its suite on which device this one runs.
    """
    key = planned.key
    environment = environment_now(plan.suite.device if plan else None)
    with display(planned.label) as progress, store.claim(key) if blocking else store.try_claim(key) as folder:
        if folder is None:
            return None
        if store.has(key):
            # Another process made it while this one waited for the lock.
            return row_of(planned, store.facts(key), reused=True)
        request = request_for(planned, store, folder)._replace(services=services, environment=environment)
        future = executor.submit(request, progress)
        yield future
        cost = future.result()
        calls: Mapping[str, PlannedCall] = plan.calls if plan else {}
        facts = facts_of(planned, cost.seconds, cost.peak_memory_mb, cost.usage, folder, calls)
        store.commit(key, folder, facts)
    return row_of(planned, facts, reused=False)


def _row(making: Making) -> LedgerRow:
    """The row of a call whose future has ended. Raises StageFailed if the call failed."""
    try:
        next(making)
    except StopIteration as ended:
        row: LedgerRow = ended.value
        return row
    raise AssertionError("a call has one future")


def make(planned: PlannedCall, store: Store, executor: Executor, services: Services | None = None) -> LedgerRow:
    """Make one artifact that belongs to no plan. Raises StageFailed if that fails."""
    making = _making(planned, store, executor, no_display, services, None, blocking=True)
    try:
        future = next(making)
    except StopIteration as ended:
        row: LedgerRow = ended.value
        return row
    try:
        wait([future])
        return _row(making)
    finally:
        if not future.done():
            executor.cancel()
        making.close()


def _discard_partial_answers(plan: Plan, store: Store) -> None:
    """Discard artifacts of answers some of which failed, so that they are made again.

    Answers that did not fail are in the cache of the endpoint: only the failed ones are paid for. Other stages are
    left alone: what was trained on an artifact would no longer be what its key says.
    """
    for key, planned in plan.calls.items():
        if planned.call.stage == "answer" and store.has(key) and store.facts(key).get("failed"):
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


def request_for(planned: PlannedCall, store: Store, out: Path) -> Request:
    """The request that makes a call's artifact in `out`."""
    stage = load_stage(planned.call.stage)
    inputs = {}
    for name, key in planned.call.inputs.items():
        folder = store.get(key)
        if folder is None:
            raise StageFailed(f"its input {name} is not in the store any more; run again")
        inputs[name] = folder
    return Request(stage.function_path, stage.spec_path, planned.call.spec, inputs, out, planned.call.seed)
