"""The JSON body of a request: what a role sends, in the dialect of its server. Must not make requests."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel

from harness.llm.address import filled
from harness.llm.dialects import Dialect
from harness.llm.protocol import Ask, Message
from harness.llm.structured import response_format
from harness.suite.roles import Llm


class Question(NamedTuple):
    """A question with every default filled in; `key` is its key in the cache. A setting of None is not sent."""

    key: str
    messages: tuple[Message, ...]
    schema: type[BaseModel] | None
    max_tokens: int
    temperature: float | None
    seed: int | None
    ask: Ask | None = None


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
