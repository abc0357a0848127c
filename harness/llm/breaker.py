"""The retry policy and the circuit breaker: how long to wait between attempts, and when an endpoint is dead.

A dead endpoint ends a run within a minute, however many questions are left. It may refuse connections, answer with
errors, or accept requests and never answer (a timeout of 40 s, then `hung` more seconds of silence). Must not make
requests.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from harness.llm.faults import Fault

ENOUGH = 5
"""Failures in a row before the breaker may open; fewer where fewer requests are in flight."""
LATER = 3
"""Factor on the number of retries where a server answers 'too many requests'."""


class RetryPolicy(NamedTuple):
    """Waits between attempts and patience of the breaker, in seconds, all multiplied by `scale`.

    The first wait is at most `first`; each later one at most twice the one before, up to `longest`. A `Retry-After` is
    obeyed up to `obeyed`. The breaker opens after `patience` without a success since the first failure. It opens after
    `hung` if no request was answered, as each has cost its timeout already, and after `busy` if the server rate-limits.
    """

    first: float = 1.0
    longest: float = 20.0
    obeyed: float = 120.0
    patience: float = 20.0
    hung: float = 15.0
    busy: float = 120.0
    scale: float = 1.0

    def wait(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """Return the seconds to wait after attempt `attempt` (from 0): full jitter, on top of what the server asks for.

        Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        ceiling = self.first if retry_after is not None else min(self.longest, self.first * 2 ** min(attempt, 30))
        return self.scale * ((retry_after or 0.0) + rng.uniform(0, ceiling))


class Breaker:
    """Counts the failures of an endpoint since its last success.

    `in_flight` is the largest number of requests at once. If it is below `ENOUGH`, as many timeouts are enough: all
    requests hang.
    """

    def __init__(self, policy: RetryPolicy, in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy, self._enough, self._clock = policy, min(ENOUGH, in_flight), clock
        self._slowest = 0.0
        self._rested: float | None = None
        self.alive(0.0)

    def alive(self, seconds: float) -> None:
        """Record that the endpoint answered, with whatever content, after `seconds`."""
        self._slowest = max(self._slowest, seconds)
        self._since: float | None = None
        self._asked_to_wait = 0.0
        self.failures = self._timeouts = self._busy = 0
        self.last: Fault | None = None

    def failed(self, fault: Fault) -> None:
        """Record a request without a usable answer, or without any before its timeout."""
        self._since = self._clock() if self._since is None else self._since
        self.failures += 1
        self._timeouts += fault.kind == "hung"
        self.last = fault

    def busy(self, fault: Fault) -> None:
        """Record that the endpoint rate-limits: it is up, and asks to wait."""
        self.failed(fault)
        self._busy += 1
        self._asked_to_wait = max(self._asked_to_wait, fault.retry_after or 0.0)

    def rest(self) -> None:
        """Stop the clock: no question is being asked."""
        self._rested = self._clock()

    def resume(self) -> None:
        """Start the clock again."""
        if self._rested is not None and self._since is not None:
            self._since += self._clock() - self._rested
        self._rested = None

    @property
    def silent(self) -> float:
        """Seconds since the first failure."""
        return 0.0 if self._since is None else self._clock() - self._since

    def left(self) -> float | None:
        """Return the seconds until the breaker opens without success, 0 if it is open; None while failures are few."""
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
