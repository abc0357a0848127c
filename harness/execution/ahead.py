"""Prepare and compute scores while stages run: this process only waits for its children then.

A thread of low priority imports what the measures need, loads the encoder of `semantic_similarity`, and scores each
system once all it is scored by was made. Scores that an LLM judges are left out, as they cost money and have a display.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType

from harness import scoring
from harness.execution.measurements import Measurements
from harness.execution.scheduler import Execution
from harness.execution.score_cache import Known, ScoreCache
from harness.llm.services import Services
from harness.planning.graph import SystemPlan

NICE = 10
"""How much lower the priority is than that of stages, which are timed."""


class Ahead:
    """A context in which scores are computed ahead; on leaving it, `known` holds them. After an error the rest is left.

    Whatever fails here is left to the scoring afterwards, which tells of it.
    """

    def __init__(self, measurements: Measurements, services: Services) -> None:
        self.known: Known = {}
        self._measurements, self._left = measurements, list(measurements.plan.systems)
        self._scores = ScoreCache(measurements, Execution(), services, known=self.known)
        self._pool = ThreadPoolExecutor(1, "scores", _lower_priority)
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            wait(self._pending)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def watch(self, execution: Execution) -> None:
        """Begin with what can be scored by now; called whenever a call started or ended."""
        if not self._pending:
            self._pending.append(self._pool.submit(self._prepare))
        self._scores.execution = execution
        for system in [one for one in self._left if all(key in execution.rows for key in _scored(one))]:
            self._left.remove(system)
            self._pending.append(self._pool.submit(self._score, system))

    def _prepare(self) -> None:
        with contextlib.suppress(Exception):
            scoring.prepare(self._measurements.measures, self._measurements.settings)

    def _score(self, system: SystemPlan) -> None:
        with contextlib.suppress(Exception):
            self._scores.compute(system, judged=False)


def _scored(system: SystemPlan) -> list[str]:
    """Return the keys of what a system is scored by."""
    return [key for key in (system.run, system.dev_run, system.answers) if key]


def _lower_priority() -> None:
    # Only Linux gives each thread a priority of its own.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
