"""One event loop for the process, in a thread of its own, where all requests to endpoints are made.

Whoever asks may have a loop or none. A client of HTTP belongs to the loop in which it was made, so all clients live in
this one, and what is known of an endpoint is touched by one thread only. Knows nothing of what runs in it.
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
_lock = threading.Lock()


class _Background:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="llm", daemon=True)
        self.thread.start()
        # At the end of the process finalizers run from the last made to the first: clients are closed before this.
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
    """Threads do not survive a fork: the child makes a loop of its own, and leaves alone what it shares."""
    global _background, _lock
    if _background is not None:
        _background.finalizer.detach()
        _of_parents.append(_background)
    _background, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine in the loop; its future may be waited for in any thread, or wrapped for any other loop."""
    global _background
    with _lock:
        if _background is None:
            _background = _Background()
        return asyncio.run_coroutine_threadsafe(work, _background.loop)
