"""Answers, references and settings for tests of answer measures."""

from __future__ import annotations

from harness.scoring import AnswerSettings, QueryScore, score_answers
from harness.suite.spec import AnswerFormat, Utility
from harness.values.measures import Measure, parse
from harness.values.records import Answer, Reference

PATTERN = r"(?:Use )?(?P<key>scipy(?:\.\w+)+)\.?"


PLAIN = AnswerSettings(
    Utility(right="token_f1", threshold=0.5, wrong_cost=0.25), AnswerFormat(pattern=PATTERN), None, ""
)


def measures(*names: str) -> list[Measure]:
    return [parse(name) for name in names]


def answered(**texts: str) -> dict[str, Answer]:
    return {query_id: Answer(query_id, text, 1, 1) for query_id, text in texts.items()}


def referred(**answers: str | None) -> dict[str, Reference]:
    """References by query; None is a question without an answer."""
    return {
        query_id: Reference(query_id, () if text is None else tuple(text.split("|")), text is not None)
        for query_id, text in answers.items()
    }


def values(name: str, answer: str, reference: str | None, settings: AnswerSettings = PLAIN) -> QueryScore:
    return score_answers(answered(q=answer), referred(q=reference), measures(name), settings)[parse(name)]["q"]
