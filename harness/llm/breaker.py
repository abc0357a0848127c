"""When to ask again, and when to ask no more: the waits between attempts, and the circuit breaker.

A dead endpoint ends a run within a minute, however many questions are left: whether it refuses connections, answers
with errors, or takes requests and never answers (a timeout of 40 s, and then `hung` more seconds of silence). Knows
clocks and faults, and makes no requests.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from harness.llm.faults import Fault

ENOUGH = 5
"""Failures in a row before anything is concluded from them, fewer where fewer requests are in flight."""
LATER = 3
"""A server that says 'too many requests' is asked this many times as often as one that fails."""


class RetryPolicy(NamedTuple):
    """Seconds, all multiplied by `scale`.

    The first wait is up to `first`, then up to twice that, and so on up to `longest`. A `Retry-After` is obeyed up to
    `obeyed`. The breaker opens after `patience` without any success since the first failure; `hung` if requests were
    not answered at all, as these have cost their timeout before; `busy` if the server says it is asked too often.
    """

    first: float = 1.0
    longest: float = 20.0
    obeyed: float = 120.0
    patience: float = 20.0
    hung: float = 15.0
    busy: float = 120.0
    scale: float = 1.0

    def wait(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """How long to wait after attempt number `attempt` (from 0): full jitter, on top of what the server asks for.

        Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        ceiling = self.first if retry_after is not None else min(self.longest, self.first * 2 ** min(attempt, 30))
        return self.scale * ((retry_after or 0.0) + rng.uniform(0, ceiling))


class Breaker:
    """Counts failures of an endpoint since its last sign of life.

    `in_flight` is how many requests there are at once, at most: a timeout says as much for all of them as five do.
    """

    def __init__(self, policy: RetryPolicy, in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy, self._enough, self._clock = policy, min(ENOUGH, in_flight), clock
        self._slowest = 0.0
        self._rested: float | None = None
        self.alive(0.0)

    def alive(self, seconds: float) -> None:
        """The endpoint answered, after so many seconds, whatever it said."""
        self._slowest = max(self._slowest, seconds)
        self._since: float | None = None
        self._asked_to_wait = 0.0
        self.failures = self._timeouts = self._busy = 0
        self.last: Fault | None = None

    def failed(self, fault: Fault) -> None:
        """A request had no usable answer, or none at all before its timeout."""
        self._since = self._clock() if self._since is None else self._since
        self.failures += 1
        self._timeouts += fault.kind == "hung"
        self.last = fault

    def busy(self, fault: Fault) -> None:
        """The endpoint is there and says that it is asked too often."""
        self.failed(fault)
        self._busy += 1
        self._asked_to_wait = max(self._asked_to_wait, fault.retry_after or 0.0)

    def rest(self) -> None:
        """Nothing is asked from now on: time does not count."""
        self._rested = self._clock()

    def resume(self) -> None:
        """Something is asked again."""
        if self._rested is not None and self._since is not None:
            self._since += self._clock() - self._rested
        self._rested = None

    @property
    def silent(self) -> float:
        """Seconds since the first failure."""
        return 0.0 if self._since is None else self._clock() - self._since

    def left(self) -> float | None:
        """Seconds until the breaker opens if nothing succeeds, 0 if it is open; None as long as failures are few."""
        enough = self._enough if self._timeouts == self.failures else ENOUGH
        if self.failures < enough:
            return None
        return max(0.0, self._allowed() - self.silent)

    def _allowed(self) -> float:
        policy = self._policy
        if 2 * self._busy > self.failures:
            return policy.scale * (policy.busy + self._asked_to_wait)
        patience = policy.scale * (policy.hung if self._timeouts == self.failures else policy.patience)
        # An endpoint that was seen to be slow is given the time for two answers.
        return min(max(patience, 2 * self._slowest), 2 * patience)
