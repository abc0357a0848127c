"""Questions to a language model and their replies, and the protocol `Chat` of everything that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel

from harness.values.records import Progress


class Message(NamedTuple):
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Ask:
    """One question.

    With `schema`, the answer must be JSON that this pydantic model accepts. `max_tokens` and `temperature` default to
    those of the role. Equal questions are asked once, unless `repeat` differs.
    """

    messages: tuple[Message, ...]
    schema: type[BaseModel] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    repeat: int = 0


class RequestCost(NamedTuple):
    """Tokens of prompt and answer, and their price in dollars; `counted` if the server counted the tokens itself."""

    prompt_tokens: int = 0
    new_tokens: int = 0
    dollars: float = 0.0
    counted: bool = True

    @property
    def tokens(self) -> int:
        """Tokens of prompt and answer together, as a budget counts them."""
        return self.prompt_tokens + self.new_tokens

    def plus(self, other: RequestCost) -> RequestCost:
        """Return the sum of two costs."""
        return RequestCost(
            self.prompt_tokens + other.prompt_tokens, self.new_tokens + other.new_tokens, self.dollars + other.dollars,
            self.counted and other.counted,
        )  # fmt: skip

    def less(self, other: RequestCost) -> RequestCost:
        """Return this cost without another one that is part of it."""
        return self.plus(RequestCost(-other.prompt_tokens, -other.new_tokens, -other.dollars))

    def divided(self, count: int) -> list[RequestCost]:
        """Return the shares of what was asked together: equal ones, but that all tokens are counted."""

        def shares(tokens: int) -> list[int]:
            return [tokens // count + (place < tokens % count) for place in range(count)]

        return [
            RequestCost(*tokens, self.dollars / count, self.counted)
            for tokens in zip(shares(self.prompt_tokens), shares(self.new_tokens), strict=True)
        ]


class Reply(NamedTuple):
    """A checked text with its `value` where a schema was given; or an empty text and the reason of the `failure`.

    Tokens and dollars are those of all requests for it, failed ones and the repair included. `requests` counts them; it
    is 0 if the answer came from the cache, and `known_cost` is what it cost when it was asked. `thought` was removed
    from the text. `cut` says that the answer ended at `max_tokens`, `mended` that damage in its JSON was repaired.
    """

    text: str
    value: Any = None
    failure: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    dollars: float = 0.0
    requests: int = 0
    thought: str = ""
    cut: bool = False
    mended: bool = False
    known_cost: RequestCost = RequestCost()


class Spent(NamedTuple):
    """What a chat has used: questions asked, of these failed and `known` from the cache; requests, tokens, dollars.

    `mended` counts answers whose JSON was repaired. `known_cost` is what was paid earlier for those from the cache.
    """

    asked: int = 0
    failed: int = 0
    known: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    dollars: float = 0.0
    mended: int = 0
    known_cost: RequestCost = RequestCost()

    @property
    def cost_of_answers(self) -> RequestCost:
        """What all answers cost, whoever paid for them: those from the cache as well."""
        return RequestCost(self.prompt_tokens, self.new_tokens, self.dollars).plus(self.known_cost)

    @property
    def known_share(self) -> float:
        """The share of what was asked that the cache held."""
        return self.known / self.asked if self.asked else 0.0

    def since(self, before: Spent) -> Spent:
        """Return what was used after `before`."""
        return Spent(
            self.asked - before.asked, self.failed - before.failed, self.known - before.known,
            self.requests - before.requests, self.prompt_tokens - before.prompt_tokens,
            self.new_tokens - before.new_tokens, self.dollars - before.dollars, self.mended - before.mended,
            self.known_cost.less(before.known_cost),
        )  # fmt: skip

    def plus(self, reply: Reply) -> Spent:
        """Return the sums with one more reply."""
        known = reply.requests == 0 and not reply.failure
        return Spent(
            self.asked + 1, self.failed + bool(reply.failure), self.known + known, self.requests + reply.requests,
            self.prompt_tokens + reply.prompt_tokens, self.new_tokens + reply.new_tokens, self.dollars + reply.dollars,
            self.mended + reply.mended, self.known_cost.plus(reply.known_cost),
        )  # fmt: skip


class Chat(Protocol):
    """A language model in a role.

    `stopped` is empty, or the sentence that says why nothing more is asked: the endpoint is dead, refuses the key, or a
    budget is spent. Later questions fail with it at once.
    """

    name: str
    spent: Spent
    stopped: str

    async def ask(self, ask: Ask) -> Reply:
        """Answer one question; never raises for a fault of the model or its endpoint."""
        ...

    def ask_all(self, asks: Sequence[Ask], progress: Progress) -> list[Reply]:
        """Answer questions, many at a time, and return the replies in the order of the questions.

        Raises `harness.errors.LlmStopped` if `stopped`; answers until then stay in the cache.
        """
        ...
