"""The model of a role at an OpenAI-compatible endpoint: the `Chat` that stages and judged measures ask.

Answers come from the cache where they are known. Equal questions are asked once; answers are checked, repaired once,
and cached. How requests are made, retried and paid is in `sender`; this module must not know HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from queue import SimpleQueue

from pydantic import BaseModel

from harness.errors import LlmStopped
from harness.hashing import digest_of
from harness.llm import event_loop
from harness.llm.breaker import RetryPolicy
from harness.llm.checking import CheckedAnswer, check_answer
from harness.llm.configuration import Services
from harness.llm.dialects import Dialect
from harness.llm.faults import Completion, Fault
from harness.llm.protocol import Ask, Reply, RequestCost, Spent
from harness.llm.requests import Question
from harness.llm.responses import Responses, StoredAnswer
from harness.llm.sender import Sender, Tally
from harness.llm.structured import json_schema_of, repair_messages
from harness.suite.roles import Role
from harness.values.records import Progress

SHOWN = 60
GENERATOR_LIMIT = "pipeline.generator.max_new_tokens"
SEEDS = 2**31
HALF_PAIR = "the question holds half of a surrogate pair, which cannot be sent"
Give = Callable[[int, Reply], None]


class EndpointChat:
    """Implements `Chat`. It may be asked from any thread and any event loop; requests run in a loop of their own.

    The seed that is sent is the role's plus the question's `repeat`, so that repeats differ where a server obeys seeds.
    Tokens that a server does not count are estimated. Raises HarnessError if the folder of the services cannot be used.
    """

    def __init__(self, role: Role, services: Services, policy: RetryPolicy = RetryPolicy()) -> None:  # noqa: B008
        self.role, self.services = role, services
        self.name = services.roles[role].model
        self.spent = Spent()
        self._llm = services.roles[role]
        self._responses = Responses(services.folder)
        self._sender = Sender(role, services, self._responses, policy)
        self._slots = asyncio.Semaphore(self._llm.max_concurrency)
        self._asking: dict[str, asyncio.Future[Reply | None]] = {}
        self._known_costs: set[str] = set()

    def __repr__(self) -> str:
        return f"EndpointChat({self.role}, {self.name})"

    @property
    def stopped(self) -> str:
        """See `Chat`."""
        return self._sender.stopped

    @stopped.setter
    def stopped(self, sentence: str) -> None:
        self._sender.stopped = sentence

    async def ask(self, ask: Ask) -> Reply:
        """See `Chat`."""
        return await asyncio.wrap_future(event_loop.submit(self._ask(ask)))

    def ask_all(self, asks: Sequence[Ask], progress: Progress) -> list[Reply]:
        """See `Chat`; `progress` is called in the thread of the caller."""
        replies: list[Reply | None] = [None] * len(asks)
        results: SimpleQueue[tuple[int, Reply] | None] = SimpleQueue()
        asking = event_loop.submit(self._ask_all(asks, lambda place, reply: results.put((place, reply))))
        asking.add_done_callback(lambda _: results.put(None))
        done = 0
        try:
            while (result := results.get()) is not None:
                replies[result[0]] = result[1]
                done += 1
                progress(done, len(asks))
        finally:
            asking.cancel()
        asking.result()
        return [reply for reply in replies if reply is not None]

    def close(self) -> None:
        """Close connections and files; this also happens when the chat is garbage-collected."""
        event_loop.submit(self._sender.client.close()).result()
        self._responses.close()

    async def _ask(self, ask: Ask) -> Reply:
        question = self._question(ask)
        if question is None:
            return self._counted("", Reply("", failure=HALF_PAIR))
        return self._counted(question.key, await self._answered(question))

    def _counted(self, key: str, reply: Reply) -> Reply:
        """Count a reply. What an answer from the cache cost counts once, and not if it was paid for here."""
        reply = _again(reply) if key in self._known_costs and not reply.requests else reply
        self._known_costs.add(key)
        self.spent = self.spent.plus(reply)
        return reply

    async def _answered(self, question: Question) -> Reply:
        if (known := await self._stored(question)) is not None:
            return known
        return Reply("", failure=self._lacking(question)) if self.services.replay else await self._once(question)

    async def _stored(self, question: Question) -> Reply | None:
        """The reply that the cache has to a question; None if it has none, or one that does not fit its schema."""
        if (known := (await self._known([question.key])).get(question.key)) is None:
            return None
        return self._read(known, question)

    def _read(self, known: StoredAnswer, question: Question) -> Reply | None:
        checked = self._checked(known.text, known.cut, question.schema)
        return None if checked.wrong else checked.reply()._replace(known_cost=known.cost)

    async def _known(self, keys: Sequence[str]) -> dict[str, StoredAnswer]:
        return await asyncio.wrap_future(self._responses.find(keys))

    def _lacking(self, question: Question) -> str:
        words = " ".join(question.messages[-1].content.split()) if question.messages else ""
        words = words if len(words) <= SHOWN else f"{words[:SHOWN]}..."
        return f"llm.{self.role}: no answer is cached for {words!r}; run once without replay"

    async def _ask_all(self, asks: Sequence[Ask], give: Give) -> None:
        places: dict[str, list[int]] = {}
        questions: dict[str, Question] = {}

        def settle(key: str, reply: Reply) -> None:
            for place in places.pop(key):
                give(place, self._counted(key, reply))
                reply = _again(reply)

        for place, ask in enumerate(asks):
            question = self._question(ask)
            key = question.key if question is not None else f"unasked {place}"
            places.setdefault(key, []).append(place)
            if question is None:
                settle(key, Reply("", failure=HALF_PAIR))
            else:
                questions[key] = question
        for key, known in (await self._known(list(questions))).items():
            if (read := self._read(known, questions[key])) is not None:
                settle(key, read)
                del questions[key]
        if self.services.replay and questions:
            first, more = self._lacking(next(iter(questions.values()))), len(questions) - 1
            raise LlmStopped(f"{first}" + (f" ({more} more are missing)" if more else ""))
        await self._work_off(list(questions.values()), settle)

    async def _work_off(self, questions: Sequence[Question], settle: Callable[[str, Reply], None]) -> None:
        """Ask with `max_concurrency` workers."""
        left = iter(questions)
        unasked: set[str] = set()

        async def work() -> None:
            for question in left:
                reply = await self._once(question)
                if reply.failure and reply.failure == self.stopped:
                    unasked.add(question.key)
                settle(question.key, reply)

        workers = [asyncio.ensure_future(work()) for _ in range(min(self._llm.max_concurrency, len(questions)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        if unasked:
            raise LlmStopped(self.stopped)

    def _checked(self, text: str, cut: bool, schema: type[BaseModel] | None) -> CheckedAnswer:
        limit = GENERATOR_LIMIT if self.role == "generator" else f"llm.{self.role}.max_tokens"
        return check_answer(text, cut, schema, limit)

    def _question(self, ask: Ask, dialect: Dialect | None = None) -> Question | None:
        """Return the question with every default filled in; None if it cannot be encoded as UTF-8.

        Its key is made of what is really sent: a server that takes no temperature answers at its own.
        """
        known = self._sender.known_dialect.dialect if dialect is None else dialect
        rule = known.adapted(self._llm)
        limit = rule.max_tokens if ask.max_tokens is None else ask.max_tokens
        wanted = rule.temperature if ask.temperature is None else ask.temperature
        temperature = None if rule.temperature is None or wanted is None else known.temperature(float(wanted))
        seed = None if rule.seed is None else (rule.seed + ask.repeat) % SEEDS
        schema = None if ask.schema is None else _digest_of_schema(ask.schema)
        bound = None if known.limit is None else limit
        named = [rule.model, ask.messages, temperature, bound, rule.seed, schema, ask.repeat]
        try:
            key = digest_of([*named, rule.extras] if rule.extras else named)
        except UnicodeEncodeError:
            return None
        return Question(key, ask.messages, ask.schema, limit, temperature, seed, ask)

    async def _once(self, question: Question) -> Reply:
        """Ask, or wait for the answer if an equal question is being asked."""
        while (same := self._asking.get(question.key)) is not None:
            if (other := await asyncio.shield(same)) is not None:
                return _again(other)
        asking = self._asking[question.key] = asyncio.get_running_loop().create_future()
        reply = None
        try:
            async with self._slots:
                # Another process may have asked and paid since the cache was read for all questions.
                if (reply := await self._stored(question)) is not None:
                    return reply
                reply, written = await self._asked(question)
            await asyncio.shield(written)
        finally:
            del self._asking[question.key]
            asking.set_result(reply)
        return reply

    async def _asked(self, question: Question) -> tuple[Reply, asyncio.Future[None]]:
        """Return a reply, and the future that is done once it is stored."""
        tally = Tally()
        checked: CheckedAnswer | None = None
        try:
            checked = await self._checked_answer(question, tally)
        finally:
            good = checked is not None and not checked.wrong
            stored = None
            if checked is not None and good:
                stored = StoredAnswer(self._key(question, tally), checked.text, tally.cost, checked.cut)
            written = self._responses.write(self.services.run, self.role, tally.closed(), stored)
        prompt, new, dollars, _ = tally.cost
        reply = checked.reply()._replace(
            prompt_tokens=prompt, new_tokens=new, dollars=dollars, requests=len(tally.paid)
        )
        return reply, asyncio.wrap_future(written)

    def _key(self, question: Question, tally: Tally) -> str:
        """Return the key of what was sent in the end, which differs where the server refused a part of it."""
        sent = self._question(question.ask, tally.dialect) if question.ask is not None else None
        return question.key if sent is None else sent.key

    async def _checked_answer(self, question: Question, tally: Tally) -> CheckedAnswer:
        outcome = await self._sender.answer(question, tally)
        if isinstance(outcome, Fault):
            return CheckedAnswer("", wrong=outcome.what)
        checked = self._checked(outcome.text, outcome.cut, question.schema)
        if not checked.wrong or question.schema is None:
            return checked
        again = repair_messages(question.messages, outcome.text, checked.wrong, question.schema)
        repaired = await self._sender.answer(question._replace(messages=again), tally)
        if isinstance(repaired, Completion):
            checked = self._checked(repaired.text, repaired.cut, question.schema)
            return checked._replace(wrong=f"{checked.wrong}, after one repair") if checked.wrong else checked
        stops = repaired.kind == "stop"
        return CheckedAnswer("", wrong=repaired.what if stops else f"{checked.wrong}; its repair: {repaired.what}")


def _again(reply: Reply) -> Reply:
    """Return the reply to an equal question: it cost nothing more."""
    return reply._replace(prompt_tokens=0, new_tokens=0, dollars=0.0, requests=0, known_cost=RequestCost())


@lru_cache(maxsize=256)
def _digest_of_schema(schema: type[BaseModel]) -> str:
    return digest_of(json_schema_of(schema))
