"""How stage calls are run: here, or each in a child process of its own.

A fork server imports the heavy libraries once; each heavy call is then a fork of it. So its peak memory is its own, a
crash is the failure of one call, and an executor for a cluster needs only ship the same small request. The environment
of a call comes with its request (see `environments`). Where it differs in what the libraries of the fork server read
when they were imported, the call runs in a new interpreter instead, which takes some seconds more.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from harness.errors import HarnessError, StageFailed
from harness.execution.environments import Environment, applied, apply, environment_now, read_at_import
from harness.llm.services import Services, using
from harness.values.records import Progress, Usage

PROGRESS_EVERY = 0.2
PRELOADED = "harness.execution.preload"
GRACE = 10.0
"""Seconds that a child has to end by itself once its result is there."""


class Request(NamedTuple):
    """One call to be run. `function` and `spec_class` are written ``module:name``; `services` are what it may ask.

    `environment` is that of the child; None is the one that this process has when the child is started.
    """

    function: str
    spec_class: str
    spec: Mapping[str, Any]
    inputs: Mapping[str, Path]
    out: Path
    seed: int
    services: Services | None = None
    environment: Environment | None = None


class Cost(NamedTuple):
    """What a call took: wall seconds of the stage itself, peak resident memory in MB, and what it counted."""

    seconds: float
    peak_memory_mb: float
    usage: Usage


class Executor(Protocol):
    """Runs a request to its end. Raises StageFailed if it raised or its process died."""

    def run(self, request: Request, progress: Progress) -> Cost: ...


def perform(request: Request, progress: Progress) -> Cost:
    """Run a request in this process."""
    function, spec_class = _find(request.function), _find(request.spec_class)
    started = time.perf_counter()
    with using(request.services):
        usage = function(spec_class.model_validate(request.spec), request.inputs, request.out, request.seed, progress)
    return Cost(time.perf_counter() - started, _peak_mb(), usage)


def _find(reference: str) -> Any:
    module, name = reference.split(":")
    return getattr(importlib.import_module(module), name)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


class InlineExecutor:
    """Runs calls in this process: for light stages and for tests."""

    def run(self, request: Request, progress: Progress) -> Cost:
        try:
            return perform(request, progress)
        except Exception as error:
            raise StageFailed(_sentence(request, error)) from error


class ChildExecutor:
    """Runs every call in a child of a fork server."""

    def __init__(self) -> None:
        if multiprocessing.parent_process() is not None:
            # The child of a script that has no guard runs the script again, and would wait for its own parent.
            raise HarnessError('call the harness below `if __name__ == "__main__":`; its stages run in child processes')
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([PRELOADED])

    def run(self, request: Request, progress: Progress) -> Cost:
        whole = request if request.environment is not None else request._replace(environment=environment_now())
        try:
            return self._run(whole, progress, self._context)
        except _BornOtherwise:
            return self._run(whole, progress, multiprocessing.get_context("spawn"))

    def _run(self, request: Request, progress: Progress, context: Any) -> Cost:
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(there, request), daemon=True)
        with applied(request.environment or environment_now()):
            child.start()
        there.close()
        try:
            return self._listen(request, here, progress, child)
        finally:
            if child.is_alive():
                child.terminate()
            child.join()
            here.close()

    def _listen(self, request: Request, here: Connection, progress: Progress, child: Any) -> Cost:
        while True:
            try:
                kind, value = here.recv()
            except EOFError:
                child.join()
                raise StageFailed(_death(request, child.exitcode)) from None
            if kind == "progress":
                progress(*value)
                continue
            # It has said all, and ends by itself to remove what it put into the system (named semaphores).
            child.join(GRACE)
            if kind == "failed":
                raise StageFailed(value)
            if kind == "born otherwise":
                raise _BornOtherwise
            cost: Cost = value
            return cost


class _BornOtherwise(Exception):
    """The fork server was started with other values of what its libraries read when they are imported."""


def _death(request: Request, exitcode: int | None) -> str:
    stage = request.function.split(":")[-1]
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = "; the machine may be out of memory: use smaller batches" if name == "SIGKILL" else ""
        return f"{stage}: its process was killed by {name}{hint}"
    return f"{stage}: its process ended with exit code {exitcode} and no result"


def _sentence(request: Request, error: BaseException) -> str:
    stage = request.function.split(":")[-1]
    if isinstance(error, HarnessError | ValueError):
        return f"{stage}: {error}"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{stage}: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


def _child(there: Connection, request: Request) -> None:
    """The child's whole life. Everything goes back through the pipe; the parent owns the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if request.environment is not None:
        # The fork server's module says what its libraries were imported with; a new interpreter has no such module.
        server = sys.modules.get(PRELOADED)
        if server is not None and read_at_import(request.environment) != server.BORN_WITH:
            _send(there, "born otherwise", None)
            return
        apply(request.environment)
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_EVERY or done >= total:
            last = time.monotonic()
            _send(there, "progress", (done, total))

    try:
        with _silent():
            cost = perform(request, progress)
        _send(there, "done", cost)
    except BaseException as error:
        if os.environ.get("HARNESS_DEBUG"):
            traceback.print_exc()
        _send(there, "failed", _sentence(request, error))


def _send(there: Connection, kind: str, value: Any) -> None:
    try:
        there.send((kind, value))
    except BrokenPipeError:
        # The parent is gone; nobody will commit what this child makes.
        os._exit(1)


@contextlib.contextmanager
def _silent() -> Any:
    """Send what libraries print to nowhere, unless HARNESS_DEBUG is set."""
    if os.environ.get("HARNESS_DEBUG"):
        yield
        return
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
