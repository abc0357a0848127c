"""Read the completion in a response of status 200, in any of the shapes that servers give it, whole or streamed.

The content may be a text or a list of parts, thoughts may lie beside it, and it may wrap an error. Must not know how
requests are made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from harness.llm.faults import Completion, Fault, RequestContext, ServerError, error_in, fault_of, status_of
from harness.llm.usage import TokenCounts, token_counts

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_text")
THINKING_PARTS = ("thinking", "reasoning", "redacted_thinking")
ONLY_THOUGHT = (
    "the model only thought and wrote no answer; raise max_tokens (of a generator: pipeline.generator.max_new_tokens), "
    "or let it think less: reasoning_effort, or extra_body as its server wants it, such as "
    "{chat_template_kwargs: {enable_thinking: false}}"
)
STREAM_ENDED = "the stream ended before the answer did"
CUT = ("length", "max_tokens", "MAX_TOKENS")
FILTERED = ("content_filter", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "sensitive")


class Redaction(NamedTuple):
    """How texts of a server are made fit to print: `scrub` removes secrets; `short` also shortens."""

    scrub: Callable[[str], str]
    short: Callable[[str], str]


class MessageContent(NamedTuple):
    """The content of a message: text, thoughts, a refusal, and the name of a tool that was called instead."""

    text: str = ""
    thought: str = ""
    refusal: str = ""
    tool: str = ""


def read(content: bytes, asked: RequestContext, clean: Redaction) -> Completion | Fault:
    """Return the completion in the body of a response of status 200, or the fault that it is."""
    try:
        whole = _whole(content.decode("utf-8", "replace").removeprefix("\ufeff"))
        choice = _choice(whole)
        message = _said(choice)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return no_answer(content, asked, clean)
    ended = choice.get("finish_reason")
    if not message.text.strip() and (error := error_in(choice.get("error") or whole.get("error"))):
        return _wrapped(error, asked, clean)
    usage = token_counts(whole.get("usage") or choice.get("usage") or whole.get("usageMetadata") or whole)
    answer = _answer(clean.scrub(message.text), ended, usage)
    if message.refusal or ended in FILTERED:
        why = clean.short(message.refusal) if message.refusal else "by a content filter"
        return Fault("refused", f"refused: {why}", paid=answer)
    if answer.text.strip():
        if ended == "error" or whole.get("ended early"):
            return Fault("again", STREAM_ENDED, paid=answer)
        return answer
    if message.thought.strip() or (answer.cut and usage.thought):
        return Fault("question", ONLY_THOUGHT, paid=answer)
    if message.tool:
        return Fault(
            "question", f"the model called the tool {clean.short(message.tool)!r} and wrote no answer", paid=answer
        )
    if answer.cut:
        return Fault("question", "no text within max_tokens", "raise max_tokens", paid=answer)
    return Fault("again", "the answer is empty", paid=answer)


def _answer(text: str, ended: Any, usage: TokenCounts) -> Completion:
    return Completion(text, ended in CUT, usage.prompt, usage.new, usage.cached, usage.thought)


def no_answer(
    content: bytes, asked: RequestContext, clean: Redaction, wanted: str = "a chat completion", field: str = "choices"
) -> Fault:
    """Return the fault of a body that is not what is `wanted`: an error in a status of 200, or something else.

    What is wanted has the field `field`.
    """
    text = content.decode("utf-8", "replace")
    if not text.strip():
        return Fault("again", "answers with an empty body in a status of 200")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    known = isinstance(body, Mapping | list)
    error = error_in(body) if known and not (isinstance(body, Mapping) and body.get(field)) else None
    if error is not None:
        return _wrapped(error, asked, clean)
    return Fault("dead", f"does not answer with {wanted}: {clean.short(text)}")


def _wrapped(error: ServerError, asked: RequestContext, clean: Redaction) -> Fault:
    status = status_of(error)
    description = f"answers an error of {status}" if status else "answers an error"
    return fault_of(status, error, f"{description} in a status of 200: {clean.short(error.message)}", asked)


def _choice(whole: Mapping[str, Any]) -> Mapping[str, Any]:
    choice = whole["choices"][0]
    if not isinstance(choice, Mapping):
        raise TypeError("no choice")
    return choice


def _said(choice: Mapping[str, Any]) -> MessageContent:
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        # The older kind of completion, which some gateways give.
        return MessageContent(choice["text"])
    if not isinstance(message, Mapping):
        if choice.get("error"):
            return MessageContent()
        raise TypeError("no message")
    texts: list[str] = []
    thoughts: list[str] = []
    for text, is_thought in _parts(message.get("content")):
        (thoughts if is_thought else texts).append(text)
    thoughts += [thought for name in THOUGHTS if isinstance(thought := message.get(name), str)]
    calls, refusal = message.get("tool_calls") or [message.get("function_call")], message.get("refusal")
    return MessageContent(
        "".join(texts), "\n".join(thoughts), refusal if isinstance(refusal, str) else "refused" if refusal else "",
        next((_tool(call) for call in calls if isinstance(call, Mapping)), ""),
    )  # fmt: skip


def _tool(call: Mapping[str, Any]) -> str:
    function = call.get("function")
    name = function.get("name") if isinstance(function, Mapping) else call.get("name")
    return str(name or "of no name")


def _parts(content: Any) -> Iterator[tuple[str, bool]]:
    """Texts of a content, each with whether it is a thought."""
    if isinstance(content, str):
        yield content, False
    for part in content if isinstance(content, list) else [content] if isinstance(content, Mapping) else []:
        if isinstance(part, str):
            yield part, False
        elif isinstance(part, Mapping):
            thought = part.get("type") in THINKING_PARTS
            text = part.get("thinking") if thought and "thinking" in part else part.get("text")
            if isinstance(text, Mapping):
                text = text.get("value")
            if isinstance(text, list):
                yield "".join(text for text, _ in _parts(text)), thought
            elif isinstance(text, str):
                yield text, thought


def _whole(text: str) -> dict[str, Any]:
    """The body; that of a stream is put together as if it had come at once."""
    start = text.lstrip()
    if start.startswith(("data:", "event:", ":", "id:")):
        return _joined(list(_events(start)))
    whole = json.loads(text)
    if not isinstance(whole, dict):
        raise TypeError("no object")
    return whole


def _events(text: str) -> Iterator[Any]:
    """What the lines of server-sent events hold; None for the last of them."""
    for line in text.splitlines():
        if line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                yield None
            elif data:
                yield json.loads(data)


def _joined(events: list[Any]) -> dict[str, Any]:
    """One completion out of the pieces of a stream. Raises ValueError if a piece is an error."""
    message: dict[str, Any] = {"content": ""}
    ended: Any = None
    usage: Any = None
    error: Any = None
    for event in events:
        if not isinstance(event, Mapping):
            continue
        error = error or event.get("error")
        usage = event.get("usage") or usage
        for choice in event.get("choices") or []:
            ended = choice.get("finish_reason") or ended
            usage = choice.get("usage") or usage
            _add(message, choice.get("delta") or choice.get("message") or {})
    choice = {"message": message, "finish_reason": ended}
    if error is not None:
        # What came before an error is no answer.
        return {"choices": [{"message": {}, "error": error}], "usage": usage}
    return {"choices": [choice], "usage": usage, "ended early": ended is None and None not in events}


def _add(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add what one piece brings to the message."""
    for text, is_thought in _parts(delta.get("content")):
        name = "reasoning" if is_thought else "content"
        message[name] = message.get(name, "") + text
    for name in (*THOUGHTS, "refusal"):
        if isinstance(more := delta.get(name), str):
            message[name] = message.get(name, "") + more
    if delta.get("tool_calls"):
        message.setdefault("tool_calls", delta["tool_calls"])
