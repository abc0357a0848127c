"""What scoring takes and gives: settings, what a judge sees, scores and the reasons why there are none.

These values know no measure's rules and compute nothing but whom a measure asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.llm.asking import Chat
from harness.scoring.abstention import AbstentionRule
from harness.scoring.ragas_measures import Found
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
    """A score before it has a system: the value, or the reason why there is none.

    `spread` is the standard deviation over the repeats of a judgement; None if it was judged once, or not at all.
    """

    value: float | None
    status: Status = "ok"
    reason: str = ""
    spread: float | None = None


class ShownContext(NamedTuple):
    """What a judge must see beside an answer: the question, and the passages that the generator was shown, in order."""

    question: str
    passages: tuple[str, ...] = ()


class JudgeSettings(NamedTuple):
    """Who judges, and how.

    `identity` is what of the judge can change a judgement, `repeats` how often each answer is judged, `calibrated`
    names the measures for which this judge may decide what is right: that changes no score, but what may rest on it.
    At most `at_once` answers are under way. Without a `chat` there is nobody to ask, and only settings to compare.
    """

    chat: Chat | None
    identity: Mapping[str, Any]
    repeats: int = 1
    rubric: str = ""
    calibrated: frozenset[str] = frozenset()
    at_once: int = 64


class AnswerSettings(NamedTuple):
    """What answer measures need beside answers and references.

    `embedder` is the folder of the untuned bi-encoder. Without a `judge`, measures that an LLM judges are not to be
    asked for; see `asks_judge`. `language` says what words are, `abstention` what counts as declining. Of rank
    measures, `level` is the grade from which on a document is relevant, and `exclude_own` takes the document with the
    id of the query out of its list.
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
    """One answered question."""

    text: str
    reference: Reference


def population_of(measure: Measure, references: Mapping[str, Reference]) -> dict[str, Reference]:
    """The questions over which a measure is defined, in the references' order."""
    return {
        query_id: reference
        for query_id, reference in references.items()
        if measure.population == "all" or reference.answerable
    }


def asked_of(answers: Mapping[str, Answer], population: Mapping[str, Reference]) -> dict[str, AnsweredQuery]:
    """Those of them that were answered."""
    return {
        query_id: AnsweredQuery(answers[query_id].text, reference)
        for query_id, reference in population.items()
        if query_id in answers
    }


def scored(found: Found) -> QueryScore:
    """What was found, as a score."""
    return (
        QueryScore(found.value, spread=found.spread)
        if found.value is not None
        else QueryScore(None, "failed", found.reason)
    )
