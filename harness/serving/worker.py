"""One thread that does all work with models, whichever thread asks for it.

Libraries hold state by thread: inference mode, pools of threads, connections to databases. And two questions at once
would only slow each other down. So work waits in a queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
ROOM = 32
"""Jobs that may wait."""
LOOK = 0.25
"""Seconds between two looks at whether somebody still waits."""


class Busy(Exception):
    """Too many jobs wait."""


class Gone(Exception):
    """Nobody waits for the result any more."""


class Worker:
    """Does one job at a time, in the order of their arrival."""

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._current: Future[Any] | None = None
        # A daemon: an answer that takes minutes does not keep the process from ending.
        Thread(target=self._work, name="models", daemon=True).start()

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Put a job into the queue. Raises Busy if that is full."""
        if self._queue.qsize() >= self.room:
            raise Busy
        future: Future[T] = Future()
        self._queue.put((future, job))
        return future

    def run(self, job: Callable[[], T], gone: Callable[[], bool] = lambda: False) -> T:
        """Do a job and return its result, or raise what it raised.

        Once `gone` says that nobody waits for it, a job that has not begun is dropped, and Gone is raised.
        """
        future = self.submit(job)
        while not future.done():
            try:
                return future.result(timeout=LOOK)
            except TimeoutError:
                if not future.done() and gone():
                    future.cancel()
                    raise Gone from None
        return future.result()

    def idle(self, seconds: float) -> bool:
        """Wait until no job is being done, at most so long; return whether none is."""
        ends = time.monotonic() + seconds
        while self._current is not None and time.monotonic() < ends:
            time.sleep(0.02)
        return self._current is None

    def _work(self) -> None:
        while True:
            future, job = self._queue.get()
            self._current = future
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:
                    future.set_exception(error)
            self._current = None
