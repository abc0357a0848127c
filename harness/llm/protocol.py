"""What is asked of a language model and what comes of it: the values, and the protocol of whoever answers."""

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

    With `schema`, the answer must be JSON of this form. `max_tokens` and `temperature` default to those of the role.
    Equal questions are asked once, unless `repeat` tells them apart.
    """

    messages: tuple[Message, ...]
    schema: type[BaseModel] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    repeat: int = 0


class Reply(NamedTuple):
    """A checked text, and its `value` where a form was asked for; or the reason of the failure, and an empty text.

    Tokens and dollars are those of every request that was made for it, failed ones and the repair included; `requests`
    counts these, and is 0 if the answer was known already. `thought` was removed from the text; `cut` says that it was
    cut at `max_tokens`, `mended` that its JSON had damage with one reading.
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
    """What a chat has used: questions asked, of these failed and known already; requests made, tokens, dollars.

    `mended` counts answers whose JSON had damage with one reading.
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
        """With one more reply."""
        known = reply.requests == 0 and not reply.failure
        return Spent(
            self.asked + 1, self.failed + bool(reply.failure), self.known + known, self.requests + reply.requests,
            self.prompt_tokens + reply.prompt_tokens, self.new_tokens + reply.new_tokens, self.dollars + reply.dollars,
            self.mended + reply.mended,
        )  # fmt: skip


class Chat(Protocol):
    """A language model in a role.

    `stopped` is empty, or the one sentence why nothing more is asked: the endpoint is dead, refuses the key, or a
    budget is spent. Questions that come later fail with it at once.
    """

    name: str
    spent: Spent
    stopped: str

    async def ask(self, ask: Ask) -> Reply:
        """Answer one question; never raises for a fault of the model or its endpoint."""
        ...

    def ask_all(self, asks: Sequence[Ask], progress: Progress) -> list[Reply]:
        """Answer questions in their order, many at a time, and tell the progress.

        Raises `harness.errors.LlmStopped` if `stopped`: what was answered until then is kept in the cache.
        """
        ...
