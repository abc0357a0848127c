"""Endpoints that take no system turn: how they say so, and the same chat without one.

Must not know how requests are made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.llm.asking import Message

REFUSING = (400, 422, 500)
"""Statuses with which servers refuse a chat; some let the error of their template through as one of their own."""
_REFUSES_SYSTEM = re.compile(
    r"system\W{0,3}(?:role|message|prompt|instruction|turn)s?\b.{0,40}\b(?:not|isn't|doesn't|unsupported|invalid)|"
    r"(?:not|n't) (?:support|allow|accept|permit|recogni[sz]e)\w*.{0,40}\bsystem\b|"
    r"(?:unsupported|unexpected|invalid|unknown|illegal)\b.{0,60}\bsystem\b|"
    r"\bsystem\b.{0,60}\b(?:unsupported|not (?:supported|allowed|enabled|permitted|accepted|valid))|"
    r"developer instruction is not enabled|"
    r"roles? must alternate|must alternate between|only (?:the )?[\w\W]{0,6}user\b.{0,40}\broles?\b.{0,40}support|"
    r"(?:first|conversation)\b.{0,30}\b(?:must|should) (?:be|start|begin)\b.{0,20}\buser",
    re.I | re.S,
)


def refuses_system(status: int, said: str, messages: Sequence[Message]) -> bool:
    """Whether a refusal says that a chat must not hold the system turn that this one begins with."""
    begins = bool(messages) and messages[0].role == "system" and len(messages) > 1
    return begins and status in REFUSING and _REFUSES_SYSTEM.search(said) is not None


def folded(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The chat with its system text before the first user's, a blank line between."""
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return tuple(messages)
    system, user, *rest = messages
    return (user._replace(content=f"{system.content}\n\n{user.content}"), *rest)
