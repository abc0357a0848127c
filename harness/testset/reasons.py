"""Why a question is dropped, in words, in the order in which the filters are tried."""

from __future__ import annotations

from harness.stages.shared.wording import FAULTS

EMPTY = "empty"
NOT_ASKED = "not a question"
LONG = "too long"
PROMPT = "copied from the prompt"
LANGUAGE = "in another language than its document"
COPIED = "copies a sentence of its passage"
TITLE = "answered by the title alone"
GENERAL = "too general: no word sets it apart"
VAGUE = "asks for a purpose or a meaning"
NO_ANSWER = "no answer"
UNFOUND = "its evidence is not in the passage"
UNSUPPORTED = "its answer is not supported by the evidence"
REPEATS = "its answer only repeats the question"
ELSEWHERE = "other documents answer it too"
SAME_WORDS = "uses the words of its passage"
OFF_TOPIC = "not about its passage"
ANSWERED = "has an answer after all"
UNCLEAR = "not clear without its passage"
ONE_ENOUGH = "one passage is enough"
UNCHECKED = "the check failed"
TWICE = "repeats another question"
REJECTED = "rejected by a person"
ORDER = (
    EMPTY, NOT_ASKED, LONG, PROMPT, *FAULTS, LANGUAGE, COPIED, TITLE, GENERAL, NO_ANSWER, UNFOUND, VAGUE, REPEATS,
    UNSUPPORTED, SAME_WORDS, OFF_TOPIC, ELSEWHERE, ANSWERED, UNCLEAR, ONE_ENOUGH, UNCHECKED, TWICE, REJECTED,
)  # fmt: skip
