"""Rules that read a question and its passages alone: its form, its language, and the words that they share."""

from __future__ import annotations

import re
from functools import cache
from typing import get_args

from harness.llm.prompt_templates import load
from harness.stages.shared.prompts import SYNTHESIS
from harness.stages.shared.wording import fault_of
from harness.stages.sift import copies, wanted_of
from harness.testset import reasons
from harness.testset.dealing import Job, Kind
from harness.text import ENGLISH, Texts, asks, text_of
from harness.text.detection import of_text
from harness.text.languages import LANGUAGES
from harness.text.scripts import script_of

LEAST_WORDS, MOST_WORDS = 3, 45
COPIED_SHARE = 0.6
"""Share of the three-word runs of a question that its passage has: from here on it is a sentence of the passage."""
SAME_WORDS = 0.34
"""Share of content words that a paraphrased question may have in common with its passage."""
CLOSE = (
    {"da", "no", "sv"},
    {"zh", "ja"},
    {"es", "pt", "ca", "it"},
    {"cs", "sk"},
    {"ru", "uk", "bg", "sr"},
    {"id", "ms"},
)
"""Languages that a single sentence does not tell apart."""
_ASKING = frozenset(
    [
        *("what", "which", "who", "whom", "whose", "when", "where", "whi", "how", "do", "doe", "did", "can", "could"),
        *(
            "should",
            "would",
            "has",
            "have",
            "had",
            "mani",
            "much",
            "you",
            "your",
            "we",
            "i",
            "my",
            "me",
            "there",
            "been",
        ),
        *("were", "am", "tell", "ani", "use"),
    ]
)
"""Stems of the words by which English asks, and of those that say nothing."""
_TAG = re.compile(
    r"</?(?:passages?|title|question|answer|first_\w+|second_\w+)>|\$(?:passage|title)|\bPassage:|\bFact:"
)
_QUESTION = re.compile(r"[?\uff1f\u061f]\s*[\"'”)]?$")


def content_words(text: str, texts: Texts) -> frozenset[str]:
    """Return the stems of the words of a text that say what it is about; no words by which one asks."""
    (wanted,) = wanted_of([(text, "question")], texts)
    return frozenset(wanted) - _ASKING


def shared_words(question: str, text: str, apart: str = "", texts: Texts | None = None) -> float:
    """Return the share of the content words of a question that a text has too, by stems, without those in `apart`.

    1 if it has no others.
    """
    asked, there, without = (content_words(one, texts or text_of(ENGLISH)) for one in (question, text, apart))
    left = asked - without
    return len(left & there) / len(left) if left else 1.0


def fault(question: str, texts: Texts) -> str:
    """Return why a text is no question that can be asked; empty if it is one."""
    line = question.strip()
    if not line or texts.length(line) < LEAST_WORDS:
        return reasons.EMPTY
    if copied_prompt(line):
        return reasons.PROMPT
    if texts.length(line) > MOST_WORDS:
        return reasons.LONG
    if found := fault_of(line, "question"):
        return found
    return "" if _QUESTION.search(line) or asks(line) else reasons.NOT_ASKED


@cache
def _examples() -> tuple[str, ...]:
    """What prompts show, in one form: their examples, and their sentences."""
    from harness.testset.patterns import shown_questions

    texts = [example for rule in SYNTHESIS.values() for example in rule.examples]
    texts += shown_questions()
    for kind in get_args(Kind):
        texts += re.split(r"(?<=[.:])\s+", " ".join(load(f"testset-{kind}").split()))
    return tuple(_plain(text) for text in texts if len(text.split()) >= LEAST_WORDS)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def copied_prompt(question: str) -> bool:
    """Return whether a question is an example or a sentence of a prompt, or has one of its tags."""
    from rapidfuzz.fuzz import ratio

    plain = _plain(question)
    return bool(_TAG.search(question)) or any(ratio(plain, example) >= 85 for example in _examples())


def other_language(question: str, text: str) -> bool:
    """Return whether a question is clearly in another language than a text."""
    asked, there = of_text(question), of_text(text)
    if not asked or not there or asked == there or any({asked, there} <= close for close in CLOSE):
        return False
    # Names and single letters of code are frequent words of some language.
    return _signs(question, asked) > _signs(question, there) + 1


def _signs(text: str, code: str) -> int:
    """Return how many different frequent words of a language a text has; of one without any, letters of its script."""
    language = LANGUAGES[code]
    if language.frequent:
        return len(set(re.findall(r"\w+", text.casefold())) & set(language.frequent.split()))
    return sum(script_of(character) == language.script for character in text)


def copies_passage(question: str, text: str, texts: Texts) -> bool:
    """Return whether most of a question stands in a text word for word."""
    grams = texts.shingles(question)
    return bool(grams) and len(grams & texts.shingles(text)) >= COPIED_SHARE * len(grams)


def in_title(question: str, title: str, texts: Texts) -> bool:
    """Return whether all content words of a question stand in a title."""
    if not title.strip():
        return False
    return copies(question, title, texts) or shared_words(question, title, texts=texts) == 1.0


def wording_reason(question: str, job: Job, texts: Texts) -> str:
    """Return the first reason that the question alone, beside its passages, gives to drop it; empty if none."""
    if found := fault(question, texts):
        return found
    whole = "\n".join(passage.text for passage in job.passages)
    if other_language(question, whole):
        return reasons.LANGUAGE
    if copies_passage(question, whole, texts):
        return reasons.COPIED
    titles = " ".join(dict.fromkeys(passage.title for passage in job.passages))
    if in_title(question, titles, texts):
        return reasons.TITLE
    if job.kind == "paraphrased" and shared_words(question, whole, titles, texts) > SAME_WORDS:
        return reasons.SAME_WORDS
    return ""
