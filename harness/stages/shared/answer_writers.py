"""Answers to train on: an LLM writes them from a passage, and those that are no use are dropped.

For the stage `instruct`. The LLM runs in process or behind an endpoint; what is dropped is the same in both cases. Must
not know which questions are asked or why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from harness.llm import Ask, services
from harness.llm.prompt_templates import messages, rough_tokens, shorten
from harness.models import generation
from harness.models.language_models import load_generator
from harness.scoring.sentences import declines, stands_first
from harness.stages.shared import remote
from harness.stages.shared.prompts import answering_head, answering_tail
from harness.suite.local_models import LocalModel
from harness.suite.recipes import ABSTENTION
from harness.text import ENGLISH, text_of
from harness.values.records import Progress, Usage

LEADING = re.compile(r"^(?:(?:question|query|search words|keywords|statement|claim|answer)\s*:\s*|[-*\"'\s]+)+", re.I)
GROUNDED_SHARE = 0.5
DECLINING = re.compile(
    r"\b(?:not (?:available|mentioned|stated|given|provided|specified|known|clear)|no (?:information|answer|mention)|"
    r"do(?:es)? not (?:say|know|mention|state|provide)|cannot (?:say|tell|answer)|unknown|unanswerable)\b|^n/?a\b",
    re.I,
)


class Form(NamedTuple):
    """What an answer is made of: the language of its words, and the sentence by which one declines."""

    language: str = ENGLISH
    sentence: str = ABSTENTION


AGREED = Form()
"""English, and the sentence of the default instruction."""


class WritingSettings(NamedTuple):
    """How long a passage of the prompt and an answer may be, in tokens, and how many are written at a time."""

    passage_tokens: int
    max_new_tokens: int
    batch_size: int | None
    form: Form = Form()
    local: LocalModel = LocalModel()


def words_of(text: str, language: str = ENGLISH) -> list[str]:
    """Words of a text, case folded, without punctuation; characters of a script without spaces."""
    return text_of(language).words(text)


def holds(text: str, answer: str, language: str = ENGLISH) -> bool:
    """Whether an answer stands in a text, word for word and in whole words; one without words stands nowhere."""
    wanted = words_of(answer, language)
    return any(map(str.isalnum, answer)) and f" {' '.join(wanted)} " in f" {' '.join(words_of(text, language))} "


def fault(answer: str, question: str, passage: str, form: Form = AGREED) -> str | None:
    """Why an answer is not worth training on, None if it is.

    An answer is grounded if it stands in the passage, or if at least half of its words do: of a script without spaces,
    of its characters that stand there beside the same neighbour, as single ones stand everywhere.
    """
    language = form.language
    words = words_of(answer, language)
    if not any(map(str.isalnum, answer)):
        return "empty"
    if DECLINING.search(answer) or stands_first(form.sentence, answer) or declines(answer, language):
        return "declines to answer"
    if set(words) == set(words_of(question, language)) or holds(answer, question, language):
        return "repeats the question"
    if holds(passage, answer, language):
        return None
    return None if _grounded(answer, passage, language) >= GROUNDED_SHARE else "not out of the passage"


def _grounded(answer: str, passage: str, language: str) -> float:
    """The share of an answer's words that stand in a passage."""
    texts = text_of(language)
    words = texts.words(answer)
    if language == ENGLISH or len(words) == 1:
        known = set(texts.words(passage))
        return sum(word in known for word in words) / len(words)
    shown = texts.words(passage)
    known, pairs = set(shown), set(pairwise(shown))
    count = 0
    for place, word in enumerate(words):
        if texts.is_character(word):
            count += any(pair in pairs for pair in pairwise(words[max(place - 1, 0) : place + 2]))
        else:
            count += word in known
    return count / len(words)


class Answerer(Protocol):
    """An LLM that answers questions from a passage each; knows what it used and what was thrown away."""

    def write(self, asked: Sequence[tuple[str, str]], progress: Progress) -> list[str | None]:
        """Answers to (question, passage), None where the answer was thrown away, or there is none."""
        ...

    def usage(self) -> Usage:
        """Calls, tokens and dollars; in the notes how many were written, and how many dropped for which reason."""
        ...


class LocalAnswerer:
    """Answers by a model in process: plain text that continues a few examples."""

    def __init__(self, folder: Path, settings: WritingSettings) -> None:
        self.settings = settings
        model, self.tokenizer = load_generator(folder, local=settings.local)
        self._head = generation.PromptPrefix(model, self.tokenizer, answering_head())
        self.dropped: Counter[str] = Counter()
        self.calls = self.prompt_tokens = self.new_tokens = 0

    def write(self, asked: Sequence[tuple[str, str]], progress: Progress) -> list[str | None]:
        """See `Answerer`."""
        rule = self.settings
        passages = generation.truncate(self.tokenizer, [passage for _, passage in asked], rule.passage_tokens)
        tails = [answering_tail(passage, question) for (question, _), passage in zip(asked, passages, strict=True)]
        sampling = generation.Sampling(
            rule.max_new_tokens, rule.batch_size, one_line=True, max_tokens_per_batch=rule.local.max_tokens_per_batch
        )
        answers: list[str | None] = []
        for (question, _), passage, one in zip(
            asked, passages, generation.write(self._head, tails, sampling, progress), strict=True
        ):
            text = _line(one.text)
            # A text that was not ended by the model itself is as long as a text may be.
            reason = "cut off" if one.new_tokens >= rule.max_new_tokens else fault(text, question, passage, rule.form)
            self.dropped.update([reason] if reason else [])
            answers.append(None if reason else text)
            self.prompt_tokens += one.prompt_tokens
            self.new_tokens += one.new_tokens
        self.calls += len(asked)
        return answers

    def usage(self) -> Usage:
        """See `Answerer`."""
        notes = {"answers written": self.calls, **_by_reason(self.dropped)}
        return Usage(0, self.calls, self.prompt_tokens, self.new_tokens, notes)


class ServedAnswerer:
    """Answers by the endpoint of the role `synthesizer`; `prompt` is the text of `instruct`.

    An answer of more than `max_new_tokens`, about, is thrown away, as the generator could not write it; the request
    itself is bounded by the role, so that an answer is never cut off. Passages are cut in words.
    """

    def __init__(self, prompt: str, settings: WritingSettings) -> None:
        self.prompt, self.settings = prompt, settings
        self.chat = services.chat("synthesizer")
        self.asked = 0
        self.dropped: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def write(self, asked: Sequence[tuple[str, str]], progress: Progress) -> list[str | None]:
        """See `Answerer`; raises ValueError if more than half of all questions so far failed."""
        shown = [(question, shorten(passage, self.settings.passage_tokens)) for question, passage in asked]
        asks = [
            Ask(messages(self.prompt, question=question, passage=passage, sentence=self.settings.form.sentence))
            for question, passage in shown
        ]
        answers: list[str | None] = []
        for (question, passage), reply in zip(shown, self.chat.ask_all(asks, progress), strict=True):
            text = _lines(remote.sound(reply.text))
            reason = None if reply.failure else self._fault(text, question, passage)
            self.failed.update([reply.failure] if reply.failure else [])
            self.dropped.update([reason] if reason else [])
            answers.append(None if reply.failure or reason else text)
        self.asked += len(asked)
        remote.check_failures("answers", self.failed, self.asked)
        return answers

    def _fault(self, text: str, question: str, passage: str) -> str | None:
        return fault(text, question, passage, self.settings.form) or (
            "too long" if rough_tokens(text) > self.settings.max_new_tokens else None
        )

    def usage(self) -> Usage:
        """See `Answerer`."""
        failed = self.failed.total()
        notes = {
            "answers written": self.asked - failed,
            **_by_reason(self.dropped),
            "answers that failed": failed,
            **remote.reasons("answers that failed", self.failed),
        }
        return remote.usage(0, self.chat, notes)


def _line(text: str) -> str:
    """An answer on one line, cleaned."""
    return " ".join(_cleaned(text).split())


def _lines(text: str) -> str:
    """An answer in its lines, cleaned, with single spaces."""
    return "\n".join(" ".join(line.split()) for line in _cleaned(text).splitlines()).strip()


def _cleaned(text: str) -> str:
    """An answer without labels, quotes and list marks around it."""
    return LEADING.sub("", text.strip()).strip(" \"'*")


def _by_reason(dropped: Counter[str]) -> dict[str, Any]:
    return {f"answers dropped: {reason}": count for reason, count in sorted(dropped.items())}
