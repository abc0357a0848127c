"""What a small model in this process is shown: finished turns of a chat, each a sentence with a question about it.

The examples are about trades that no dataset of ours is about, so that they teach the form and not the matter.
"""

from __future__ import annotations

from typing import Literal

from harness.testset.passages import Passage

Turn = tuple[Literal["system", "user", "assistant"], str]

Pattern = Literal["single", "paraphrased", "unanswerable"]
SUBJECT_WORDS, FACT_WORDS = 12, 60

_FACTS = (
    (
        "Dry stone walls",
        "Long through-stones, laid across at knee height, tie both faces together and keep the wall from bellying out.",
    ),
    ("sharpen_blade", "The stone must soak in water for ten minutes before the blade is honed."),
    (
        "The ferry Alma",
        "When the harbour froze in February 1911, letters to the islands took nine days instead of two.",
    ),
)
_WANTED: dict[Pattern, str] = {
    "single": "Write one question that this sentence answers.",
    "paraphrased": "Write one question that this sentence answers, in other words than those of the sentence.",
    "unanswerable": "Write one question about this topic that this sentence does not answer.",
}
_QUESTIONS: dict[Pattern, tuple[str, str, str]] = {
    "single": (
        "What keeps both faces of a dry stone wall together?",
        "How long must the stone soak before sharpen_blade hones a blade?",
        "How long did letters to the islands take when the harbour froze?",
    ),
    "paraphrased": (
        "Which parts stop a mortarless barrier from collapsing?",
        "What preparation does the whetting tool need in advance?",
        "How slow was the mail in that icy winter?",
    ),
    "unanswerable": (
        "Which quarry did the through-stones of old dry stone walls come from?",
        "Which company makes the stone that sharpen_blade uses?",
        "How many passengers could the ferry Alma carry?",
    ),
}


def turns(pattern: Pattern, passage: Passage, fact: str) -> list[Turn]:
    """Return the turns of a chat that ends with what is asked about a fact: pairs of a role and its text."""
    shown: list[Turn] = []
    for (topic, sentence), question in zip(_FACTS, _QUESTIONS[pattern], strict=True):
        shown += [("user", _asked(pattern, topic, sentence)), ("assistant", question)]
    topic = " ".join(passage.title.split()[:SUBJECT_WORDS])
    return [*shown, ("user", _asked(pattern, topic, " ".join(fact.split()[:FACT_WORDS])))]


def _asked(pattern: Pattern, topic: str, sentence: str) -> str:
    return f"Topic: {topic}\nSentence: {sentence}\n\n{_WANTED[pattern]}"


def shown_questions() -> list[str]:
    """Return the questions of all examples, and the sentences that they are about."""
    return [*(one for questions in _QUESTIONS.values() for one in questions), *(fact for _, fact in _FACTS)]
