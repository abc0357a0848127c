"""Bound the time and the memory of a block that runs what a model folder brought along, such as a chat template.

Must not know what runs there.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

STATUS = Path("/proc/self/status")
AGAIN = 0.05
"""Seconds after which a block is interrupted again that took the first interruption for an error of its own."""


class TookTooLong(Exception):
    """A block ran longer than it may."""


@contextmanager
def bounded(seconds: float, megabytes: int) -> Iterator[None]:
    """Let a block run so long, and take so much memory beyond what the process has.

    Then it gets TookTooLong or MemoryError. Time is bounded in the main thread alone, as signals are; memory is bounded
    on Linux alone.
    """
    with _limited(megabytes << 20), _timed(seconds):
        yield


@contextmanager
def _timed(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    over = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not over:
            raise TookTooLong(f"took more than {seconds:g} seconds")

    before: Any = signal.signal(signal.SIGALRM, interrupt)
    began = time.monotonic()
    due, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        ended = False
        while not ended:
            # An interruption may come at any of these lines.
            with suppress(TookTooLong):
                over = True
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
                ended = True
        if due:
            # Somebody else waits for the timer.
            signal.setitimer(signal.ITIMER_REAL, max(due - (time.monotonic() - began), AGAIN), interval)


@contextmanager
def _limited(most: int) -> Iterator[None]:
    if not STATUS.exists():
        yield
        return
    import resource

    lines = (line.split() for line in STATUS.read_text(encoding="ascii").splitlines())
    taken = next((1024 * int(fields[1]) for fields in lines if fields[:1] == ["VmData:"]), None)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    if taken is None:
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (min([taken + most, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
