"""An executor that runs each stage call in a child process of its own.

A fork server imports the heavy libraries once; each call is then a fork of it. So its peak memory is its own, and a
crash is the failure of one call. The environment of a call comes with its request (see `environments`). Where it
differs in what the libraries of the fork server read when they were imported, the call runs in a new interpreter
instead, which takes some seconds more.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, wait
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, OutOfMemory, StageFailed
from harness.execution import machine
from harness.execution.environments import Environment, applied, apply, environment_now, read_at_import
from harness.execution.executors import Cost, Request, failure_sentence, perform
from harness.models.shortage import SIGNS
from harness.planning.resources import Resources
from harness.values.records import Progress

PROGRESS_EVERY = 0.2
ALL, LITTLE = "harness.execution.preload", "harness.execution.preload_torch"
"""What the fork server imports for many calls, and for one: each call imports what is missing by itself."""
MEMORY, SPARE = 0.9, 1.5
"""The share of the memory that is free when a call begins which it may take, and how many times what is set aside for
it: what it asks the system for is more than what it uses."""
GRACE = 10.0
"""Seconds that a child has to end by itself after it has sent its result."""


class ChildExecutor:
    """Runs every call in a child of a fork server, `jobs` of them side by side. A thread listens to each child.

    Calls beside others get their share of the cores each, and each that needs a GPU one of its own. The first executor
    of a process decides what its fork server has `preloaded`.
    """

    def __init__(self, jobs: int = 1, preloaded: str = ALL) -> None:
        if multiprocessing.parent_process() is not None:
            # The child of a script that has no guard runs the script again, and would wait for its own parent.
            raise HarnessError('call the harness below `if __name__ == "__main__":`; its stages run in child processes')
        self.jobs = jobs
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([preloaded])
        self._futures: set[Future[Cost]] = set()
        self._children: dict[Future[Cost], Any] = {}
        self._gpus: dict[Future[Cost], str] = {}
        self._lock = threading.Lock()

    def resources(self) -> Resources:
        with self._lock:
            running = [child.pid for child in self._children.values() if child.pid is not None]
        return machine.resources(self.jobs, running)

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        future: Future[Cost] = Future()
        request = request._replace(environment=self._environment(future, request))
        self._futures.add(future)
        threading.Thread(target=self._answer, args=(future, request, progress), daemon=True).start()
        return future

    def _environment(self, future: Future[Cost], request: Request) -> Environment:
        """The environment of a call; one that needs a GPU of its own sees that one alone."""
        environment = request.environment or environment_now()
        devices = machine.gpus() if request.beside and request.gpu else []
        if len(devices) < 2:
            return environment
        with self._lock:
            free = [name for name in devices if name not in self._gpus.values()]
            self._gpus[future] = (free or devices)[0]
        return Environment({**environment, "CUDA_VISIBLE_DEVICES": self._gpus[future]})

    def _share(self, request: Request) -> float:
        """The share of the machine that a call has."""
        if not request.beside:
            return 1.0
        return 1 / max(1, len(machine.gpus())) if request.gpu else 1 / self.jobs

    def _most_mb(self, request: Request) -> float:
        """The most memory in MB that a call is given of what is free: its share, or more if it is known to need it."""
        if request.memory_mb is None:
            return math.inf
        return max(self._share(request) * machine.available_mb(), SPARE * request.memory_mb)

    def cancel(self) -> None:
        with self._lock:
            # A call whose child is not started yet finds that its future is gone.
            self._futures.clear()
            running = dict(self._children)
        for child in running.values():
            child.terminate()
        wait(running)

    def _answer(self, future: Future[Cost], request: Request, progress: Progress) -> None:
        try:
            future.set_result(self._run(future, request, progress)._replace(share=self._share(request)))
        except BaseException as error:
            # Whatever it is, an interrupt in `progress` too: it is raised where the result is waited for.
            future.set_exception(error)
        finally:
            self._futures.discard(future)

    def _run(self, future: Future[Cost], request: Request, progress: Progress) -> Cost:
        try:
            return self._run_child(future, request, progress, self._context)
        except _OtherImports:
            return self._run_child(future, request, progress, multiprocessing.get_context("spawn"))
        finally:
            # Before the result is known, as another call may start at once.
            with self._lock:
                self._gpus.pop(future, None)

    def _run_child(self, future: Future[Cost], request: Request, progress: Progress, context: Any) -> Cost:
        receiver, sender = context.Pipe(duplex=False)
        threads = machine.threads_of(self.jobs) if request.beside else None
        arguments = (sender, request, threads, MEMORY, self._most_mb(request))
        child = context.Process(target=_child, args=arguments, daemon=True)
        with applied(request.environment or environment_now()):
            child.start()
        sender.close()
        with self._lock:
            cancelled = future not in self._futures
            self._children[future] = child
        try:
            if cancelled:
                raise StageFailed(f"{request.stage}: cancelled")
            return _listen(request, receiver, progress, child)
        finally:
            if child.is_alive():
                child.terminate()
            child.join()
            receiver.close()
            with self._lock:
                del self._children[future]


def _listen(request: Request, receiver: Connection, progress: Progress, child: Any) -> Cost:
    """Pass on the progress of a child until its result arrives.

    Raises StageFailed if it failed or died, and OutOfMemory if that was for lack of memory.
    """
    while True:
        try:
            kind, value = receiver.recv()
        except EOFError:
            child.join()
            raise _death(request, child.exitcode) from None
        if kind == "progress":
            progress(*value)
            continue
        # The child removes what it put into the system (named semaphores) and ends by itself.
        child.join(GRACE)
        if kind in ("failed", "short"):
            raise (OutOfMemory if kind == "short" else StageFailed)(value)
        if kind == "other imports":
            raise _OtherImports
        cost: Cost = value
        return cost


class _OtherImports(Exception):
    """The fork server was started with other values of what its libraries read when they are imported."""


def _death(request: Request, exitcode: int | None) -> StageFailed:
    if exitcode is None or exitcode >= 0:
        return StageFailed(f"{request.stage}: its process ended with exit code {exitcode} and no result")
    told = f"{request.stage}: its process was killed by {signal.Signals(-exitcode).name}"
    if exitcode != -signal.SIGKILL:
        return StageFailed(told)
    return OutOfMemory(f"{told}; the machine may be out of memory: use smaller batches")


def _child(sender: Connection, request: Request, threads: int | None, memory: float, most_mb: float) -> None:
    """Run a request in the child, which may take the share `memory` of what is free, or of `most_mb` if that is less.

    Everything goes back through the pipe; the parent owns the terminal.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(sender,), daemon=True).start()
    if request.environment is not None:
        # The fork server's module says what its libraries were imported with; a new interpreter has no such module.
        server = sys.modules.get(LITTLE)
        if server is not None and read_at_import(request.environment) != server.IMPORTED_WITH:
            _send(sender, "other imports", None)
            return
        apply(request.environment)
    if threads is not None:
        _limit(threads)
    machine.bound_memory(memory, most_mb)
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_EVERY or done >= total:
            last = time.monotonic()
            _send(sender, "progress", (done, total))

    try:
        with _silent():
            cost = perform(request, progress)
        _send(sender, "done", cost)
    except BaseException as error:
        if os.environ.get("HARNESS_DEBUG"):
            traceback.print_exc()
        sentence = failure_sentence(request, error)
        short = isinstance(error, MemoryError) or any(sign in sentence for sign in SIGNS)
        _send(sender, "short" if short else "failed", sentence)


def _end_with_parent(sender: Connection) -> None:
    """End this process once its parent has ended: nobody would commit what it makes, and another may make it again."""
    watched = select.poll()
    watched.register(sender.fileno(), select.POLLERR)
    watched.poll()
    os._exit(1)


def _limit(threads: int) -> None:
    """Let the libraries that are loaded, and those that will be, compute with so many threads."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    from threadpoolctl import threadpool_limits

    # A suite whose models are all behind endpoints runs without torch.
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(threads)
    threadpool_limits(threads)


def _send(sender: Connection, kind: str, value: Any) -> None:
    try:
        sender.send((kind, value))
    except BrokenPipeError:
        # The parent has ended; nobody will commit what this child makes.
        os._exit(1)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Discard what libraries print, unless HARNESS_DEBUG is set."""
    if os.environ.get("HARNESS_DEBUG"):
        yield
        return
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
