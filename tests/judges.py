"""Scripted judges for ragas' prompts: they answer from what is planted, and read no meaning."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from harness.llm.protocol import Ask, Reply
from harness.llm.scripted import ScriptedChat

MARK = "Now perform the same with the following input\ninput: "
Plan = Callable[[str, str], list[bool] | Reply]
"""Question and answer -> which statements the passages support, or how the judge fails."""


def given(ask: Ask) -> dict[str, Any]:
    """The input of one of ragas' prompts."""
    return given_in(ask.messages[-1].content)


def given_in(text: str) -> dict[str, Any]:
    """The input that the text of one of ragas' prompts holds."""
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index(MARK) + len(MARK) :])[0]
    return found


def verdicts(statements: list[str], supported: Callable[[str], bool]) -> str:
    rows = [{"statement": one, "reason": "planted", "verdict": int(supported(one))} for one in statements]
    return json.dumps({"statements": rows})


def faithful(plan: Plan) -> ScriptedChat:
    """A judge of faithfulness that finds as many statements as planned and supports those that are to be."""

    def answer(ask: Ask) -> str | Reply:
        asked = given(ask)
        if "statements" in asked:
            return verdicts(asked["statements"], lambda one: one.startswith("yes"))
        planned = plan(asked["question"], asked["answer"])
        if isinstance(planned, Reply):
            return planned
        return json.dumps({"statements": [f"{'yes' if one else 'no'} {number}" for number, one in enumerate(planned)]})

    return ScriptedChat(answer)


def share_of(value: float, statements: int) -> list[bool]:
    """Statements of which this share is supported."""
    return [number < round(value * statements) for number in range(statements)]
