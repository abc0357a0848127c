"""An executor that runs each stage call in a child process of its own.

A fork server imports the heavy libraries once; each call is then a fork of it. So its peak memory is its own, and a
crash is the failure of one call. The environment of a call comes with its request (see `environments`). Where it
differs in what the libraries of the fork server read when they were imported, the call runs in a new interpreter
instead, which takes some seconds more.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, wait
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, StageFailed
from harness.execution.environments import applied, apply, environment_now, read_at_import
from harness.execution.executors import Cost, Request, failure_sentence, perform
from harness.values.records import Progress

PROGRESS_EVERY = 0.2
PRELOADED = "harness.execution.preload"
GRACE = 10.0
"""Seconds that a child has to end by itself after it has sent its result."""


class ChildExecutor:
    """Runs every call in a child of a fork server, `capacity` at a time. A thread listens to each child."""

    def __init__(self, capacity: int = 1) -> None:
        if multiprocessing.parent_process() is not None:
            # The child of a script that has no guard runs the script again, and would wait for its own parent.
            raise HarnessError('call the harness below `if __name__ == "__main__":`; its stages run in child processes')
        self.capacity = capacity
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([PRELOADED])
        self._futures: set[Future[Cost]] = set()
        self._children: dict[Future[Cost], Any] = {}
        self._lock = threading.Lock()

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        if request.environment is None:
            request = request._replace(environment=environment_now())
        future: Future[Cost] = Future()
        self._futures.add(future)
        threading.Thread(target=self._answer, args=(future, request, progress), daemon=True).start()
        return future

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
            future.set_result(self._run(future, request, progress))
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

    def _run_child(self, future: Future[Cost], request: Request, progress: Progress, context: Any) -> Cost:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(sender, request), daemon=True)
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
    """Pass on the progress of a child until its result arrives. Raises StageFailed if it failed or died."""
    while True:
        try:
            kind, value = receiver.recv()
        except EOFError:
            child.join()
            raise StageFailed(_death(request, child.exitcode)) from None
        if kind == "progress":
            progress(*value)
            continue
        # The child removes what it put into the system (named semaphores) and ends by itself.
        child.join(GRACE)
        if kind == "failed":
            raise StageFailed(value)
        if kind == "other imports":
            raise _OtherImports
        cost: Cost = value
        return cost


class _OtherImports(Exception):
    """The fork server was started with other values of what its libraries read when they are imported."""


def _death(request: Request, exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = "; the machine may be out of memory: use smaller batches" if name == "SIGKILL" else ""
        return f"{request.stage}: its process was killed by {name}{hint}"
    return f"{request.stage}: its process ended with exit code {exitcode} and no result"


def _child(sender: Connection, request: Request) -> None:
    """Run a request in the child. Everything goes back through the pipe; the parent owns the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if request.environment is not None:
        # The fork server's module says what its libraries were imported with; a new interpreter has no such module.
        server = sys.modules.get(PRELOADED)
        if server is not None and read_at_import(request.environment) != server.IMPORTED_WITH:
            _send(sender, "other imports", None)
            return
        apply(request.environment)
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
        _send(sender, "failed", failure_sentence(request, error))


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
