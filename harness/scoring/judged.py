"""Scores of answers that an LLM judges: by ragas' judged metrics, and by the rubric of the suite.

All requests go through one `Chat`, so that its limits, cache and budget hold. A request without a valid judgement is a
failure with its reason. This module must not know suites, or who wrote the answers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from harness.llm.protocol import Chat
from harness.scoring.abstention import AbstentionRule, is_abstention
from harness.scoring.ragas_judge import (
    DRAWS,
    JudgeLlm,
    OneByOne,
    Rubric,
    Unanswered,
    metric_class,
    prompts_digest,
    with_counts,
)
from harness.scoring.ragas_measures import DIGITS, Embeddings, checked, load_embedder, run_apart, sentence
from harness.scoring.values import (
    ABSTAINED,
    NO_ANSWER,
    NO_PASSAGES,
    NO_REFERENCE,
    AnsweredQuery,
    AnswerSettings,
    JudgeSettings,
    QueryScore,
    ShownContext,
    asked_of,
    failed,
    population_of,
)
from harness.values.measures import Measure
from harness.values.records import Answer, Progress, Reference

NEEDS: dict[str, tuple[str, ...]] = {
    "faithfulness": ("question", "answer", "passages"),
    "factual_correctness": ("answer", "reference"),
    "answer_relevancy": ("question", "answer"),
    "context_recall": ("question", "reference", "passages"),
    "context_precision": ("question", "reference", "passages"),
    "noise_sensitivity": ("question", "answer", "reference", "passages"),
    "rubric": ("question", "answer"),
}
"""The inputs of each measure. ragas' context measures do not read the answer."""
CONVERSATION, QUESTION = "The conversation before the question:", "The question:"
RAGAS_NAMES = {
    "question": "user_input",
    "answer": "response",
    "reference": "reference",
    "passages": "retrieved_contexts",
}


class JudgedCase(NamedTuple):
    """The inputs of one judgement; a measure reads those that `NEEDS` names."""

    question: str
    answer: str
    reference: str = ""
    passages: tuple[str, ...] = ()
    conversation: str = ""

    @classmethod
    def of(cls, answered: AnsweredQuery, shown: ShownContext) -> JudgedCase:
        """Return the case with the first reference answer: the best over all of them would cost a multiple."""
        reference = next(iter(answered.reference.answers), "")
        return cls(shown.question, answered.text, reference, shown.passages, shown.conversation)

    def asked(self, measure: Measure) -> str:
        """Return the question as the judge of a measure reads it: after the turns that it may refer to."""
        if not self.conversation or not reads_turns(measure):
            return self.question
        return f"{CONVERSATION}\n{self.conversation}\n\n{QUESTION}\n{self.question}"


def reads_turns(measure: Measure) -> bool:
    """Return whether the judge of a measure reads the turns before a question.

    `answer_relevancy` compares the question with others that fit the answer, so there it stands alone.
    """
    return "question" in NEEDS.get(measure.name, ()) and measure.name != "answer_relevancy"


def requests_per_answer(measure: Measure, passages: int) -> int:
    """Return the number of requests of one judgement with so many passages, without repeats and repairs."""
    counts = {
        "faithfulness": 2,
        "factual_correctness": 4,
        "answer_relevancy": DRAWS["answer_relevancy"],
        "context_recall": 1,
        "context_precision": passages,
        "noise_sensitivity": 3 + 2 * passages,
        "rubric": 1,
    }
    return counts[measure.name]


def judge_answers(
    measures: Sequence[Measure],
    answers: Mapping[str, Answer],
    references: Mapping[str, Reference],
    settings: AnswerSettings,
    shown: Mapping[str, ShownContext],
    progress: Progress,
) -> dict[Measure, dict[str, QueryScore]]:
    """Score all judged measures together, so that the judge is kept busy up to its limit of concurrent answers.

    Measures of the answer are `not_applicable` to an abstention; measures of the passages, where none was shown.
    """
    judging = settings.judge
    chat = judging.chat if judging is not None else None
    if not measures or judging is None or chat is None:
        return {}
    scores: dict[Measure, dict[str, QueryScore]] = {}
    cases: dict[Measure, dict[str, JudgedCase]] = {}
    for measure in measures:
        population = population_of(measure, references)
        asked = asked_of(answers, population)
        if unknown := [query_id for query_id in asked if query_id not in shown]:
            raise ValueError(f"{measure} needs the question and the passages of {unknown[0]!r}")
        closed = {
            query_id: score
            for query_id, answer in asked.items()
            if (score := _closed(measure, answer, shown[query_id], settings.abstention))
        }
        scores[measure] = dict.fromkeys(population, failed(NO_ANSWER)) | closed
        cases[measure] = {
            query_id: JudgedCase.of(answer, shown[query_id])
            for query_id, answer in asked.items()
            if query_id not in closed
        }
    for measure, by_query in judge_cases(cases, judging, chat, settings.embedder, progress).items():
        scores[measure] |= by_query
    return scores


def _closed(
    measure: Measure, answered: AnsweredQuery, shown: ShownContext, abstention: AbstentionRule
) -> QueryScore | None:
    """Return the score of an answer that the judge is not asked about; None if it is asked."""
    needs = NEEDS[measure.name]
    if "answer" in needs and is_abstention(answered.text, abstention):
        return QueryScore(None, "not_applicable", ABSTAINED)
    if "passages" in needs and not any(passage.strip() for passage in shown.passages):
        return QueryScore(None, "not_applicable", NO_PASSAGES)
    if "reference" in needs and not answered.reference.answers:
        return failed(NO_REFERENCE)
    return None


def judge_settings(measure: Measure, settings: AnswerSettings) -> dict[str, Any]:
    """Return the settings of the judge that decide a measure: identity, repeats, prompts."""
    judge = settings.judge
    deciding: dict[str, Any] = {"judge": None, "prompts": prompts_digest(measure.name)}
    if judge is not None:
        deciding |= {"judge": dict(judge.identity), "repeats": judge.repeats}
    if "answer" in NEEDS[measure.name]:
        deciding["abstention_rule"] = settings.abstention.identity
    if measure.name != "rubric":
        return deciding | {"ragas": version("ragas")}
    return deciding | {"rubric": judge.rubric if judge else ""}


def judge_cases(
    cases: Mapping[Measure, Mapping[str, JudgedCase]],
    judging: JudgeSettings,
    chat: Chat,
    embedder: Path | None,
    progress: Progress,
) -> dict[Measure, dict[str, QueryScore]]:
    """Judge every case of every measure concurrently; `progress` counts judged answers.

    A value is the mean over all repeats. If one of them fails, so does the score, with its reason.
    """
    makers = {
        measure: _maker(measure.name, chat, judging.rubric, embedder)
        for measure, of_measure in cases.items()
        if of_measure
    }
    jobs = [(measure, query_id, case) for measure, rows in cases.items() for query_id, case in rows.items()]

    async def all_jobs() -> list[QueryScore]:
        slots, finished = asyncio.Semaphore(judging.at_once), Counter[str]()

        async def judged(measure: Measure, case: JudgedCase) -> QueryScore:
            async with slots:
                score = await _judge(measure, case, makers[measure], judging.repeats)
            finished["jobs"] += 1
            progress(finished["jobs"], len(jobs))
            return score

        return await asyncio.gather(*(judged(measure, case) for measure, _, case in jobs))

    scores: dict[Measure, dict[str, QueryScore]] = {measure: {} for measure in cases}
    for (measure, query_id, _), score in zip(jobs, run_apart(all_jobs()) if jobs else [], strict=True):
        scores[measure][query_id] = score
    return scores


Maker = Callable[[int], Any]
"""Returns the metric for a repeat of a judgement, by its number."""


async def _judge(measure: Measure, case: JudgedCase, make: Maker, repeats: int) -> QueryScore:
    """Run all repeats of one judgement; stop at the first that fails."""
    # ragas' prompts are typed as lists.
    shown = {**case._asdict(), "question": case.asked(measure), "passages": list(case.passages)}
    arguments = {RAGAS_NAMES[name]: shown[name] for name in NEEDS[measure.name]}
    values = []
    for repeat in range(repeats):
        try:
            values.append(checked((await make(repeat).ascore(**arguments)).value, measure))
        except Unanswered as error:
            return failed(str(error))
        except Exception as error:  # whatever a metric raises is the reason of a failure
            return failed(sentence(error))
    return QueryScore(round(fmean(values), DIGITS), spread=round(stdev(values), DIGITS) if repeats > 1 else None)


def _maker(name: str, chat: Chat, rubric: str, embedder: Path | None) -> Maker:
    draws = DRAWS.get(name, 1)
    if name == "rubric":
        return lambda repeat: Rubric(JudgeLlm(chat, repeat, draws), rubric)
    extra: dict[str, Any] = {}
    if name == "answer_relevancy":
        try:
            extra["embeddings"] = OneByOne(_load(embedder))
        except Exception as error:  # a broken model fails its scores, not the outcome
            return _failing(error)
    of_ragas = metric_class(name)
    return lambda repeat: with_counts(of_ragas(llm=JudgeLlm(chat, repeat, draws), **extra))


def _load(embedder: Path | None) -> Embeddings:
    if embedder is None:
        raise ValueError("answer_relevancy needs the untuned bi-encoder")
    return load_embedder(embedder)


def _failing(error: Exception) -> Maker:
    def make(repeat: int) -> Any:
        raise error

    return make
