"""The prompts of `synthesize` and `answer`. A change here is a change of those stages' versions.

The examples are about trades that no data set of ours is about, so that they teach the form and not the matter.
"""

from __future__ import annotations

from collections.abc import Sequence

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

SYNTHESIS: dict[str, tuple[str, tuple[str, ...]]] = {
    "question": (
        "You write one question that a person would ask who does not know the passage but needs what it says. "
        "Use everyday words. Write the question only.",
        (
            "What keeps the two sides of a wall without mortar from bulging apart?",
            "How do I hone a kitchen knife on a wet stone at a given angle?",
            "How long did letters to the islands take when the harbour was frozen?",
        ),
    ),
    "keyword": (
        "You write the few search words that a person would type to find the passage. Write the words only.",
        (
            "through-stones mortarless wall stability",
            "sharpening knife water stone grit angle",
            "winter island mail delay 1911 ferry",
        ),
    ),
    "claim": (
        "You write one short statement of fact that the passage proves. Write the statement only.",
        (
            "Through-stones tie the two faces of a dry stone wall together.",
            "A fine stone of grit 6000 polishes a blade instead of repairing it.",
            "Mail to the islands was carried by sledge when the harbour froze in 1911.",
        ),
    ),
}


def synthesis_prompt(kind: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the system message and the example turns for one kind of query."""
    system, queries = SYNTHESIS[kind]
    turns = [(passage_turn(passage), query) for passage, query in zip(EXAMPLE_PASSAGES, queries, strict=True)]
    return system, turns


def passage_turn(passage: str) -> str:
    """What the synthesizer is shown for one passage."""
    return f"Passage:\n{passage}"


def question_turn(question: str, passages: Sequence[str]) -> str:
    """What a generator is shown: the passages in rank order, then the question."""
    shown = "\n\n".join(f"[{number}] {passage}" for number, passage in enumerate(passages, start=1)) or "none"
    return f"Passages:\n{shown}\n\nQuestion: {question}"
