"""Asking a model at an endpoint from a stage: which settings enter the key, and how failures are counted.

Must not know where a model is served; see `llm.services`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import Field

from harness.llm import Spent
from harness.suite.fields import Spec
from harness.values.records import Usage

REASONS_SHOWN = 6
FAILED_SHARE = 0.5
MENDED = "answers whose JSON was mended"


class Endpoint(Spec):
    """The settings of a role that can change its answers: its identity, and the full texts of its prompts."""

    model: str
    temperature: float | None
    seed: int | None
    max_tokens: int
    prompts: Mapping[str, str] = Field(default_factory=dict)
    reasoning_effort: str | None = None
    extra_body: Mapping[str, Any] = Field(default_factory=dict)
    headers: Mapping[str, str] = Field(default_factory=dict)
    query: Mapping[str, str] = Field(default_factory=dict)
    system_turn: bool = True


class MayAskEndpoint(Spec):
    """Base of the specs of stages that may ask an endpoint; without one, they ask a model in process."""

    endpoint: Endpoint | None = None


def sound(text: str) -> str:
    """The text with what cannot be written to a file (half of a surrogate pair) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def fresh() -> int:
    """A repeat number from the clock, for a question that must not be answered from the cache.

    It counts microseconds, below 2**30, as it may become part of a seed of 32 bits.
    """
    return time.time_ns() // 1000 % 2**30


def reasons(what: str, failed: Counter[str]) -> dict[str, int]:
    """Counts by reason for the notes, the most common by name and the others together."""
    common = failed.most_common(REASONS_SHOWN)
    rest = failed.total() - sum(count for _, count in common)
    return {f"{what}: {reason}": count for reason, count in common} | ({f"{what}: other reasons": rest} if rest else {})


def check_failures(what: str, failed: Counter[str], asked: int) -> None:
    """Raise ValueError if more than half of what was asked failed."""
    if failed.total() > FAILED_SHARE * asked:
        first = next(iter(failed))
        raise ValueError(
            f"{failed.total()} of {asked} {what} failed, more than half (the first: {first}); {remedy(first)}"
        )


def remedy(reason: str) -> str:
    """What to do about questions that failed, by the reason of the first of them."""
    if reason.startswith("refused"):
        return "the model declines such questions; take another one, or word the prompt in another way"
    if found := re.search(r"answers(?: an error of)? (4\d\d)", reason):
        return f"correct what the server refuses ({found[1]}): running again would be refused again"
    if "only thought" in reason or "max_tokens" in reason or "tokens" in reason.split("where")[0]:
        return "raise max_tokens, or let the model think less"
    if any(word in reason for word in ("JSON", "not of the form", "field", "Input should", "no query")):
        return "use a more capable model, or structured: schema where its server knows schemas"
    if any(word in reason for word in ("no answer within", "no connection", "answers 5", "stream ended")):
        return "see that the server is up and steady, and run again to ask for these only"
    return "run again to ask for these only, or use a more capable or more steady model"


class Paid(Protocol):
    """A chat, or a client of a served model: it knows what it has used."""

    @property
    def spent(self) -> Spent: ...


def usage(units: int, chat: Paid, notes: Mapping[str, Any]) -> Usage:
    """What a stage used of a chat, or of a served model, that only it has asked.

    Answers from the cache count at what they cost when they were asked: an artifact costs the same if it is made in
    several attempts.
    """
    spent = chat.spent
    cost = spent.cost_of_answers
    counted = {"asked of the endpoint": spent.asked, "of these known from the cache": spent.known}
    counted |= {MENDED: spent.mended} if spent.mended else {}
    return Usage(
        units, spent.requests, cost.prompt_tokens, cost.new_tokens, {**notes, **counted}, cost.dollars,
        known=spent.known_share,
    )  # fmt: skip
