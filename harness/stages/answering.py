"""Answers to train on: written by an LLM from a passage, what is no answer thrown away; and whether a text holds one.

Beside `instruct`, as `judging` is beside `label`. Must not know which questions are asked or why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness import generation
from harness.models import load_generator
from harness.records import Progress
from harness.stages.prompts import answering_head, answering_tail
from harness.stages.synthesize import clean

GROUNDED_SHARE = 0.5
DECLINING = re.compile(
    r"\b(?:not (?:available|mentioned|stated|given|provided|specified|known|clear)|no (?:information|answer|mention)|"
    r"do(?:es)? not (?:say|know|mention|state|provide)|cannot (?:say|tell|answer)|unknown|unanswerable)\b|^n/?a\b",
    re.I,
)


class Settings(NamedTuple):
    """How long a passage of the prompt and an answer may be, in tokens, and how many are written at a time."""

    passage_tokens: int
    max_new_tokens: int
    batch_size: int


def words_of(text: str) -> list[str]:
    """Words of a text, case folded, without punctuation."""
    return re.findall(r"\w+", text.casefold())


def holds(text: str, answer: str) -> bool:
    """Whether an answer stands in a text, word for word and in whole words; one without words stands nowhere."""
    wanted = words_of(answer)
    return bool(wanted) and f" {' '.join(wanted)} " in f" {' '.join(words_of(text))} "


def fault(answer: str, question: str, passage: str) -> str | None:
    """Why an answer is not worth training on, None if it is.

    An answer is grounded if at least half of its words stand in the passage.
    """
    words, known = words_of(answer), set(words_of(passage))
    if not words:
        return "empty"
    if DECLINING.search(answer):
        return "declines to answer"
    if set(words) == set(words_of(question)) or holds(answer, question):
        return "repeats the question"
    if sum(word in known for word in words) < GROUNDED_SHARE * len(words):
        return "not out of the passage"
    return None


class Answerer:
    """An LLM that answers questions from a passage each; counts what it used and what was thrown away."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.settings = settings
        model, self.tokenizer = load_generator(folder)
        self._head = generation.Head(model, self.tokenizer, answering_head())
        self.dropped: Counter[str] = Counter()
        self.calls = self.prompt_tokens = self.new_tokens = 0

    def write(self, asked: Sequence[tuple[str, str]], progress: Progress) -> list[str | None]:
        """Answers to (question, passage), None where the answer was thrown away."""
        rule = self.settings
        passages = generation.cut(self.tokenizer, [passage for _, passage in asked], rule.passage_tokens)
        tails = [answering_tail(passage, question) for (question, _), passage in zip(asked, passages, strict=True)]
        sampling = generation.Sampling(rule.max_new_tokens, rule.batch_size, one_line=True)
        answers: list[str | None] = []
        for (question, _), passage, one in zip(
            asked, passages, generation.write(self._head, tails, sampling, progress), strict=True
        ):
            text = " ".join(clean(one.text).split())
            # A text that was not ended by the model itself is as long as a text may be.
            reason = "cut off" if one.new_tokens >= rule.max_new_tokens else fault(text, question, passage)
            self.dropped.update([reason] if reason else [])
            answers.append(None if reason else text)
            self.prompt_tokens += one.prompt_tokens
            self.new_tokens += one.new_tokens
        self.calls += len(asked)
        return answers

    def notes(self) -> dict[str, int]:
        """How many answers were written, and how many thrown away for which reason."""
        dropped = {f"answers dropped: {reason}": count for reason, count in sorted(self.dropped.items())}
        return {"answers written": self.calls, **dropped}
