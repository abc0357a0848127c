"""Values that scoring takes and returns: settings, contexts shown to a judge, scores or the reasons why there are none.

These values know no measure's rules; they only select the queries that a measure is defined on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.llm.protocol import Chat
from harness.scoring.abstention import AbstentionRule
from harness.suite.spec import AnswerFormat, Utility
from harness.text import ENGLISH
from harness.values.measures import Measure
from harness.values.records import Answer, Reference, Status

NO_ANSWER = "no answer was written"
NO_REFERENCE = "the question has no reference answer"
NO_JUDGE = "no judge configured"
ABSTAINED = "abstained"
NO_PASSAGES = "no passages were shown"


class QueryScore(NamedTuple):
    """The score of one query on one measure: the value, or the reason why there is none.

    `spread` is the standard deviation over the repeats of a judgement; None if it was judged once, or not at all.
    """

    value: float | None
    status: Status = "ok"
    reason: str = ""
    spread: float | None = None


class ShownContext(NamedTuple):
    """What a judge sees beside an answer: the question, and the passages in the generator's prompt, in order.

    `conversation` has the turns before the question as lines; empty if there are none.
    """

    question: str
    passages: tuple[str, ...] = ()
    conversation: str = ""


class JudgeSettings(NamedTuple):
    """The LLM that judges, and how it is asked.

    `identity` holds every setting of the judge that can change a judgement. `repeats` is how often each answer is
    judged. `calibrated` names the measures for which this judge may decide what is right; it changes no score. At most
    `at_once` answers are judged at the same time. Without a `chat` nothing can be judged: the settings serve as a key.
    """

    chat: Chat | None
    identity: Mapping[str, Any]
    repeats: int = 1
    rubric: str = ""
    calibrated: frozenset[str] = frozenset()
    at_once: int = 64


class AnswerSettings(NamedTuple):
    """What answer measures need beside answers and references.

    `embedder` is the folder of the untuned bi-encoder. Measures that an LLM judges need a `judge`; see `asks_judge`.
    `language` decides how texts are split into words, `abstention` which answers count as abstentions. For rank
    measures, a document is relevant from the grade `level` on, and `exclude_own` leaves the document with the id of the
    query out of its list.
    """

    utility: Utility
    answer_format: AnswerFormat | None
    embedder: Path | None
    embedder_digest: str
    judge: JudgeSettings | None = None
    language: str = ENGLISH
    abstention: AbstentionRule = AbstentionRule()
    level: int = 1
    exclude_own: bool = False


class AnsweredQuery(NamedTuple):
    """An answer with its reference."""

    text: str
    reference: Reference


def population_of(measure: Measure, references: Mapping[str, Reference]) -> dict[str, Reference]:
    """Return the questions that a measure is defined on, in the order of the references."""
    return {
        query_id: reference
        for query_id, reference in references.items()
        if measure.population == "all" or reference.answerable
    }


def asked_of(answers: Mapping[str, Answer], population: Mapping[str, Reference]) -> dict[str, AnsweredQuery]:
    """Return the answered queries of a population with their references."""
    return {
        query_id: AnsweredQuery(answers[query_id].text, reference)
        for query_id, reference in population.items()
        if query_id in answers
    }


def failed(reason: str) -> QueryScore:
    """The score of a query that has no value."""
    return QueryScore(None, "failed", reason)
