"""Scores of runs and answers: value, or reason why there is none, for every query of a measure's population.

The only importer of ranx and ragas, both inside functions. This package must not know stages, stores or statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError, Problem
from harness.measures import Measure
from harness.records import Answer, Reference, Status
from harness.scoring import abstention
from harness.scoring import answers as rules
from harness.scoring.abstention import is_abstention
from harness.scoring.answers import abstention_table
from harness.scoring.ragas_measures import RAGAS_MEASURES, Case, Found, score_cases
from harness.scoring.rank import canonical_order, judged_queries, missing_lists, score_run
from harness.spec import AnswerFormat, Utility

__all__ = [
    "AnswerSettings",
    "Scored",
    "abstention_table",
    "canonical_order",
    "is_abstention",
    "judged_queries",
    "measurement_settings",
    "missing_lists",
    "score_answers",
    "score_run",
]

NO_ANSWER = "no answer was written"
NO_REFERENCE = "the question has no reference answer"
ZERO_IF_ABSTAINED = ("exact_match", "key_match", "token_f1")
ASK_ABSTENTION = (*ZERO_IF_ABSTAINED, "utility", "abstention", "format")
ASK_FORMAT = ("key_match", "format")


class Scored(NamedTuple):
    """A score before it has a system: the value, or the reason of the failure."""

    value: float | None
    status: Status = "ok"
    reason: str = ""


class AnswerSettings(NamedTuple):
    """What answer measures need beside answers and references; `embedder` is the folder of the untuned bi-encoder."""

    utility: Utility
    answer_format: AnswerFormat | None
    embedder: Path | None
    embedder_digest: str


class _Asked(NamedTuple):
    """One answered question."""

    text: str
    reference: Reference


def score_answers(
    answers: Mapping[str, Answer],
    references: Mapping[str, Reference],
    measures: Sequence[Measure],
    settings: AnswerSettings,
) -> dict[Measure, dict[str, Scored]]:
    """Score answers: measure -> query -> score, for every query of the measure's population, in the references' order.

    An abstention scores 0 in exact_match, key_match and token_f1; measures of similarity take it as the text it is.
    """
    _check(measures, settings)
    scores: dict[Measure, dict[str, Scored]] = {}
    for measure in (*_deciding(measures, settings), *measures):
        if measure not in scores:
            scores[measure] = _score_one(measure, answers, references, settings, scores)
    return {measure: scores[measure] for measure in measures}


def measurement_settings(measure: Measure, settings: AnswerSettings) -> dict[str, Any]:
    """All that decides the values of a measure, apart from the data: two scores compare only if this is equal."""
    found: dict[str, Any] = {"measure": str(measure), "version": measure.kind.version}
    if measure.is_rank:
        return found | {"ranx": version("ranx")}
    if measure.name in RAGAS_MEASURES:
        found["ragas"] = version("ragas")
    if measure.name in ASK_ABSTENTION:
        found["abstention_rule"] = abstention.RULE_VERSION
    if measure.name in ASK_FORMAT:
        found["pattern"] = settings.answer_format.pattern if settings.answer_format else None
    if measure.name == "semantic_similarity":
        found["embedder"] = settings.embedder_digest
    if measure.name == "utility":
        found["utility"] = settings.utility.model_dump()
        found["right"] = measurement_settings(Measure(settings.utility.right), settings)
    return found


def _check(measures: Sequence[Measure], settings: AnswerSettings) -> None:
    """Refuse measures that these settings cannot compute, all at once."""
    problems = []
    for measure in dict.fromkeys((*measures, *_deciding(measures, settings))):
        if measure.is_rank:
            raise ValueError(f"{str(measure)!r} is not a measure of answers")
        if measure.name in ASK_FORMAT and settings.answer_format is None:
            problems.append(Problem("answer_format", f"{measure} needs it", "add 'answer_format: {pattern: ...}'"))
        if measure.name == "semantic_similarity" and settings.embedder is None:
            problems.append(Problem("pipeline.retriever.model", f"{measure} needs the untuned bi-encoder"))
    if problems:
        raise ConfigError(problems)


def _deciding(measures: Sequence[Measure], settings: AnswerSettings) -> tuple[Measure, ...]:
    """The measure that decides for `utility` which answer is right."""
    return (Measure(settings.utility.right),) if Measure("utility") in measures else ()


def _score_one(
    measure: Measure,
    answers: Mapping[str, Answer],
    references: Mapping[str, Reference],
    settings: AnswerSettings,
    scores: Mapping[Measure, Mapping[str, Scored]],
) -> dict[str, Scored]:
    """One measure over its population; `scores` holds what decides for `utility`."""
    population = {
        query_id: reference
        for query_id, reference in references.items()
        if measure.population == "all" or reference.answerable
    }
    asked = {
        query_id: _Asked(answers[query_id].text, reference)
        for query_id, reference in population.items()
        if query_id in answers
    }
    if measure.name in RAGAS_MEASURES:
        found = _by_ragas(measure, asked, settings)
    elif measure.name == "utility":
        right = scores[Measure(settings.utility.right)]
        found = {query_id: _utility(settings.utility, one, right.get(query_id)) for query_id, one in asked.items()}
    else:
        found = {query_id: _by_rule(measure, one, settings) for query_id, one in asked.items()}
    return {query_id: found.get(query_id, Scored(None, "failed", NO_ANSWER)) for query_id in population}


def _by_ragas(measure: Measure, asked: Mapping[str, _Asked], settings: AnswerSettings) -> dict[str, Scored]:
    zeros = {
        query_id
        for query_id, one in asked.items()
        if measure.name in ZERO_IF_ABSTAINED and one.reference.answers and is_abstention(one.text)
    }
    cases = {
        query_id: Case(one.text, one.reference.answers) for query_id, one in asked.items() if query_id not in zeros
    }
    found = score_cases(measure, cases, settings.embedder)
    return {query_id: Scored(0.0) if query_id in zeros else _scored(found[query_id]) for query_id in asked}


def _scored(found: Found) -> Scored:
    return Scored(found.value) if found.value is not None else Scored(None, "failed", found.reason)


def _utility(rule: Utility, one: _Asked, right: Scored | None) -> Scored:
    if right is not None and right.value is None:
        return right
    return Scored(rules.utility(rule, one.text, one.reference.answerable, right.value if right else None))


def _by_rule(measure: Measure, one: _Asked, settings: AnswerSettings) -> Scored:
    """The measures of `harness.scoring.answers`."""
    pattern = settings.answer_format.pattern if settings.answer_format else ""
    by_name: dict[str, Callable[[], float]] = {
        "abstention": lambda: rules.abstains_rightly(one.text, one.reference.answerable),
        "format": lambda: rules.has_format(pattern, one.text),
        "key_match": lambda: rules.key_match(pattern, one.text, one.reference.answers),
        "token_f1": lambda: max(rules.token_f1(one.text, wanted) for wanted in one.reference.answers),
    }
    if measure.population == "answerable" and not one.reference.answers:
        return Scored(None, "failed", NO_REFERENCE)
    if measure.name in ZERO_IF_ABSTAINED and is_abstention(one.text):
        return Scored(0.0)
    try:
        return Scored(by_name[measure.name]())
    except ValueError as error:
        return Scored(None, "failed", str(error))
