"""Queries of a conversation, reworded to be understood alone: the prompt, and which rewrites are of use.

Must not know which model rewrites, or what becomes of a query whose rewrite is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.llm.prompt_templates import rough_tokens
from harness.stages.shared import wording
from harness.text import asks, text_of
from harness.values.records import Turn

EMPTY, LONG, ANSWERS, OTHER = "empty", "too long", "an answer", "about something else"
TOKENS_MORE = 64
"""A rewrite has at most so many tokens more than its query."""
KNOWN_SHARE = 0.5
"""Share of the words of a rewrite that stand in the conversation; a refusal or an answer brings its own."""
LONG_QUERY, KEPT_SHARE = 5, 0.25
"""Of a query of so many words, at least this share stands in its rewrite too."""
INTRO = "Each follow-up question is written in full, so that it names what it asks about."
LABEL = "The follow-up in full"
QUESTIONS, ANSWER_WORDS = 3, 40
"""Earlier questions, and words of the last answer, that a model in process is shown: more of them, and it answers."""
EXAMPLES: tuple[tuple[tuple[Turn, ...], str, str], ...] = (
    (
        (
            Turn("user", "How are dry stone walls built?"),
            Turn("assistant", "Without mortar, from two faces of larger stones."),
        ),
        "and what keeps them from bulging?",
        "What keeps dry stone walls from bulging?",
    ),
    (
        (
            Turn("user", "Which grit do I need to hone a kitchen knife?"),
            Turn("assistant", "A grit of 1000 hones the edge."),
        ),
        "How did letters reach the islands in 1911?",
        "How did letters reach the islands in 1911?",
    ),
    (
        (Turn("user", "Who carried the mail?"), Turn("assistant", "The ferry Alma carried it twice a week.")),
        "Was she a steamer?",
        "Was the ferry Alma a steamer?",
    ),
    (
        (Turn("user", "Tell me about the water stone."), Turn("assistant", "It must soak for ten minutes first.")),
        "any other tips",
        "What other tips are there for the water stone?",
    ),
)
_STATES = re.compile(r"(?<!\W)[^\w.!。！]*+[.!。！]\W*+$")  # noqa: RUF001  as other scripts write it
_AGREES = re.compile(
    r"(?:yes|no|yeah|yep|nope|ja|nein|oui|non|sí|да|нет|是的|不是|不|はい|いいえ|نعم|네|아니요)(?:[\s,.!，。、]|$)",  # noqa: RUF001
    re.IGNORECASE,
)
_SPEAKER = r"(?:user|assistant|human|ai|bot|agent|answer|response|explanation|note|passage|conversation)"
_LABELS = re.compile(
    r"^(?:(?:the |a |my )?(?:stand-?alone|rewritten|rephrased|reworded|reformulated|rewrite|revised|search|final|last|"
    r"follow-?up|in full|alone|user|human|output|message|query|question)[\s-]*){1,4}(?:is\s*)?[:：]\s*",  # noqa: RUF001  as other scripts write it
    re.IGNORECASE,
)
_SAYS_MORE = re.compile(rf"(?<!\s)\s+(?:\*\*)?{_SPEAKER}(?:\*\*)?\s*[:：]", re.IGNORECASE)  # noqa: RUF001


def head() -> str:
    """Return the shared beginning of all prompts for a model in process: plain text to be continued."""
    shown = (f"{tail(turns, query)} {alone}\n\n" for turns, query, alone in EXAMPLES)
    return f"{INTRO}\n\n{''.join(shown)}"


def tail(turns: Sequence[Turn], query: str) -> str:
    """Return the end of such a prompt, from the conversation up to where the rewrite begins."""
    return f"{shown(turns)}\nFollow-up: {' '.join(query.split())}\n{LABEL}:"


def shown(turns: Sequence[Turn]) -> str:
    """Return what such a prompt shows of a conversation: a small model that reads it as a chat goes on with it."""
    asked = [" ".join(turn.content.split()) for turn in turns if turn.role == "user"][-QUESTIONS:]
    answered = [turn.content.split() for turn in turns if turn.role == "assistant"][-1:]
    last = " ".join(" ".join(words[:ANSWER_WORDS]) for words in answered)
    return f"Earlier questions: {' / '.join(asked) or 'none'}\nLast answer: {last or 'none'}"


def cleaned(text: str) -> str:
    """Return the first line that says something, without labels, quotes, and what others say after it."""
    whole = text.strip()
    lines = [whole] if whole.startswith(("{", "[")) else [line for line in whole.splitlines() if line.strip()]
    for line in lines:
        found = _LABELS.sub("", wording.clean_query(_LABELS.sub("", line.strip(" *#>"))))
        found = wording.clean_query(_SAYS_MORE.split(found, maxsplit=1)[0])
        if any(map(str.isalnum, found)) and not line.rstrip(" *").endswith((":", "：")):  # noqa: RUF001
            return found
    return ""


def fault(rewrite: str, turns: Sequence[Turn], query: str, language: str) -> str | None:
    """Return why a cleaned rewrite is of no use; None if it is."""
    if not any(map(str.isalnum, rewrite)):
        return EMPTY
    if rough_tokens(rewrite) > rough_tokens(query) + TOKENS_MORE:
        return LONG
    words = text_of(language).words
    asked, own = words(query), words(rewrite)
    known = {*asked, *(word for turn in turns for word in words(turn.content))}
    foreign, written = sum(word not in known for word in own) > KNOWN_SHARE * len(own), set(own)
    # One who states something ("The west branch.") may have it repeated as a statement.
    found = wording.fault_of(rewrite, "keyword" if _STATES.search(query) else "question")
    if found == wording.REFUSAL and foreign:
        return found
    if found in (wording.NO_QUERY, wording.META):
        return found
    agrees = bool(_AGREES.match(rewrite)) and not _AGREES.match(query)
    if found == wording.ANSWER or agrees or _repeats_an_answer(rewrite, turns, query):
        return ANSWERS
    lost = len(asked) >= LONG_QUERY and sum(word in written for word in asked) < KEPT_SHARE * len(asked)
    return OTHER if foreign or lost else None


def is_same(rewrite: str, query: str) -> bool:
    """Whether a rewrite says what the query says, apart from case and the sign at the end."""
    return _plain(rewrite) == _plain(query)


def _repeats_an_answer(rewrite: str, turns: Sequence[Turn], query: str) -> bool:
    """Whether a rewrite stands in an answer, word for word, and is more than words that the user said."""
    said = _plain(rewrite)
    users = " ".join(_plain(turn.content) for turn in turns if turn.role == "user")
    stands = any(said in _plain(turn.content) for turn in turns if turn.role == "assistant")
    return stands and not asks(rewrite) and said not in f"{users} {_plain(query)}" and len(said.split()) > 4


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .?!")
