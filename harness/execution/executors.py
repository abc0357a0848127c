"""Executors: what runs a stage call, and the request and the cost that travel to it and back.

An executor takes requests and answers each with a future. `concurrent.futures` carries the result, the failure and the
waiting, and one `wait` serves several executors at once, so this module adds no queue of its own. A request holds all
that a stage may read, environment and device included: an executor may ship it to another process or another machine.

To add an executor, write a module with a class that follows `Executor` and name it in `EXECUTORS`.
"""

from __future__ import annotations

import importlib
import resource
import sys
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from harness.errors import ConfigError, HarnessError, Problem, StageFailed, nearest
from harness.execution.environments import Environment
from harness.execution.pauses import Pauses
from harness.llm.services import Services, using
from harness.planning.graph import PlannedCall
from harness.planning.resources import Resources
from harness.stages import load_stage
from harness.store import Store
from harness.values.records import Progress, Usage

EXECUTORS = {
    "child": "harness.execution.child_processes:ChildExecutor",
    "inline": "harness.execution.executors:InlineExecutor",
    "ray": "harness.execution.ray_executor:RayExecutor",
    "slurm": "harness.execution.slurm_executor:SlurmExecutor",
}
"""Executors by name, written ``module:class``; a class is imported when it is asked for."""
DEFAULT_EXECUTOR = "child"


class Request(NamedTuple):
    """One call to be run. `function` and `spec_class` are written ``module:name``; `services` are what it may ask.

    `environment` is the one that the call runs in; None stands for that of the process that submits the request. A call
    with others `beside` it gets its share of the cores, and one that needs a `gpu` gets one of its own. Without, a call
    has the whole machine. `memory_mb` is set aside for it; None: all that is free. `keys` are those of the inputs, for
    a worker that opens the store itself.
    """

    function: str
    spec_class: str
    spec: Mapping[str, Any]
    inputs: Mapping[str, Path]
    out: Path
    seed: int
    services: Services | None = None
    environment: Environment | None = None
    beside: bool = False
    gpu: bool = False
    memory_mb: float | None = None
    keys: Mapping[str, str] | None = None

    @property
    def stage(self) -> str:
        """The name of the stage function."""
        return self.function.rpartition(":")[2]


class Cost(NamedTuple):
    """What a call took: wall seconds of the stage itself, peak resident memory in MB, and what it counted.

    Seconds in which the process was stopped do not count; see `pauses`.
    `share` is that of the machine which it had.
    """

    seconds: float
    peak_memory_mb: float
    usage: Usage
    share: float = 1.0


class Executor(Protocol):
    """Runs stage calls, several at a time if its resources say so."""

    def resources(self) -> Resources:
        """Return what the calls in flight may use together, as it is now; memory that they hold already is part of it.

        A plan is scheduled within it.
        """

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        """Start a call and return the future of its cost; the future raises StageFailed if the call failed.

        `progress` may be called from another thread. An executor without a process of its own may run the call before
        it returns.
        """

    def cancel(self) -> None:
        """Stop all calls in flight. Their futures fail."""


class SynchronousExecutor:
    """Runs each call inside `submit`, one at a time. A subclass says in `run` how."""

    def resources(self) -> Resources:
        return Resources()

    def run(self, request: Request, progress: Progress) -> Cost:
        """Run a call to its end. Raises StageFailed if it failed."""
        raise NotImplementedError

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        future: Future[Cost] = Future()
        try:
            future.set_result(self.run(request, progress))
        except StageFailed as error:
            future.set_exception(error)
        return future

    def cancel(self) -> None:
        """Nothing is in flight once `submit` has returned."""


class InlineExecutor(SynchronousExecutor):
    """Runs calls in this process: for light stages and for tests."""

    def run(self, request: Request, progress: Progress) -> Cost:
        try:
            return perform(request, progress)
        except Exception as error:
            raise StageFailed(failure_sentence(request, error)) from error


class OneAtATime:
    """Runs the calls of another executor one after another, each with the whole machine, so that they can be timed."""

    def __init__(self, executor: Executor) -> None:
        self.submit, self.cancel, self._resources = executor.submit, executor.cancel, executor.resources

    def resources(self) -> Resources:
        return self._resources()._replace(jobs=1)


def executor_named(name: str, jobs: int | None = None) -> Executor:
    """Return a new executor that runs `jobs` calls side by side; None: one, or as many as a cluster has room for.

    Raises ConfigError for a name that is not in `EXECUTORS`, and for several jobs of one that runs one call at a time.
    """
    if name not in EXECUTORS:
        raise ConfigError(Problem("executor", f"unknown executor {name!r}", nearest(name, EXECUTORS)))
    kind = load(EXECUTORS[name])
    if (jobs or 1) > 1 and issubclass(kind, SynchronousExecutor):
        raise ConfigError(Problem("executor", f"{name!r} runs one call at a time", "leave out 'jobs'"))
    executor: Executor = kind() if jobs is None or issubclass(kind, SynchronousExecutor) else kind(jobs)
    return executor


def run(executor: Executor, request: Request, progress: Progress) -> Cost:
    """Submit one request and wait for its result. Raises StageFailed if the call failed."""
    future = executor.submit(request, progress)
    try:
        return future.result()
    finally:
        if not future.done():
            executor.cancel()


def request_for(planned: PlannedCall, store: Store, out: Path) -> Request:
    """The request that makes a call's artifact in `out`."""
    stage = load_stage(planned.call.stage)
    inputs = {}
    for name, key in planned.call.inputs.items():
        folder = store.get(key)
        if folder is None:
            raise StageFailed(f"its input {name} is not in the store any more; run again")
        inputs[name] = folder
    call = planned.call
    return Request(stage.function_path, stage.spec_path, call.spec, inputs, out, call.seed, keys=call.inputs)


def perform(request: Request, progress: Progress) -> Cost:
    """Run a request in this process."""
    function, spec_class = load(request.function), load(request.spec_class)
    started = time.perf_counter()
    with using(request.services), Pauses() as pauses:
        usage = function(spec_class.model_validate(request.spec), request.inputs, request.out, request.seed, progress)
    seconds = time.perf_counter() - started
    if pauses.seconds:
        usage = usage._replace(notes={**usage.notes, "seconds in which the process was stopped": round(pauses.seconds)})
    return Cost(seconds - pauses.seconds + usage.before, _peak_mb(), usage)


def load(reference: str) -> Any:
    """Import what a reference ``module:name`` names."""
    module, name = reference.split(":")
    return getattr(importlib.import_module(module), name)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def failure_sentence(request: Request, error: BaseException) -> str:
    """What went wrong in a call: a message made for users as it is, any other with its type and place."""
    if isinstance(error, HarnessError | ValueError):
        return f"{request.stage}: {error}"
    if isinstance(error, MemoryError):
        why = f" ({error})" if str(error) else ""
        return f"{request.stage}: out of memory{why}; use smaller batches, or a machine with more memory"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{request.stage}: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
