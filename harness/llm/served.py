"""Models at an endpoint that embed texts or score passages, asked as language models are: cached, paid, retried.

A vector is cached under its text, the scores of a request under its query and passages; the key holds what of the
endpoint can change them. Nothing is guessed: a text without a vector, or a passage without a score, ends the work with
one sentence. Must not know stages.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from queue import SimpleQueue
from typing import Any, NamedTuple

from harness.errors import LlmStopped
from harness.llm import event_loop
from harness.llm.breaker import RetryPolicy
from harness.llm.configuration import Services
from harness.llm.faults import Fault
from harness.llm.protocol import Reply, RequestCost, Spent
from harness.llm.requests import Sendable
from harness.llm.responses import Responses, StoredAnswer
from harness.llm.sender import Sender, Tally
from harness.suite.roles import Llm, Role, place_of
from harness.suite.served_models import ServedModel
from harness.values.records import Progress

SHOWN = 60
AGAIN = "run again: what is paid for comes from the cache"


class ServedLlm(Llm):
    """A served model as the client of language models takes it; `price_request` is in dollars per 1,000 requests."""

    price_request: float = 0.0

    @property
    def in_process(self) -> bool:
        """It is always at an endpoint, whatever its name."""
        return False

    def dollars(self, prompt_tokens: int, new_tokens: int, cached_tokens: int = 0) -> float:
        """Price of one request with so many tokens."""
        return super().dollars(prompt_tokens, new_tokens, cached_tokens) + self.price_request / 1000


def llm_of(endpoint: ServedModel) -> ServedLlm:
    """Return an endpoint as the client of language models takes it."""
    shared = {name: getattr(endpoint, name) for name in type(endpoint).model_fields if name in ServedLlm.model_fields}
    return ServedLlm(**{**shared, "extra_body": endpoint.bodies, "temperature": None, "seed": None})


class Piece(NamedTuple):
    """What is asked for and cached under `key`: a text, or a query with passages. `words` are for error messages."""

    key: str
    content: Any
    words: str


class ServedClient(ABC):
    """What encoders and rerankers at an endpoint have in common: the cache, the workers, the sum of what was paid.

    `stopped` is empty, or the sentence that says why nothing more is asked. Raises HarnessError if the folder of the
    services cannot be used.
    """

    too_large = "the model takes shorter texts: let the server truncate them, or set pipeline.chunking"
    """What to do where a server refuses a request that its address and its model take."""

    def __init__(self, part: Role, endpoint: ServedModel, services: Services, policy: RetryPolicy) -> None:
        llm = llm_of(endpoint)
        self.part, self.name, self.spent = part, llm.model, Spent()
        self._services = services.model_copy(update={"roles": {**services.roles, part: llm}})
        self._workers = endpoint.max_concurrency
        self._responses = Responses(services.folder)
        self._known_costs: set[str] = set()
        self._sender = Sender(part, self._services, self._responses, policy)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    @property
    def stopped(self) -> str:
        """Why nothing more is asked."""
        return self._sender.stopped

    def since(self, before: Spent) -> Reply:
        """Return what was paid since then, as a reply."""
        paid = self.spent.since(before)
        tokens = paid.prompt_tokens, paid.new_tokens
        return Reply("", None, "", *tokens, dollars=paid.dollars, requests=paid.requests)

    def close(self) -> None:
        """Close connections and files."""
        event_loop.submit(self._sender.client.close()).result()
        self._responses.close()

    def _obtained(self, pieces: Sequence[Piece], progress: Progress, fresh: bool) -> list[str]:
        """Return the cached text of each piece, and ask for those that the cache lacks; with `fresh` for all of them.

        Raises LlmStopped where nothing more can be asked, and ValueError where a piece cannot be answered.
        """
        found = {} if fresh else self._texts_of(self._responses.find({piece.key for piece in pieces}).result())
        missing = list({piece.key: piece for piece in pieces if piece.key not in found}.values())
        total = len(found) + len(missing)
        self.spent = self.spent._replace(asked=self.spent.asked + total)
        if missing and self._services.replay:
            raise LlmStopped(
                f"{place_of(self.part)}: nothing is cached for {missing[0].words}; run once without replay"
            )
        results: SimpleQueue[dict[str, str] | None] = SimpleQueue()
        asking = event_loop.submit(self._work(missing, results.put, fresh))
        asking.add_done_callback(lambda _: results.put(None))
        try:
            while (answered := results.get()) is not None:
                found |= answered
                progress(len(found), total)
        finally:
            asking.cancel()
        asking.result()
        return [found[piece.key] for piece in pieces]

    def _texts_of(self, known: Mapping[str, StoredAnswer]) -> dict[str, str]:
        """Return the texts of answers from the cache, and count them. What one cost counts once."""
        new = [answer.cost for key, answer in known.items() if key not in self._known_costs]
        self._known_costs.update(known)
        cost = reduce(RequestCost.plus, new, self.spent.known_cost)
        self.spent = self.spent._replace(known=self.spent.known + len(known), known_cost=cost)
        return {key: answer.text for key, answer in known.items()}

    async def _known(self, pieces: Iterable[Piece]) -> dict[str, str]:
        found = await asyncio.wrap_future(self._responses.find({piece.key for piece in pieces}))
        return self._texts_of(found)

    async def _work(self, pieces: Sequence[Piece], give: Callable[[dict[str, str]], None], fresh: bool) -> None:
        """Ask with several workers; the first piece that cannot be answered ends all of them."""
        left = iter(self._requests(pieces))

        async def work() -> None:
            for of_request in left:
                # Another process may have asked and paid since the cache was read for all pieces.
                known = {} if fresh else await self._known(of_request)
                if known:
                    give(known)
                if unknown := [piece for piece in of_request if piece.key not in known]:
                    await self._ask(unknown, give, fresh)

        workers = [asyncio.ensure_future(work()) for _ in range(self._workers)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    @abstractmethod
    def _requests(self, pieces: Sequence[Piece]) -> Iterable[Sequence[Piece]]:
        """Yield the pieces of one request after the other."""

    @abstractmethod
    def _batch(self, pieces: Sequence[Piece]) -> Sendable:
        """Return the request for some pieces."""

    @abstractmethod
    def _texts(self, pieces: Sequence[Piece], values: Sequence[str]) -> list[str]:
        """Return what is cached of each piece, of the values of a response."""

    async def _ask(self, pieces: Sequence[Piece], give: Callable[[dict[str, str]], None], fresh: bool) -> None:
        """Ask for some pieces in one request. Where a server cannot answer it, ask for each half of them.

        So the one text that is too long, or blank, is found and named.
        """
        tally, answers = Tally(), dict[str, str]()
        try:
            outcome = await self._sender.answer(self._batch(pieces), tally)
            if not isinstance(outcome, Fault):
                texts = self._texts(pieces, outcome.values)
                answers = dict(zip((piece.key for piece in pieces), texts, strict=True))
                self._known_costs.update(answers)
        finally:
            self._count(tally)
            costs = tally.cost.divided(len(answers))
            kept = [StoredAnswer(*answer, cost) for answer, cost in zip(answers.items(), costs, strict=True)]
            stored = [] if fresh else kept
            written = self._responses.write(self._services.run, self.part, tally.closed(), *stored)
            # Also where the work was given up: what was paid is known when it ends.
            await asyncio.shield(asyncio.wrap_future(written))
        if not isinstance(outcome, Fault):
            give(answers)
        elif outcome.kind != "question" or len(pieces) < 2:
            give(self._unanswered(outcome, pieces))
        else:
            middle = len(pieces) // 2
            await self._ask(pieces[:middle], give, fresh)
            await self._ask(pieces[middle:], give, fresh)

    def _unanswered(self, fault: Fault, pieces: Sequence[Piece]) -> dict[str, str]:
        """Return what stands for pieces that cannot be answered. Raises what ends the work unless something may."""
        raise self._failure(fault, pieces)

    def _count(self, tally: Tally) -> None:
        cost, spent = tally.cost, self.spent
        self.spent = spent._replace(
            requests=spent.requests + len(tally.paid), prompt_tokens=spent.prompt_tokens + cost.prompt_tokens,
            new_tokens=spent.new_tokens + cost.new_tokens, dollars=spent.dollars + cost.dollars,
        )  # fmt: skip

    def _failure(self, fault: Fault, pieces: Sequence[Piece]) -> Exception:
        if self.stopped:
            return LlmStopped(self.stopped)
        self.spent = self.spent._replace(failed=self.spent.failed + len(pieces))
        more = f" and {len(pieces) - 1:,} more" if len(pieces) > 1 else ""
        advice = fault.advice or (self.too_large if fault.status in (400, 413, 422) else AGAIN)
        where = f"{place_of(self.part)} at {self._sender.client.where}"
        return ValueError(f"{where}: {fault.what}, asked about {pieces[0].words}{more}; {advice}")


def sound(text: str) -> str:
    """Return the text with what cannot be sent (half of a surrogate pair) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def shown(text: str) -> str:
    words = " ".join(text.split())
    if not words:
        return "a blank text"
    return repr(words if len(words) <= SHOWN else f"{words[:SHOWN]}...")
