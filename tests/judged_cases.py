"""Settings, answers and scripted judges for tests of judged measures."""

from __future__ import annotations

import json
from typing import Any

import judges

from harness.llm.protocol import Ask, Chat, Reply
from harness.llm.scripted import ScriptedChat
from harness.scoring import (
    AnswerSettings,
    JudgeSettings,
    QueryScore,
    ShownContext,
    score_answers,
)
from harness.suite.spec import Utility
from harness.values.measures import KINDS, parse
from harness.values.records import Answer, Reference

JUDGED = [name for name, kind in KINDS.items() if kind.judged]


IDENTITY = {"model": "scripted", "temperature": 0.0, "seed": 0, "max_tokens": 1024}


QUESTION = "Who wrote it?"


PASSAGES = ("Ada wrote it.", "It was long.")


def settings(chat: Chat, right: Any = "token_f1", threshold: float = 0.5, **judge: Any) -> AnswerSettings:
    judging = JudgeSettings(chat, IDENTITY, **judge)
    return AnswerSettings(Utility(right=right, threshold=threshold, wrong_cost=0.25), None, None, "", judging)


def score(name: str, chat: Chat, answer: str = "Ada did.", reference: str | None = "Ada.", **judge: Any) -> QueryScore:
    (found,) = score_all(name, settings(chat, **judge), {"q": answer}, {"q": reference}).values()
    return found


def score_all(
    name: str, of: AnswerSettings, answers: dict[str, str], references: dict[str, str | None] | None = None, **more: Any
) -> dict[str, QueryScore]:
    wanted = references or dict.fromkeys(answers, "Ada.")
    measure = parse(name)
    return score_answers(
        {query: Answer(query, text, 1, 1) for query, text in answers.items()},
        {query: Reference(query, (text,) if text else (), text is not None) for query, text in wanted.items()},
        [measure], of, more.pop("shown", {query: ShownContext(QUESTION, PASSAGES) for query in wanted}), **more,
    )[measure]  # fmt: skip


def nothing(ask: Ask) -> Reply:
    raise AssertionError("nothing is to be asked")


def by_form_of_rubric(value: Any) -> ScriptedChat:
    return ScriptedChat(lambda ask: json.dumps({"explanation": "e", "score": value}))


def anything_goes() -> ScriptedChat:
    """A judge that says yes to everything."""

    def answer(ask: Ask) -> str:
        assert ask.schema is not None
        name = ask.schema.__name__
        if name == "RubricVerdict":
            return json.dumps({"explanation": "e", "score": 1})
        data = judges.given(ask)
        if "statements" in data:
            return judges.verdicts(data["statements"], lambda one: True)
        return json.dumps(
            {
                "statements": ["s"], "claims": ["c"], "reason": "r", "verdict": 1, "question": "q", "noncommittal": 0,
                "classifications": [{"statement": "s", "reason": "r", "attributed": 1}],
            }
        )  # fmt: skip

    return ScriptedChat(answer)
