"""Scores of runs and answers: value, or reason why there is none, for every query of a measure's population.

The only importer of ranx and ragas, both inside functions. This package must not know stages, stores or statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from harness.errors import ConfigError, Problem
from harness.scoring import answers as rules
from harness.scoring.abstention import PLAIN, AbstentionRule, is_abstention
from harness.scoring.answers import abstention_table
from harness.scoring.judged import judge_answers, judge_settings, requests_per_answer
from harness.scoring.ragas_measures import RAGAS_MEASURES, Case, score_cases
from harness.scoring.rank import canonical_order, population, queries_without_run, score_run
from harness.scoring.values import (
    NO_ANSWER,
    NO_JUDGE,
    NO_REFERENCE,
    AnsweredQuery,
    AnswerSettings,
    JudgeSettings,
    QueryScore,
    ShownContext,
    asked_of,
    population_of,
    scored,
)
from harness.text import ENGLISH, WORDS_VERSION
from harness.values.grades import LEVEL, judged_queries
from harness.values.measures import Measure
from harness.values.records import Answer, Progress, Reference

__all__ = [
    "PLAIN",
    "AbstentionRule",
    "AnswerSettings",
    "JudgeSettings",
    "QueryScore",
    "ShownContext",
    "abstention_table",
    "asks_judge",
    "canonical_order",
    "is_abstention",
    "judged_queries",
    "measurement_settings",
    "population",
    "queries_without_run",
    "rank_settings",
    "requests_per_answer",
    "score_answers",
    "score_run",
]

ZERO_IF_ABSTAINED = ("exact_match", "key_match", "token_f1")
ASK_ABSTENTION = (*ZERO_IF_ABSTAINED, "utility", "abstention", "format")
ASK_FORMAT = ("key_match", "format")
ASK_LANGUAGE = ("exact_match", "token_f1", "rouge_l")
NEED_EMBEDDER = ("semantic_similarity", "answer_relevancy")


def score_answers(
    answers: Mapping[str, Answer],
    references: Mapping[str, Reference],
    measures: Sequence[Measure],
    settings: AnswerSettings,
    shown: Mapping[str, ShownContext] | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[Measure, dict[str, QueryScore]]:
    """Score answers: measure -> query -> score, for every query of the measure's population, in the references' order.

    An abstention scores 0 in exact_match, key_match and token_f1; measures of similarity take it as the text it is; to
    what an LLM judges of an answer it is `not_applicable`. Only measures that an LLM judges need `shown`, for every
    answered query, and tell the `progress` of judging. Raises ConfigError for what the settings cannot compute.
    """
    _check(measures, settings)
    wanted = tuple(dict.fromkeys((*_deciding(measures, settings), *measures)))
    judged = [measure for measure in wanted if measure.is_judged]
    scores = judge_answers(judged, answers, references, settings, shown or {}, progress)
    for measure in wanted:
        if measure not in scores:
            scores[measure] = _score_one(measure, answers, references, settings, scores)
    return {measure: scores[measure] for measure in measures}


def measurement_settings(measure: Measure, settings: AnswerSettings) -> dict[str, Any]:
    """All that decides the values of a measure, apart from the data: two scores compare only if this is equal."""
    found: dict[str, Any] = {"measure": str(measure), "version": measure.kind.version}
    if measure.is_rank:
        return found | {"ranx": version("ranx")} | rank_settings(measure, settings.level, settings.exclude_own)
    if measure.name in RAGAS_MEASURES:
        found["ragas"] = version("ragas")
    if measure.name in ASK_ABSTENTION:
        found["abstention_rule"] = settings.abstention.identity
    if measure.name in ASK_LANGUAGE and settings.language != ENGLISH:
        found |= {"language": settings.language, "words": WORDS_VERSION}
    if measure.name in ASK_FORMAT:
        found["pattern"] = settings.answer_format.pattern if settings.answer_format else None
    if measure.is_judged:
        found |= judge_settings(measure, settings)
    if measure.name in NEED_EMBEDDER:
        found["embedder"] = settings.embedder_digest
    if measure.name == "utility":
        found["utility"] = settings.utility.model_dump()
        found["right"] = measurement_settings(Measure(settings.utility.right), settings)
    return found


def rank_settings(measure: Measure, level: int, exclude_own: bool) -> dict[str, Any]:
    """What decides the values of a rank measure beside the data, where it is not the default."""
    found: dict[str, Any] = {}
    if level != LEVEL and not measure.kind.graded:
        found["relevance_level"] = level
    if exclude_own:
        found["exclude_own"] = True
    return found


def asks_judge(measure: Measure, settings: AnswerSettings) -> bool:
    """Whether an LLM judges a measure, or what it rests on."""
    return measure.is_judged or any(one.is_judged for one in _deciding([measure], settings))


def _check(measures: Sequence[Measure], settings: AnswerSettings) -> None:
    """Refuse measures that these settings cannot compute, all at once."""
    problems = []
    for measure in dict.fromkeys((*measures, *_deciding(measures, settings))):
        if measure.is_rank:
            raise ValueError(f"{str(measure)!r} is not a measure of answers")
        if measure.is_judged and (settings.judge is None or settings.judge.chat is None):
            problems.append(Problem("llm.judge", f"{measure}: {NO_JUDGE}", "add llm.judge, or leave the measure out"))
        if measure.name == "rubric" and settings.judge is not None and not settings.judge.rubric.strip():
            problems.append(Problem("rubric", f"{measure} needs it", "add 'rubric: ...', the words to judge by"))
        if measure.name in ASK_FORMAT and settings.answer_format is None:
            problems.append(Problem("answer_format", f"{measure} needs it", "add 'answer_format: {pattern: ...}'"))
        if measure.name in NEED_EMBEDDER and settings.embedder is None:
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
    scores: Mapping[Measure, Mapping[str, QueryScore]],
) -> dict[str, QueryScore]:
    """One measure that no LLM judges, over its population; `scores` holds what decides for `utility`."""
    population = population_of(measure, references)
    asked = asked_of(answers, population)
    if measure.name in RAGAS_MEASURES:
        found = _by_ragas(measure, asked, settings)
    elif measure.name == "utility":
        right = scores[Measure(settings.utility.right)]
        found = {query_id: _utility(settings, one, right.get(query_id)) for query_id, one in asked.items()}
    else:
        found = {query_id: _by_rule(measure, one, settings) for query_id, one in asked.items()}
    return {query_id: found.get(query_id, QueryScore(None, "failed", NO_ANSWER)) for query_id in population}


def _by_ragas(measure: Measure, asked: Mapping[str, AnsweredQuery], settings: AnswerSettings) -> dict[str, QueryScore]:
    zeros = {
        query_id
        for query_id, one in asked.items()
        if measure.name in ZERO_IF_ABSTAINED and one.reference.answers and is_abstention(one.text, settings.abstention)
    }
    cases = {
        query_id: Case(one.text, one.reference.answers) for query_id, one in asked.items() if query_id not in zeros
    }
    found = score_cases(measure, cases, settings.embedder, settings.language)
    return {query_id: QueryScore(0.0) if query_id in zeros else scored(found[query_id]) for query_id in asked}


def _utility(settings: AnswerSettings, one: AnsweredQuery, right: QueryScore | None) -> QueryScore:
    """Utility has a value wherever an answer was written, but where what decides of a real answer has failed.

    An answer that no passage was shown for is not right if the passages decide.
    """
    rule, abstention = settings.utility, settings.abstention
    decided = one.reference.answerable and not is_abstention(one.text, abstention)
    if decided and right is not None and right.status == "failed":
        return right
    value = (right.value or 0.0) if right is not None else None
    return QueryScore(rules.utility(rule, one.text, one.reference.answerable, value, abstention))


def _by_rule(measure: Measure, one: AnsweredQuery, settings: AnswerSettings) -> QueryScore:
    """The measures of `harness.scoring.answers`."""
    pattern = settings.answer_format.pattern if settings.answer_format else ""
    abstention, language = settings.abstention, settings.language
    by_name: dict[str, Callable[[], float]] = {
        "abstention": lambda: rules.abstains_rightly(one.text, one.reference.answerable, abstention),
        "format": lambda: rules.has_format(pattern, one.text, abstention),
        "key_match": lambda: rules.key_match(pattern, one.text, one.reference.answers),
        "token_f1": lambda: max(rules.token_f1(one.text, wanted, language) for wanted in one.reference.answers),
    }
    if measure.population == "answerable" and not one.reference.answers:
        return QueryScore(None, "failed", NO_REFERENCE)
    if measure.name in ZERO_IF_ABSTAINED and is_abstention(one.text, abstention):
        return QueryScore(0.0)
    try:
        return QueryScore(by_name[measure.name]())
    except ValueError as error:
        return QueryScore(None, "failed", str(error))
