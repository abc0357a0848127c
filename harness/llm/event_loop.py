"""One event loop for the process, in a thread of its own, that makes all requests to endpoints.

Callers may have a loop or none. An HTTP client belongs to the loop in which it was created, so all clients live in this
one, and one thread alone touches their state. Must not know what runs in it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_GRACE = 2.0
# Reentrant: garbage collection may finalize a client, which submits its closing, while this thread holds the lock.
_lock = threading.RLock()


class _Background:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="llm", daemon=True)
        self.thread.start()
        # At exit, finalizers run from the newest to the oldest: clients are closed before the loop stops.
        self.finalizer = weakref.finalize(self, _stop, self.loop, self.thread)


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    async def finish() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=_GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        loop.stop()

    asyncio.run_coroutine_threadsafe(finish(), loop)
    thread.join(2 * _GRACE)
    if not thread.is_alive():
        loop.close()


_background: _Background | None = None
_of_parents: list[_Background] = []


def _forget() -> None:
    """Threads do not survive a fork: let the child create its own loop, and keep that of the parent untouched."""
    global _background, _lock
    if _background is not None:
        _background.finalizer.detach()
        _of_parents.append(_background)
    _background, _lock = None, threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine in the loop and return its future, for any thread, or wrapped for any other loop."""
    global _background
    with _lock:
        if _background is None:
            created = _Background()
            _background = _background or created
        return asyncio.run_coroutine_threadsafe(work, _background.loop)
