"""Scores of runs and answers: a value, or the reason why there is none, for every query of a measure's population.

Only this package imports ranx and ragas, both inside functions. It must not know stages, stores or statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from harness.errors import ConfigError, Problem
from harness.scoring.abstention import PLAIN, AbstentionRule, is_abstention
from harness.scoring.answers import abstention_table, score_by_rule, utility_score
from harness.scoring.evidence import score_evidence
from harness.scoring.judged import judge_answers, judge_settings, reads_turns, requests_per_answer
from harness.scoring.ragas_measures import RAGAS_MEASURES, Case, make_metric, score_cases
from harness.scoring.rank import canonical_order, load_kernels, population, queries_without_run, score_run
from harness.scoring.values import (
    NO_ANSWER,
    NO_JUDGE,
    AnsweredQuery,
    AnswerSettings,
    JudgeSettings,
    QueryScore,
    ShownContext,
    asked_of,
    failed,
    population_of,
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
    "judges_turns",
    "measurement_settings",
    "population",
    "prepare",
    "queries_without_run",
    "rank_settings",
    "requests_per_answer",
    "score_answers",
    "score_evidence",
    "score_run",
]


def score_answers(
    answers: Mapping[str, Answer],
    references: Mapping[str, Reference],
    measures: Sequence[Measure],
    settings: AnswerSettings,
    shown: Mapping[str, ShownContext] | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[Measure, dict[str, QueryScore]]:
    """Score answers: measure -> query -> score, for every query of the measure's population, in the references' order.

    An abstention scores 0 in exact_match, key_match and token_f1. Measures of similarity compare its text as it is.
    Measures that an LLM judges by the answer are `not_applicable` to it. Only judged measures need `shown`, for every
    answered query, and report `progress`. Raises ConfigError for measures that these settings cannot compute.
    """
    _check(measures, settings)
    wanted = tuple(dict.fromkeys((*_deciding(measures, settings), *measures)))
    judged = [measure for measure in wanted if measure.is_judged]
    scores = judge_answers(judged, answers, references, settings, shown or {}, progress)
    for measure in wanted:
        if measure not in scores:
            scores[measure] = _score_one(measure, answers, references, settings, scores)
    return {measure: scores[measure] for measure in measures}


def prepare(measures: Sequence[Measure], settings: AnswerSettings) -> None:
    """Import and load what scoring these measures needs, apart from judges. Raises whatever scoring would fail with."""
    wanted = (*measures, *_deciding(measures, settings))
    load_kernels(measure.name for measure in wanted if measure.is_rank)
    for measure in wanted:
        if measure.name in RAGAS_MEASURES:
            make_metric(measure.name, (), settings.embedder, settings.language)


def measurement_settings(measure: Measure, settings: AnswerSettings) -> dict[str, Any]:
    """Return all that decides the values of a measure, apart from the data. Scores compare only if it is equal."""
    deciding: dict[str, Any] = {"measure": str(measure), "version": measure.kind.version}
    if measure.in_words:
        return deciding | rank_settings(measure, settings.level, settings.exclude_own)
    if measure.is_rank:
        return deciding | {"ranx": version("ranx")} | rank_settings(measure, settings.level, settings.exclude_own)
    reads = measure.kind.reads
    if measure.name in RAGAS_MEASURES:
        deciding["ragas"] = version("ragas")
    if "abstention" in reads:
        deciding["abstention_rule"] = settings.abstention.identity
    if "language" in reads and settings.language != ENGLISH:
        deciding |= {"language": settings.language, "words": WORDS_VERSION}
    if "format" in reads:
        deciding["pattern"] = settings.answer_format.pattern if settings.answer_format else None
    if measure.is_judged:
        deciding |= judge_settings(measure, settings)
    if "embedder" in reads:
        deciding["embedder"] = settings.embedder_digest
    if measure.name == "utility":
        deciding["utility"] = settings.utility.model_dump()
        deciding["right"] = measurement_settings(Measure(settings.utility.right), settings)
    return deciding


def rank_settings(measure: Measure, level: int, exclude_own: bool) -> dict[str, Any]:
    """Return the settings that decide the values of a rank measure and are not the default."""
    changed: dict[str, Any] = {}
    if level != LEVEL and not measure.kind.graded:
        changed["relevance_level"] = level
    if exclude_own:
        changed["exclude_own"] = True
    return changed


def asks_judge(measure: Measure, settings: AnswerSettings) -> bool:
    """Return whether an LLM judges a measure, or the measure that decides it."""
    return measure.is_judged or any(rested_on.is_judged for rested_on in _deciding([measure], settings))


def judges_turns(measure: Measure, settings: AnswerSettings) -> bool:
    """Return whether the turns before a question decide a measure: a judge reads them."""
    return any(map(reads_turns, (measure, *_deciding([measure], settings))))


def _check(measures: Sequence[Measure], settings: AnswerSettings) -> None:
    """Raise ConfigError with all measures that these settings cannot compute."""
    problems = []
    for measure in dict.fromkeys((*measures, *_deciding(measures, settings))):
        if measure.is_rank:
            raise ValueError(f"{str(measure)!r} is not a measure of answers")
        if measure.is_judged and (settings.judge is None or settings.judge.chat is None):
            problems.append(Problem("llm.judge", f"{measure}: {NO_JUDGE}", "add llm.judge, or leave the measure out"))
        if measure.name == "rubric" and settings.judge is not None and not settings.judge.rubric.strip():
            problems.append(Problem("rubric", f"{measure} needs it", "add 'rubric: ...', the words to judge by"))
        if "format" in measure.kind.reads and settings.answer_format is None:
            problems.append(Problem("answer_format", f"{measure} needs it", "add 'answer_format: {pattern: ...}'"))
        if "embedder" in measure.kind.reads and settings.embedder is None:
            problems.append(Problem("pipeline.retriever.model", f"{measure} needs the untuned bi-encoder"))
    if problems:
        raise ConfigError(problems)


def _deciding(measures: Sequence[Measure], settings: AnswerSettings) -> tuple[Measure, ...]:
    """Return the measure that decides for `utility` which answer is right, if `utility` is among the measures."""
    return (Measure(settings.utility.right),) if Measure("utility") in measures else ()


def _score_one(
    measure: Measure,
    answers: Mapping[str, Answer],
    references: Mapping[str, Reference],
    settings: AnswerSettings,
    scores: Mapping[Measure, Mapping[str, QueryScore]],
) -> dict[str, QueryScore]:
    """Score a measure that no LLM judges, over its population; `scores` holds the measure that decides `utility`."""
    population = population_of(measure, references)
    answered = asked_of(answers, population)
    if measure.name in RAGAS_MEASURES:
        by_query = _by_ragas(measure, answered, settings)
    elif measure.name == "utility":
        right = scores[Measure(settings.utility.right)]
        by_query = {
            query_id: utility_score(settings, answer, right.get(query_id)) for query_id, answer in answered.items()
        }
    else:
        by_query = {query_id: score_by_rule(measure, answer, settings) for query_id, answer in answered.items()}
    return {query_id: by_query.get(query_id, failed(NO_ANSWER)) for query_id in population}


def _by_ragas(
    measure: Measure, answered: Mapping[str, AnsweredQuery], settings: AnswerSettings
) -> dict[str, QueryScore]:
    zeros = {
        query_id
        for query_id, answer in answered.items()
        if measure.kind.zero_if_abstained
        and answer.reference.answers
        and is_abstention(answer.text, settings.abstention)
    }
    cases = {
        query_id: Case(answer.text, answer.reference.answers)
        for query_id, answer in answered.items()
        if query_id not in zeros
    }
    scores = score_cases(measure, cases, settings.embedder, settings.language)
    return {query_id: QueryScore(0.0) if query_id in zeros else scores[query_id] for query_id in answered}
