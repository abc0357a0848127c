"""Ask an endpoint one question until it is answered: retries, budget, circuit breaker, dialects.

Everything here runs in the loop of `event_loop`. Must not know what a good answer is, and stores none.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from pydantic import BaseModel

from harness.llm.breaker import LATER, Breaker, RetryPolicy
from harness.llm.configuration import Services
from harness.llm.dialects import Dialect, known_dialect
from harness.llm.faults import Completion, Fault
from harness.llm.protocol import RequestCost
from harness.llm.requests import Sendable, rough_tokens
from harness.llm.responses import PaidRequest, Reservation, Responses
from harness.llm.transport import EndpointClient
from harness.suite.roles import Role, place_of

LEASE = 60.0
"""Seconds beyond the timeout after which the reservation of a request expires, as that of a dead process must."""
POLL = 0.05
RETRIED = ("again", "dead", "hung", "busy")
KEPT = "run again: paid answers come from the cache"


@dataclass
class Tally:
    """The requests that were made for one question; those in `open` are not stored yet.

    `dialect` is that of the last request, whose answer is used.
    """

    paid: list[PaidRequest] = field(default_factory=list)
    open: list[PaidRequest] = field(default_factory=list)
    dialect: Dialect | None = None

    def add(self, paid: PaidRequest) -> None:
        """Add one request."""
        self.paid.append(paid)
        self.open.append(paid)

    def closed(self) -> list[PaidRequest]:
        """Return the requests to store now."""
        rows, self.open = self.open, []
        return rows

    @property
    def cost(self) -> RequestCost:
        """The cost of all requests together."""
        return reduce(RequestCost.plus, (request.cost for request in self.paid), RequestCost())


class Sender:
    """Asks the endpoint of one role; `stopped` is empty, or says why nothing more is asked."""

    def __init__(self, role: Role, services: Services, responses: Responses, policy: RetryPolicy) -> None:
        self._role, self._services, self._responses, self._policy = role, services, responses, policy
        self._llm = services.roles[role]
        self.client = EndpointClient(self._llm)
        self.stopped = ""
        self._stop = asyncio.Event()
        self._breaker = Breaker(policy, self._llm.max_concurrency)
        self._rng = random.Random()
        self._budget = asyncio.Lock()
        self._requests_in_flight: set[asyncio.Task[Completion | Fault]] = set()
        self._asking = 0
        self._timer: asyncio.TimerHandle | None = None
        self.known_dialect = known_dialect(self._llm, services.folder)
        self._plain: set[type[BaseModel]] = set()

    async def answer(self, question: Sendable, tally: Tally) -> Completion | Fault:
        """Ask until there is an answer, no attempt is left, or the sender is stopped."""
        if problem := self.client.problem():
            self.stop(*problem)
        self._asking += 1
        self._breaker.resume()
        try:
            return await self._persist(question, tally)
        finally:
            self._asking -= 1
            if not self._asking:
                self._breaker.rest()

    async def _persist(self, question: Sendable, tally: Tally) -> Completion | Fault:
        tries: Counter[bool] = Counter()
        send_schema = (
            question.schema is not None and self._llm.structured != "plain" and question.schema not in self._plain
        )
        refused_schema = False
        dialect = self.known_dialect.dialect
        while True:
            tally.dialect = dialect
            body = question.body(self._llm, dialect, send_schema)
            outcome = await self._attempt(question, body, tally)
            if isinstance(outcome, Completion) or outcome.paid is not None:
                self.known_dialect.learn(dialect)
            if isinstance(outcome, Completion):
                if refused_schema and question.schema is not None:
                    self._plain.add(question.schema)
                return outcome
            if (other := dialect.after_refusal(outcome, body)) is not None:
                # Ends, as each dialect leaves more out; believed only once the server answers.
                dialect = other
                continue
            if outcome.status in (400, 422) and "response_format" in body and self._llm.structured == "auto":
                send_schema, refused_schema = False, True
                continue
            busy = outcome.kind == "busy"
            if outcome.kind not in RETRIED or tries[busy] >= self._llm.retries * (LATER if busy else 1):
                return outcome
            if (outcome.retry_after or 0) > self._policy.obeyed:
                self.stop(f"asks to wait {outcome.retry_after:.0f} s ({outcome.what})", "wait as long")
            await self._pause(self._policy.wait(tries.total(), outcome.retry_after, self._rng))
            tries[busy] += 1

    async def _attempt(self, question: Sendable, body: dict[str, Any], tally: Tally) -> Completion | Fault:
        if tally.open:
            # The reservation of the attempt before must not block this one.
            await self.settled(tally)
        reservation = await self._reserve(question, body)
        if self.stopped:
            return Fault("stop", self.stopped)
        started = time.monotonic()
        outcome = await self._send(question, body)
        tally.add(PaidRequest(question.key, self._cost(outcome, question, body), reservation))
        self._learn(outcome, time.monotonic() - started, isinstance(outcome, Fault) and _adapts(tally, outcome, body))
        return outcome

    async def settled(self, tally: Tally) -> None:
        """Store the requests of a tally."""
        done = self._responses.write(self._services.run, self._role, tally.closed())
        await asyncio.shield(asyncio.wrap_future(done))

    async def _send(self, question: Sendable, body: dict[str, Any]) -> Completion | Fault:
        request = asyncio.ensure_future(self.client.send(body, path=question.path, read=question.read))
        self._requests_in_flight.add(request)
        request.add_done_callback(self._requests_in_flight.discard)
        try:
            await asyncio.wait([request])
        except asyncio.CancelledError:
            request.cancel()
            raise
        return Fault("stop", self.stopped) if request.cancelled() else request.result()

    def _cost(self, outcome: Completion | Fault, question: Sendable, body: dict[str, Any]) -> RequestCost:
        """Return the cost of one request, 0 without an answer. Tokens that the server did not count are estimated."""
        answer = outcome if isinstance(outcome, Completion) else outcome.paid
        if answer is None:
            return RequestCost()
        prompt, new = answer.prompt_tokens, answer.new_tokens
        counted = prompt is not None and new is not None
        prompt = question.prompt_tokens(body) if prompt is None else prompt
        new = rough_tokens(answer.text) if new is None else new
        return RequestCost(prompt, new, self._llm.dollars(prompt, new, answer.cached_tokens), counted)

    async def _reserve(self, question: Sendable, body: dict[str, Any]) -> int | None:
        """Reserve the worst case of one request in the budget.

        If it does not fit, wait for other requests in flight; if there are none, stop.
        """
        limits = self._services.max_tokens, self._services.max_usd
        if limits == (None, None) or self.stopped:
            return None
        prompt, new = question.prompt_tokens(body), question.max_tokens
        worst = RequestCost(prompt, new, self._llm.dollars(prompt, new))
        seconds = self._llm.timeout + LEASE
        async with self._budget:
            while not self.stopped:
                reservation = await asyncio.wrap_future(
                    self._responses.reserve(self._services.run, worst, *limits, seconds)
                )
                if reservation.id is not None:
                    return reservation.id
                if not reservation.others:
                    self._stop_spent(reservation, worst)
                await self._pause(POLL)
        return None

    def _stop_spent(self, reservation: Reservation, worst: RequestCost) -> None:
        limit, usd = self._services.max_tokens, self._services.max_usd
        if limit is not None and reservation.tokens + worst.tokens > limit:
            spent = f"llm.max_tokens: {reservation.tokens} of {limit} tokens are spent, and one more request may take"
            self._halt(f"{spent} {worst.tokens}; raise llm.max_tokens and {KEPT}")
        else:
            spent = f"llm.max_usd: ${reservation.dollars:.4f} of ${usd:g} are spent, and one more request may cost"
            self._halt(f"{spent} ${worst.dollars:.4f}; raise llm.max_usd and {KEPT}")

    def _learn(self, outcome: Completion | Fault, seconds: float, adapts: bool = False) -> None:
        """Update the breaker by one outcome; a server that only refuses an optional part is alive."""
        if isinstance(outcome, Completion) or outcome.kind in ("again", "question", "refused") or adapts:
            self._breaker.alive(seconds)
        elif outcome.kind == "stop":
            self.stop(outcome.what, outcome.advice)
        elif outcome.kind == "busy":
            self._breaker.busy(outcome)
        else:
            self._breaker.failed(outcome)
        self._watch()

    def _watch(self) -> None:
        """Open the breaker when it is time, even if no request ends then."""
        left = self._breaker.left()
        if self._timer is None and left is not None and not self.stopped and self._asking:
            self._timer = asyncio.get_running_loop().call_later(left, self._look)

    def _look(self) -> None:
        self._timer = None
        breaker = self._breaker
        if breaker.left() == 0 and self._asking and breaker.last is not None:
            times = f"{breaker.failures} requests in a row over {breaker.silent:.0f} s failed"
            self.stop(f"{breaker.last.what}; {times}", breaker.last.advice or "check that it is up")
            for request in self._requests_in_flight:
                request.cancel()
        self._watch()

    def stop(self, what: str, advice: str) -> None:
        """Ask nothing more, and keep the first reason as one sentence."""
        place = f" at {self.client.where}" if self.client.where else ""
        self._halt(f"{place_of(self._role)}{place}: {what}; {advice}, and {KEPT}")

    def _halt(self, sentence: str) -> None:
        self.stopped = self.stopped or sentence
        self._stop.set()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond a stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return


def _adapts(tally: Tally, outcome: Fault, body: dict[str, Any]) -> bool:
    return tally.dialect is not None and tally.dialect.after_refusal(outcome, body) is not None
