"""Answers to dev queries, written with a generator in training and scored, for choosing checkpoints only.

Prompts are those of `answer`, over the passages that the pipeline so far finds on dev. Reported scores come from the
answers of `answer`, which the adapter writes when it is merged into the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.models.chat_templates import ChatTemplate, Turn
from harness.models.generation import Conversations, GeneratedText, Sampling
from harness.scoring import AbstentionRule, AnswerSettings, is_abstention
from harness.scoring.answers import abstains_rightly, token_f1, utility_by_rule
from harness.suite.fields import Positive, Spec
from harness.suite.pipeline import Pipeline
from harness.suite.spec import AnswerFormat, Suite, Utility
from harness.text import ENGLISH
from harness.values.measures import Measure
from harness.values.records import Reference

DEV_ANSWER_INPUTS = ("dev_run", "dev_queries", "dev_references")
"""Inputs of a generator's training that chooses a checkpoint on dev."""
BY_TOKENS = "token_f1"
TIE = 1e-6
"""Weight of token F1 in the score on dev: it decides between checkpoints of equal utility and no others."""


class DevAnswering(Spec):
    """How answers to dev queries are written and scored: as those of the suite; see `spec.Generator` and `Utility`.

    `sentences` count as declining beside the common phrases.
    """

    context: Positive
    max_new_tokens: Positive
    batch_size: Positive | None
    utility: Utility
    answer_format: AnswerFormat | None = None
    sentences: tuple[str, ...] = ()

    @classmethod
    def of(cls, suite: Suite, pipeline: Pipeline) -> DevAnswering:
        """How a pipeline of a suite answers, and how the suite scores answers."""
        generator = pipeline.generator
        assert generator is not None
        return cls(
            context=pipeline.context,
            max_new_tokens=generator.max_new_tokens,
            batch_size=generator.batch_size,
            utility=suite.utility,
            answer_format=suite.answer_format,
            sentences=suite.abstention_sentences,
        )

    @property
    def measured(self) -> str:
        """The name of the score: utility, unless an LLM judges what is right, which a training cannot ask."""
        return BY_TOKENS if Measure(self.utility.right).is_judged else "utility"

    def settings(self, language: str) -> AnswerSettings:
        """Return the settings of the suite's own answer measures, as far as they are needed here."""
        abstention = AbstentionRule(self.sentences, language)
        return AnswerSettings(self.utility, self.answer_format, None, "", language=language, abstention=abstention)


class DevQuestion(NamedTuple):
    """A conversation up to a dev query, and its reference."""

    turns: list[Turn]
    reference: Reference


class DevAnswers:
    """Writes answers to dev queries with a model as it is now, and scores them; higher is better."""

    def __init__(
        self, template: ChatTemplate, questions: Sequence[DevQuestion], rule: DevAnswering, stop: Sequence[str],
        language: str = ENGLISH,
    ) -> None:  # fmt: skip
        self.template, self.questions, self.rule, self.stop = template, questions, rule, stop
        self.settings = rule.settings(language)

    def notes(self) -> dict[str, Any]:
        """Return notes for the ledger: how many queries are answered, and what decides if it is not utility."""
        notes: dict[str, Any] = {"dev queries answered": len(self.questions)}
        if self.rule.measured == BY_TOKENS:
            notes["checkpoints chosen by"] = f"{BY_TOKENS}: an LLM judges {self.rule.utility.right}"
        return notes

    def measure(self, model: Any) -> float:
        """Return the mean score of the answers that the model writes, greedily."""
        chat = Conversations(model, self.template, [question.turns for question in self.questions], self.stop)
        return self.score(chat.write(Sampling(self.rule.max_new_tokens, self.rule.batch_size)))

    def score(self, answers: Sequence[GeneratedText]) -> float:
        """Return the mean utility of answers in the order of the questions; token F1 breaks ties.

        Where an LLM judges what is right, it is the mean of token F1, and of 1 or 0 for an unanswerable query that is
        declined or not. A query whose reference cannot be scored is left out; a response that is only a thought is a
        wrong answer. Returns 0 if no query can be scored.
        """
        limit = "max_new_tokens"
        texts = [None if answer.fault(limit) else answer.text for answer in answers]
        pairs = list(zip(texts, (question.reference for question in self.questions), strict=True))
        overlap = _mean([self._overlap(text, reference) for text, reference in pairs])
        if self.rule.measured == BY_TOKENS:
            return overlap
        wrong = 0.0 - self.rule.utility.wrong_cost
        values = [
            wrong if text is None else utility_by_rule(text, reference, self.settings) for text, reference in pairs
        ]
        return _mean([value for value in values if value is not None]) + TIE * overlap

    def _overlap(self, text: str | None, reference: Reference) -> float:
        if text is None:
            return 0.0
        if not reference.answerable or is_abstention(text, self.settings.abstention):
            return abstains_rightly(text, reference.answerable, self.settings.abstention)
        return max((token_f1(text, answer, self.settings.language) for answer in reference.answers), default=0.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
