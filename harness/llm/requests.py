"""The JSON body of a request: what a role sends, in the dialect of its server. Must not make requests."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel

from harness.llm import completions
from harness.llm.address import COMPLETIONS, filled
from harness.llm.completions import Redaction
from harness.llm.dialects import Dialect
from harness.llm.faults import Completion, Fault, RequestContext
from harness.llm.protocol import Ask, Message
from harness.llm.structured import response_format
from harness.suite.roles import Llm

BYTES_PER_TOKEN = 3
"""Bytes of UTF-8 per token: English has four to five, Chinese about three. Low, as the estimate bounds spending."""
TOKENS_PER_MESSAGE = 8
LONGEST = 8
"""Characters per token of an answer, at most; beyond it the server ignores `max_tokens`. Words of some languages and
runs of spaces are tokens of about this length."""
SLACK = 200


class Sendable(Protocol):
    """What the sender asks a server: a question to a language model, or texts to embed or to score.

    `key` names it in the record of spending, `path` follows the base URL, `max_tokens` bounds the new tokens.
    """

    @property
    def key(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def schema(self) -> type[BaseModel] | None: ...

    @property
    def max_tokens(self) -> int: ...

    def body(self, llm: Llm, dialect: Dialect, send_schema: bool) -> dict[str, Any]:
        """Return the body of a request."""

    def read(self, content: bytes, asked: RequestContext, clean: Redaction) -> Completion | Fault:
        """Return what the body of a response of status 200 holds, or the fault that it is."""

    def prompt_tokens(self, body: dict[str, Any]) -> int:
        """Estimate the tokens of a body, rather too high."""


class Question(NamedTuple):
    """A question with every default filled in; `key` is its key in the cache. A setting of None is not sent."""

    key: str
    messages: tuple[Message, ...]
    schema: type[BaseModel] | None
    max_tokens: int
    temperature: float | None
    seed: int | None
    ask: Ask | None = None

    @property
    def path(self) -> str:
        """See `Sendable`."""
        return COMPLETIONS

    def body(self, llm: Llm, dialect: Dialect, send_schema: bool) -> dict[str, Any]:
        """See `request_body`."""
        return request_body(llm, dialect, self, send_schema)

    def read(self, content: bytes, asked: RequestContext, clean: Redaction) -> Completion | Fault:
        """Return the completion, or a fault in place of one that is far longer than was allowed."""
        return _sized(completions.read(content, asked, clean), self.max_tokens)

    def prompt_tokens(self, body: dict[str, Any]) -> int:
        """See `Sendable`."""
        messages = body["messages"]
        extra = rough_tokens(str(body["response_format"])) if "response_format" in body else 0
        return sum(rough_tokens(message["content"]) + TOKENS_PER_MESSAGE for message in messages) + extra


def request_body(llm: Llm, dialect: Dialect, question: Question, send_schema: bool) -> dict[str, Any]:
    """Return the body of a request; with `send_schema` it holds the schema of the answer."""
    messages = [message._asdict() for message in question.messages]
    if not llm.system_turn or "system" in dialect.instead:
        messages = without_system(messages)
    body: dict[str, Any] = {**filled(llm.extra_body), "model": llm.model, "messages": messages}
    temperature = None if llm.temperature is None else dialect.temperature(question.temperature)
    if temperature is not None:
        body["temperature"] = temperature
    if dialect.limit is not None:
        body[dialect.limit] = question.max_tokens
    if question.seed is not None and "seed" not in dialect.instead:
        body["seed"] = question.seed
    if llm.reasoning_effort is not None:
        body["reasoning_effort"] = llm.reasoning_effort
    if send_schema and question.schema is not None and "response_format" not in dialect.instead:
        rule = response_format(question.schema)
        body |= {"response_format": rule} if rule is not None else {}
    if dialect.instead.get("stream", llm.stream) is True and llm.stream is not False:
        body["stream"] = True
        body |= {} if "stream_options" in dialect.instead else {"stream_options": {"include_usage": True}}
    return body


def without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the messages with their system turns moved to the front of the first user turn."""
    instructions = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not instructions:
        return messages
    first = next((number for number, message in enumerate(others) if message["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": "\n\n".join(instructions)}, *others]
    merged = {"role": "user", "content": "\n\n".join([*instructions, others[first]["content"]])}
    return [*others[:first], merged, *others[first + 1 :]]


def rough_tokens(text: str) -> int:
    """Estimate the tokens of a text, rather too high."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _sized(outcome: Completion | Fault, max_tokens: int) -> Completion | Fault:
    if not isinstance(outcome, Completion):
        return outcome
    tokens, characters = (outcome.new_tokens or 0) - outcome.thought_tokens, len(outcome.text)
    if tokens <= LONGEST * max_tokens and characters <= LONGEST * max_tokens + SLACK:
        return outcome
    size = f"{characters} characters" if characters > SLACK else f"{tokens} tokens"
    return Fault("question", f"an answer of {size} where max_tokens is {max_tokens}", paid=outcome)
