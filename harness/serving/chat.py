"""OpenAI's chat protocol: requests are read leniently where that changes nothing, responses have one more field, `rag`.

A served system is the one that was measured, so a request cannot change it: what would is left out and named in
`rag.ignored`. What the protocol promises and a system cannot do is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from harness.execution.served_system import Served
from harness.serving.app import App, Refused, milliseconds, passages
from harness.serving.messages import read_messages
from harness.values.records import Turn

OWNER = "rag-tuning-harness"
READ = ("model", "messages", "stream", "stream_options", "n")
QUIET = ("user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier")
"""Parameters that say nothing about the answer, so it need not be said that they are not read."""
HARMLESS: Mapping[str, Sequence[Any]] = {
    "response_format": ({"type": "text"},), "logprobs": (False,), "modalities": (["text"],),
    "tool_choice": ("none", "auto"), "tools": ([],), "functions": ([],), "function_call": ("none", "auto"),
}  # fmt: skip
"""Parameters that change the form of the answer, with the values that ask for plain text."""
CAN_BE_IGNORED = ("tools", "functions")
"""A model may always leave its tools alone."""


class ChatRequest(NamedTuple):
    """A question to a system after earlier turns; `usage` asks a stream for the count of tokens.

    `ignored` names what was sent and is not read.
    """

    system: str
    question: str
    turns: tuple[Turn, ...]
    stream: bool
    usage: bool
    ignored: tuple[str, ...]


def parse(body: Any, app: App) -> ChatRequest:
    """Read the body of a request. Raises Refused with what is wrong and where."""
    if not isinstance(body, dict):
        raise Refused(400, 'the body is not a JSON object; send {"messages": [...]}')
    system = body.get("model") or app.first
    if not isinstance(system, str):
        raise Refused(400, "'model' is not a text; name a system", param="model")
    stream = body.get("stream") or False
    if not isinstance(stream, bool):
        raise Refused(400, "'stream' is neither true nor false", param="stream")
    _check_form(body)
    turns, ignored = read_messages(body.get("messages"))
    if not turns or turns[-1].role != "user":
        raise Refused(400, "the last message is not one of the user; end with the question", param="messages")
    options = body.get("stream_options") or {}
    usage = isinstance(options, dict) and bool(options.get("include_usage"))
    ignored += [name for name in body if name not in (*READ, *QUIET) and not _says_nothing(name, body[name])]
    return ChatRequest(
        app.named(system), turns[-1].content, tuple(turns[:-1]), stream, usage, tuple(sorted({*ignored}))
    )


def _check_form(body: Mapping[str, Any]) -> None:
    if body.get("n") not in (None, 1):
        raise Refused(400, "'n' is not 1; a system gives one answer", param="n")
    for name, harmless in HARMLESS.items():
        value = body.get(name)
        if value is not None and name not in CAN_BE_IGNORED and value not in harmless:
            raise Refused(400, f"{name!r} asks for what this system cannot give; leave it out", param=name)


def _says_nothing(name: str, value: Any) -> bool:
    return value is None or value in HARMLESS.get(name, ())


class Response(NamedTuple):
    """What a response says, with an identifier and the seconds since 1970 of its creation."""

    request: ChatRequest
    served: Served
    label: str
    identifier: str
    created: int

    @property
    def text(self) -> str:
        """The answer; empty without a generator."""
        return self.served.reply.text if self.served.reply else ""

    @property
    def ended(self) -> str:
        """Why the answer ended."""
        return "length" if self.served.reply and self.served.reply.cut else "stop"

    @property
    def rag(self) -> dict[str, Any]:
        """The field that the protocol does not have."""
        return {
            "system": self.label, "searched": self.served.searched, "answered": self.served.reply is not None,
            "milliseconds": milliseconds(self.served), "ignored": list(self.request.ignored),
            "passages": passages(self.served),
        }  # fmt: skip

    @property
    def usage(self) -> dict[str, int]:
        """The tokens of the generator."""
        read, new = (self.served.reply.prompt_tokens, self.served.reply.new_tokens) if self.served.reply else (0, 0)
        return {"prompt_tokens": read, "completion_tokens": new, "total_tokens": read + new}

    def whole(self) -> dict[str, Any]:
        """Return the response in one piece."""
        message = {"role": "assistant", "content": self.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.ended}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage, "rag": self.rag}

    def events(self) -> Iterator[str]:
        """Yield the response as server-sent events: the answer in one piece, then `rag` with the end, then [DONE]."""
        pieces: list[tuple[dict[str, Any], str | None]] = [
            ({"role": "assistant", "content": ""}, None), ({"content": self.text}, None), ({}, self.ended),
        ]  # fmt: skip
        for delta, ended in pieces:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ended}
            chunk = {**self._head("chat.completion.chunk"), "choices": [choice]}
            chunk |= {"usage": None} if self.request.usage else {}
            yield _event({**chunk, "rag": self.rag} if ended else chunk)
        if self.request.usage:
            yield _event({**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage})
        yield "data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.identifier, "object": kind, "created": self.created, "model": self.request.system}


def _event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def models(app: App, created: int) -> dict[str, Any]:
    """Return the list of systems."""
    return {"object": "list", "data": [model(name, app, created) for name in app.systems]}


def model(name: str, app: App, created: int) -> dict[str, Any]:
    """Return one system. Raises Refused if it is not served."""
    name = app.named(name)
    system = app.systems[name]
    about = {"label": system.label, "answers": system.answers, "passages": system.passages}
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER, "rag": about}
