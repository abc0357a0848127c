"""A fixed piece of work that is timed between the queries of a probe: it takes longer while a neighbour is busy.

A probe during which it moved says more of the neighbour than of the pipeline.
"""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median
from typing import Any

SIZE = 384
"""Rows and columns of the matrices: their product takes a few milliseconds on all cores that the probe has."""
EVERY_SECONDS = 0.2
AT_ENDS = 5
"""References before and after the queries, and the fewest of a block."""
MOST_BLOCKS = 6
MOVED = 0.1
"""A reference that moved by more than this share makes a probe noisy."""


class Reference:
    """Times the reference before, during and after a probe."""

    def __init__(self) -> None:
        import numpy as np

        self._matrix: Any = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
        self._last = float("-inf")
        self.times: list[float] = []
        self._work()

    def at_end(self) -> None:
        """Time it several times, before or after all queries."""
        for _ in range(AT_ENDS):
            self._time()

    def between(self) -> None:
        """Time it once, unless that was done a moment ago."""
        if time.perf_counter() - self._last >= EVERY_SECONDS:
            self._time()

    def _time(self) -> None:
        started = time.perf_counter()
        self._work()
        self._last = time.perf_counter()
        self.times.append(self._last - started)

    def _work(self) -> None:
        for _ in range(4):
            self._matrix @ self._matrix

    @property
    def moved(self) -> float:
        """By what share the reference moved during the probe; see `moved`."""
        return moved(self.times)


def moved(times: list[float]) -> float:
    """Return by what share the slowest block of consecutive times exceeds the fastest, by their medians.

    A block has at least `AT_ENDS` times, so that one slow reference moves nothing.
    """
    blocks = max(1, min(MOST_BLOCKS, len(times) // AT_ENDS))
    bounds = [round(number * len(times) / blocks) for number in range(blocks + 1)]
    medians = [median(times[start:end]) for start, end in pairwise(bounds) if end > start]
    return max(medians) / min(medians) - 1 if medians else 0.0
