"""How long a process was stopped while it worked: by a signal, in a debugger, with the machine that it ran on.

The clock runs on meanwhile, so that a call which was stopped over lunch would seem to cost that hour. A thread wakes
twice a second. Where it wakes much too late, and neither computing nor another thread that holds the interpreter kept
it from waking, nothing of the process ran. One that waits for a server, or shares its cores with others, wakes in time.
"""

from __future__ import annotations

import resource
import threading
import time
from types import TracebackType
from typing import NamedTuple

EVERY_SECONDS = 0.5
LATE_SECONDS = 5.0
"""A delay that counts. Shorter ones change no cost that matters, and may come from a machine that is too busy."""
COMPUTED = 0.5
"""Seconds on processors for each second of a delay: a process that had more was not stopped."""
SWITCHES = 20
"""Times that a thread went to sleep for each second of a delay; while it waits for the interpreter, every 5 ms."""
OF_THREAD = getattr(resource, "RUSAGE_THREAD", None)
"""None on systems that count nothing by thread: there, a library that sleeps with the interpreter looks like a stop."""


class Moment(NamedTuple):
    """What a thread reads as it wakes: the clock, the seconds that its process has computed, how often it has slept."""

    clock: float
    computed: float
    slept: int


def moment() -> Moment:
    """Return the present moment of the thread that asks."""
    slept = 0 if OF_THREAD is None else resource.getrusage(OF_THREAD).ru_nvcsw
    return Moment(time.perf_counter(), time.process_time(), slept)


def stopped(before: Moment, after: Moment, late: float = LATE_SECONDS) -> float:
    """Return the seconds in which a process was stopped between two moments of its thread, 0 if it was not."""
    delay = after.clock - before.clock - EVERY_SECONDS
    busy = after.computed - before.computed > COMPUTED * delay or after.slept - before.slept > SWITCHES * delay
    return 0.0 if delay < late or busy else delay


class Pauses:
    """Measures, for as long as its context lasts, the `seconds` in which this process was stopped."""

    def __init__(self, late: float = LATE_SECONDS) -> None:
        self.seconds = 0.0
        self._late = late
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="pauses")

    def __enter__(self) -> Pauses:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        ended, last = False, moment()
        while not ended:
            # Also as the work ends, which may be at once when a process goes on.
            ended = self._ended.wait(EVERY_SECONDS)
            now = moment()
            self.seconds += stopped(last, now, self._late)
            last = now
