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


class Reply(NamedTuple):
    """A checked text with its `value` where a schema was given; or an empty text and the reason of the `failure`.

    Tokens and dollars are those of all requests for it, failed ones and the repair included. `requests` counts them; it
    is 0 if the answer came from the cache. `thought` was removed from the text. `cut` says that the answer ended at
    `max_tokens`, `mended` that damage in its JSON was repaired.
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


class Spent(NamedTuple):
    """What a chat has used: questions asked, of these failed and `known` from the cache; requests, tokens, dollars.

    `mended` counts answers whose JSON was repaired.
    """

    asked: int = 0
    failed: int = 0
    known: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    dollars: float = 0.0
    mended: int = 0

    def plus(self, reply: Reply) -> Spent:
        """Return the sums with one more reply."""
        known = reply.requests == 0 and not reply.failure
        return Spent(
            self.asked + 1, self.failed + bool(reply.failure), self.known + known, self.requests + reply.requests,
            self.prompt_tokens + reply.prompt_tokens, self.new_tokens + reply.new_tokens, self.dollars + reply.dollars,
            self.mended + reply.mended,
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
