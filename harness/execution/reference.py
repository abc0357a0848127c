"""How busy a neighbour kept the machine while a probe ran, told by two signs.

A fixed piece of work is timed between the queries: it takes longer while a neighbour is busy. It cannot tell of a
neighbour that is busy all the time, or in bursts shorter than the parts that are compared. So the kernel is asked, too,
how long the threads of this process waited for a core that others used. A disturbed probe says more of the neighbour
than of the pipeline.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

SIZE = 384
"""Rows and columns of the matrices: their product takes a few milliseconds on all cores that the probe has."""
EVERY_SECONDS = 0.2
AT_ENDS = 5
"""References before and after the queries, and the fewest of a block."""
WARM_SECONDS, FIRST_SECONDS = 0.01, 0.2
"""Work that is not timed, before each time and before the first: threads that woke on one core are apart by then."""
MOST_BLOCKS = 6
MOVED = 0.1
"""A reference that moved by more than this share makes a probe noisy."""
WAITED = 0.05
"""So do threads that waited for more than this share of the probe: it may be the slowest twentieth of the queries."""
THREADS = Path("/proc/self/task")


class Disturbance(NamedTuple):
    """By what share the reference moved during a probe, and for what share of it a thread waited for others."""

    moved: float
    waited: float = 0.0

    @property
    def level(self) -> float:
        """Above 1 if the probe is noisy; lower is quieter."""
        return max(self.moved / MOVED, self.waited / WAITED)


class Reference:
    """Times the reference before, during and after a probe, and watches what its threads wait for."""

    def __init__(self) -> None:
        import numpy as np

        self._matrix: Any = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
        if torch := sys.modules.get("torch"):
            # Its threads look for work for a while after each step. A reference in the threads of another library would
            # compete with them, and move on a machine that does nothing else.
            self._matrix = torch.from_numpy(self._matrix)
        self._last = float("-inf")
        self.times: list[float] = []
        self._warm_up(FIRST_SECONDS)
        self._before = CoreUse.now()

    def at_end(self) -> None:
        """Time it several times, before or after all queries."""
        for _ in range(AT_ENDS):
            self._time()

    def between(self) -> None:
        """Time it once, unless that was done a moment ago."""
        if time.perf_counter() - self._last >= EVERY_SECONDS:
            self._time()

    def _time(self) -> None:
        self._warm_up(WARM_SECONDS)
        started = time.perf_counter()
        self._work()
        self._last = time.perf_counter()
        self.times.append(self._last - started)

    def _warm_up(self, seconds: float) -> None:
        """Work untimed, until caches, clocks and the threads' places on cores are as at every other time."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._work()

    def _work(self) -> None:
        for _ in range(4):
            self._matrix @ self._matrix

    @property
    def disturbance(self) -> Disturbance:
        """How much the probe was disturbed so far."""
        return Disturbance(moved(self.times), CoreUse.now().waited_since(self._before))


def moved(times: list[float]) -> float:
    """Return by what share the slowest block of consecutive times exceeds the fastest, by their medians.

    A block has at least `AT_ENDS` times, so that one slow reference moves nothing.
    """
    blocks = max(1, min(MOST_BLOCKS, len(times) // AT_ENDS))
    bounds = [round(number * len(times) / blocks) for number in range(blocks + 1)]
    medians = [median(times[start:end]) for start, end in pairwise(bounds) if end > start]
    return max(medians) / min(medians) - 1 if medians else 0.0


class CoreUse(NamedTuple):
    """At a moment, in seconds: the clock, the time that all processes used the cores of this one, its own of it, and
    how long each of its threads had to wait for a core.

    Where the kernel does not tell (only Linux does), no thread waits.
    """

    clock: float
    all: float
    own: float
    waited: dict[str, float]

    @classmethod
    def now(cls) -> CoreUse:
        """Return the use so far."""
        return cls(time.perf_counter(), _used_by_all(), time.process_time(), _waited())

    def waited_since(self, before: CoreUse) -> float:
        """Return the share of the time since `before` that the thread waited for others which waited longest.

        Threads of this process that wait for one another do not count: what others used bounds it.
        """
        seconds = self.clock - before.clock
        longest = max((waited - before.waited.get(key, 0.0) for key, waited in self.waited.items()), default=0.0)
        others = (self.all - before.all) - (self.own - before.own)
        return max(0.0, min(longest, others)) / seconds if seconds > 0 else 0.0


def _used_by_all() -> float:
    """Seconds that all processes together used the cores that this one may use."""
    import psutil

    cores = psutil.cpu_times(percpu=True)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(cores))
    idle = ("idle", "iowait", "guest", "guest_nice")
    return sum(
        float(value) for number in usable if number < len(cores) for name, value in cores[number]._asdict().items()
        if name not in idle
    )  # fmt: skip


def _waited() -> dict[str, float]:
    """Seconds that each thread was ready to run and had no core, by its number."""
    waited = {}
    with suppress(OSError):
        for thread in THREADS.iterdir():
            with suppress(OSError, ValueError, IndexError):
                waited[thread.name] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return waited
