"""One call being made: claimed, run by an executor, and committed with its cost."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from harness.execution.environments import environment_now
from harness.execution.executors import Executor, Request, request_for
from harness.execution.remote import RemoteExecutor
from harness.llm.services import Services
from harness.planning.graph import Plan, PlannedCall
from harness.planning.ledger import facts_of, row_of
from harness.planning.resources import Needs
from harness.planning.speed import asks_endpoint
from harness.store import Store
from harness.values.findings import LedgerRow
from harness.values.records import Progress

Making = Generator[Future[Any], None, LedgerRow | None]
"""A call being made: yields the future of its cost, and returns its row, or None if another process holds its key."""


class Display(Protocol):
    """Shows what is going on: the progress of each long step, and how long the rest of a plan takes."""

    def __call__(self, label: str) -> AbstractContextManager[Progress]:
        """Open the display of one long step by its label; give the function that reports the progress of the step."""

    @property
    def shows_rest(self) -> bool:
        """Whether `rest` shows the time; if not, nobody has to work it out."""

    def rest(self, seconds: float | None, done: int, total: int) -> None:
        """Show that `done` of `total` calls are done, and the others in so many seconds. All done ends it."""


class _NoDisplay:
    """Shows nothing."""

    shows_rest = False

    def __call__(self, label: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda done, total: None)

    def rest(self, seconds: float | None, done: int, total: int) -> None:
        """Show nothing."""


no_display = _NoDisplay()


class Maker:
    """Makes calls of one plan, or of none. `shares_done` says how much of a call in flight is done, by its key."""

    def __init__(
        self, store: Store, display: Display = no_display, services: Services | None = None, plan: Plan | None = None
    ) -> None:
        """The calls of `plan` say what the time of one tells of others, its suite on which device they run."""
        self.store, self.display, self.services, self.plan = store, display, services, plan
        self.shares_done: dict[str, float] = {}

    def make(self, planned: PlannedCall, executor: Executor, blocking: bool, beside: Needs | None = None) -> Making:
        """Make one artifact whose inputs are in the store, unless another process has made it meanwhile.

        Where another process holds its key, wait for that one if `blocking`. A call with others `beside` it has its
        share of the machine, by its needs.
        """
        if isinstance(executor, RemoteExecutor) and executor.takes(planned):
            row = yield from self._send(planned, executor, beside or Needs())
            return row
        key, store = planned.key, self.store
        claim = store.claim(key) if blocking else store.try_claim(key)
        with self.display(planned.label) as progress, claim as folder:
            if folder is None:
                return None
            if store.has(key):
                # Another process made it while this one waited for the lock.
                return row_of(planned, store.facts(key), reused=True)

            future = executor.submit(self._request(planned, folder, beside), self._noted(key, progress))
            yield future
            cost = future.result()
            usage, peak = cost.usage, cost.peak_memory_mb
            facts = facts_of(planned, cost.seconds, peak, usage, folder, self._calls, cost.share)
            store.commit(key, folder, facts)
        return row_of(planned, facts, reused=False)

    def _send(self, planned: PlannedCall, executor: RemoteExecutor, needs: Needs) -> Making:
        """Let a worker make and commit a call. Another process that does so too costs a worker that waits, no more."""
        with self.display(planned.label) as progress:
            noted = self._noted(planned.key, progress)
            future = executor.send(planned, self._calls, self.store, needs, noted)
            yield future
            result = future.result()
        return row_of(planned, self.store.facts(planned.key), reused=result.reused)

    @property
    def _calls(self) -> Mapping[str, PlannedCall]:
        return self.plan.calls if self.plan else {}

    def _noted(self, key: str, progress: Progress) -> Progress:
        """Return what tells of progress, and notes it."""

        def noted(done: int, total: int) -> None:
            self.shares_done[key] = done / total if total else 0.0
            progress(done, total)

        return noted

    def _request(self, planned: PlannedCall, folder: Path, beside: Needs | None) -> Request:
        return request_for(planned, self.store, folder)._replace(
            services=self.services if asks_endpoint(planned.call) else None,
            environment=environment_now(self.plan.suite.device if self.plan else None),
            beside=beside is not None,
            gpu=beside is not None and beside.gpu,
            memory_mb=beside.memory_mb if beside is not None else None,
        )


def ended(making: Making) -> LedgerRow:
    """Return the row of a call whose future has ended. Raises StageFailed if the call failed."""
    try:
        next(making)
    except StopIteration as stop:
        row: LedgerRow = stop.value
        return row
    raise AssertionError("a call has one future")


def make(planned: PlannedCall, store: Store, executor: Executor) -> LedgerRow:
    """Make one artifact that belongs to no plan. Raises StageFailed if that fails."""
    making = Maker(store).make(planned, executor, blocking=True)
    try:
        future = next(making)
    except StopIteration as stop:
        row: LedgerRow = stop.value
        return row
    try:
        wait([future])
        return ended(making)
    finally:
        if not future.done():
            executor.cancel()
        making.close()
