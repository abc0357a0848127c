"""The prompts of `synthesize`, `instruct` and `answer`. A change here is a change of those stages' versions.

The examples are about trades that no dataset of ours is about, so that they teach the form and not the matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

EXAMPLE_PASSAGES = (
    "Dry stone walls are built without mortar. Two faces of larger stones lean towards each other, and the gap between "
    "them is packed with small rubble called hearting. Long through-stones, laid across at knee height, tie both faces "
    "together and keep the wall from bellying out.",
    "sharpen_blade(edge, grit=1000, angle=15)\nHones a kitchen blade on a water stone. The stone must soak for ten "
    "minutes first. edge: the side to be honed. grit: coarseness of the stone; 400 repairs chips, 6000 polishes. "
    "angle: degrees between blade and stone.",
    "In spring 1911 the ferry Alma carried mail between the islands twice a week. When the harbour froze in February "
    "the mail went by sledge, and letters took nine days instead of two.",
)


class QueryPrompt(NamedTuple):
    """How one kind of query is asked for: what the prompt says first, the label of a query, and three examples."""

    intro: str
    label: str
    examples: tuple[str, str, str]


SYNTHESIS: dict[str, QueryPrompt] = {
    "question": QueryPrompt(
        "Each passage is followed by one question that it answers, asked by somebody who has not read it.",
        "Question",
        (
            "What keeps the two sides of a wall without mortar from bulging apart?",
            "How do I hone a kitchen knife on a wet stone at a given angle?",
            "How long did letters to the islands take when the harbour was frozen?",
        ),
    ),
    "keyword": QueryPrompt(
        "Each passage is followed by the few search words with which somebody would look for it.",
        "Search words",
        (
            "through-stones mortarless wall stability",
            "sharpening knife water stone grit angle",
            "winter island mail delay 1911 ferry",
        ),
    ),
    "claim": QueryPrompt(
        "Each passage is followed by one short statement of what it says.",
        "Statement",
        (
            "Through-stones tie the two faces of a dry stone wall together.",
            "Hones a kitchen blade on a water stone at a given angle.",
            "Mail to the islands was carried by sledge when the harbour froze in 1911.",
        ),
    ),
}


def synthesis_head(kind: str) -> str:
    """The shared beginning of all prompts for one kind: plain text to be continued.

    Not a chat: a model of some hundred million parameters continues a pattern far better than it follows an order.
    """
    rule = SYNTHESIS[kind]
    shown = (
        f"{synthesis_tail(kind, passage)} {query}\n\n"
        for passage, query in zip(EXAMPLE_PASSAGES, rule.examples, strict=True)
    )
    return f"{rule.intro}\n\n{''.join(shown)}"


def synthesis_tail(kind: str, passage: str) -> str:
    """The end of a prompt, from the passage up to where the query begins."""
    return f"Passage: {passage}\n{SYNTHESIS[kind].label}:"


ANSWERING = "Each passage is followed by a question and by a short answer in the words of the passage."
EXAMPLE_ANSWERS = ("long through-stones, laid across at knee height", "sharpen_blade with the given angle", "nine days")


def answering_head() -> str:
    """The shared beginning of all prompts that ask an LLM for an answer to train on: plain text to be continued."""
    questions = SYNTHESIS["question"].examples
    shown = (
        f"{answering_tail(passage, question)} {reply}\n\n"
        for passage, question, reply in zip(EXAMPLE_PASSAGES, questions, EXAMPLE_ANSWERS, strict=True)
    )
    return f"{ANSWERING}\n\n{''.join(shown)}"


def answering_tail(passage: str, question: str) -> str:
    """The end of such a prompt, from the passage up to where the answer begins."""
    return f"Passage: {passage}\nQuestion: {question}\nAnswer:"


def question_turn(question: str, passages: Sequence[str]) -> str:
    """What a generator is shown: the passages in rank order, then the question."""
    shown = "\n\n".join(f"[{number}] {passage}" for number, passage in enumerate(passages, start=1)) or "none"
    return f"Passages:\n{shown}\n\nQuestion: {question}"
