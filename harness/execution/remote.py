"""Executors whose calls run on other machines: what Ray and Slurm have in common.

A call is sent as its key, its settings and the place of the store, never as data. The worker opens the store, makes the
artifact and commits it (see `worker`). Calls that ask an endpoint stay on this machine: they only wait, the keys of the
endpoint are here, and so is the cache of its answers, a file that several machines cannot share.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from harness import provenance
from harness.errors import ConfigError, Problem, StageFailed
from harness.execution import worker
from harness.execution.child_processes import ChildExecutor
from harness.execution.environments import Environment, environment_now, for_another_machine
from harness.execution.executors import Cost, Request
from harness.execution.notes import Notes
from harness.execution.worker import Place, Result, Sent
from harness.planning.graph import PlannedCall
from harness.planning.resources import Needs, Resources
from harness.planning.speed import asks_endpoint
from harness.provenance import Machine
from harness.remote.mirror import shown
from harness.remote.objects import is_address
from harness.store import Store
from harness.suite.spec import Suite
from harness.values.records import Progress

ATTEMPTS = 3
"""How often a call is sent whose worker dies."""
VISIBLE_SECONDS = 60.0
"""How long a network file system may take to show here what a worker has committed."""


class WorkerLost(Exception):
    """A worker died, or its job was taken away: the call may be sent again."""


class Task(NamedTuple):
    """Something for a worker: a function, its argument, where it works, what it needs. Equal names, equal work.

    Once `cancelled` is set, nobody waits for it.
    """

    name: str
    function: Callable[[Any, Place, int], Result]
    argument: Any
    place: Place
    needs: Needs
    cancelled: threading.Event


class RemoteExecutor:
    """Sends calls to the workers of a cluster. A subclass says how to reach it and how to run a task there."""

    kind: ClassVar[str]
    polls: ClassVar[float] = 0.5
    """Seconds between two looks at a task."""
    one_call: ClassVar[bool] = False
    """Whether the process of a worker ends with its call."""

    def __init__(self, jobs: int | None = None) -> None:
        """`jobs` calls are in flight at most; None: as many as the cluster has room for."""
        self.jobs = jobs
        self._place, self._notes = "", Notes("")
        self._flying: dict[Future[Any], threading.Event] = {}
        self._lock = threading.Lock()

    @cached_property
    def _here(self) -> ChildExecutor:
        return ChildExecutor()

    # What a subclass has to say

    @property
    def cpus(self) -> int:
        """The cores that a call asks for."""
        raise NotImplementedError

    def where(self, suite: Suite) -> str:
        """Return what is reached, in words."""
        raise NotImplementedError

    def reach(self, suite: Suite) -> bool:
        """Reach the cluster by the settings of a suite; return whether it has GPUs. Raises ConfigError if it cannot."""
        raise NotImplementedError

    def capacity(self) -> Resources:
        """Return what the cluster has for the calls of this run."""
        raise NotImplementedError

    def run_task(self, task: Task, attempt: int, watch: Callable[[], None]) -> Result:
        """Run a task to its end, and call `watch` now and then. Raises WorkerLost, or StageFailed if cancelled."""
        raise NotImplementedError

    # What executors of this package do

    def prepare(self, root: Path) -> None:
        """Work with the store of a root: a folder, or the address that it mirrors."""
        self._place = shown(root.absolute())
        self._notes = Notes(self._place)
        if not is_address(self._place):
            self._notes.folder.mkdir(parents=True, exist_ok=True)

    def connect(self, suite: Suite, root: Path) -> Machine:
        """Reach the cluster, and return the machine that a worker runs on. Workers have to reach the store of `root`.

        Raises ConfigError if the cluster cannot be reached, or if its workers do not see what this machine writes.
        """
        self.prepare(root)
        gpu = self.reach(suite) and suite.device != "cpu"
        note = f"seen-{uuid.uuid4().hex}"
        self._notes.write(note, provenance.now().encode())
        future = self._start(
            self._task(worker.meet, note, environment_now(suite.device), Needs(gpu=gpu)), _ignore, lambda result: result
        )
        try:
            result: Result = future.result()
        except StageFailed as error:
            raise ConfigError(Problem(f"--executor {self.kind}", str(error))) from None
        finally:
            if not future.done():
                self.cancel()
            self._notes.delete(note)
        assert result.cost is not None
        return Machine(**result.cost.usage.notes)

    def resources(self) -> Resources:
        offered = self.capacity()
        return offered if self.jobs is None else offered._replace(jobs=min(self.jobs, offered.jobs))

    def takes(self, planned: PlannedCall) -> bool:
        """Whether a call is sent to a worker, which commits it."""
        return not asks_endpoint(planned.call)

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        """Run a request on a worker; one that may ask an endpoint in a child of this process."""
        if request.services is not None:
            return self._here.submit(request, progress)
        assert {*request.inputs} == {*(request.keys or {})}, "a worker reads its inputs from the store"
        environment = request.environment or environment_now()
        # Variables travel once, and without keys; folders are those of the worker.
        sent = request._replace(inputs={}, out=Path(), environment=None)
        # A probe too is run on what the plan is for.
        needs = Needs(gpu=provenance.stage_device() != "cpu")

        def cost_of(result: Result) -> Cost:
            assert result.cost is not None
            for name, content in (result.files or {}).items():
                path = request.out / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return result.cost

        return self._start(self._task(worker.perform_request, sent, environment, needs), progress, cost_of)

    def send(
        self, planned: PlannedCall, calls: Mapping[str, PlannedCall], store: Store, needs: Needs, progress: Progress
    ) -> Future[Result]:
        """Let a worker make and commit a call; `calls` are those of its plan, `store` is the one worked with."""
        makers = {key: calls[key] for key in planned.call.inputs.values() if key in calls}
        sent = Sent(planned, makers, uuid.uuid4().hex)
        environment = environment_now("cpu" if planned.call.device == "cpu" else None)

        def visible(result: Result) -> Result:
            deadline = time.monotonic() + VISIBLE_SECONDS
            while not store.has(planned.key):
                if time.monotonic() > deadline:
                    what = f"{result.host} has committed it, and it is not in the store here"
                    raise StageFailed(f"{what}; {worker.SHARE}")
                time.sleep(self.polls)
            return result

        return self._start(self._task(worker.make_call, sent, environment, needs, planned.key), progress, visible)

    def cancel(self) -> None:
        with self._lock:
            flying = dict(self._flying)
        for cancelled in flying.values():
            cancelled.set()
        if "_here" in self.__dict__:
            self._here.cancel()
        wait(flying)

    # How a task runs

    def _task(
        self, function: Callable[[Any, Place, int], Result], argument: Any, environment: Environment, needs: Needs,
        name: str | None = None,
    ) -> Task:  # fmt: skip
        name = name or uuid.uuid4().hex
        variables = for_another_machine(environment)
        place = Place(variables, self.cpus, Path.cwd(), self._place, f"progress-{name}", self.one_call)
        return Task(name, function, argument, place, needs, threading.Event())

    def _start(self, task: Task, progress: Progress, answer: Callable[[Result], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            self._flying[future] = task.cancelled

        def work() -> None:
            try:
                result = self._attempts(task, progress)
                if result.failure:
                    raise StageFailed(result.failure)
                future.set_result(answer(result))
            except BaseException as error:
                # Whatever it is: it is raised where the result is waited for.
                future.set_exception(error)
            finally:
                with self._lock:
                    self._flying.pop(future, None)

        threading.Thread(target=work, daemon=True).start()
        return future

    def _attempts(self, task: Task, progress: Progress) -> Result:
        """Run a task, again if its worker dies. Raises StageFailed if all attempts are used up."""
        looked = time.monotonic()

        def watch() -> None:
            nonlocal looked
            if time.monotonic() - looked < self._notes.every:
                return
            looked = time.monotonic()
            if (now := worker.progress_in(self._notes, task.place.progress)) is not None:
                progress(*now)

        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return self.run_task(task, attempt, watch)
                except WorkerLost as error:
                    lost = error
            raise StageFailed(f"{lost}; it was sent {ATTEMPTS} times")
        finally:
            with suppress(OSError, ConfigError):
                self._notes.delete(task.place.progress)


def _ignore(done: int, total: int) -> None:
    """Nobody is told."""
