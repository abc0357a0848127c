"""Messages as clients send them, read as turns of a conversation."""

from __future__ import annotations

from typing import Any

from harness.serving.app import Refused
from harness.values.records import Turn

IGNORED_ROLES = ("system", "developer", "tool", "function")
TEXTS = ("text", "input_text", "output_text")


def read_messages(messages: Any, name: str = "messages") -> tuple[list[Turn], list[str]]:
    """Return the turns of user and assistant that have a text, and what was left out.

    An empty last message of the user is kept. Raises Refused, with the place below `name`.
    """
    if not isinstance(messages, list) or not messages:
        raise Refused(400, f"{name!r} is not a list with messages in it", param=name)
    turns: list[Turn] = []
    ignored: list[str] = []
    for number, message in enumerate(messages):
        where = f"{name}[{number}]"
        if not isinstance(message, dict):
            raise Refused(400, f"{where} is not an object with a role and a content", param=where)
        role = message.get("role")
        if role in IGNORED_ROLES:
            ignored.append(f"messages of the role {role}")
            continue
        if role not in ("user", "assistant"):
            raise Refused(400, f"{where}: unknown role {role!r}; it is user or assistant", param=where)
        text = _text(message.get("content"), where)
        last = number == len(messages) - 1
        if text.strip() or (last and role == "user"):
            turns.append(Turn("user" if role == "user" else "assistant", text))
    return turns, ignored


def _text(content: Any, where: str) -> str:
    """The text of a content: a text, or a list of parts that are texts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Refused(400, f"{where}.content is neither a text nor a list of parts", param=f"{where}.content")
    return "\n".join(_part(part, f"{where}.content[{number}]") for number, part in enumerate(content))


def _part(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if kind in TEXTS and isinstance(part.get("text"), str):
        return str(part["text"])
    raise Refused(400, f"{where} is no text; this system reads text alone", param=where)
