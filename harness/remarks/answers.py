"""Remarks on the answers: how they were prompted, what was removed from them, and what looks wrong.

One sentence for many systems. Counts come from the answers that are scored and from the notes of the ledger.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.data.formats import load_jsonl
from harness.models.chat_templates import PINNED
from harness.models.thoughts import holds_mark
from harness.planning.graph import Plan, SystemPlan
from harness.remarks import systems
from harness.scoring.abstention import is_abstention
from harness.stages.answer import DATE_PINNED, FAILED_FILE, IN_USER_TURN, THINKING_OFF
from harness.stages.shared.common import base_name, read_answers
from harness.stages.tune_generator import TAUGHT_NO_THOUGHTS
from harness.store import Store
from harness.values.findings import LedgerRow
from harness.values.records import Answer

ALIKE_SHARE = 0.9
"""Share of equal answers of a system from which there is a remark."""
FEWEST = 4
"""Number of answers below which there is no remark on equal ones."""
SHOWN = 40
_TAG = re.compile(r"(?:<[|/]?[A-Za-z][\w:.|/-]*(?:\s[^<>]*)?>|\[/?[A-Z_]{3,}\]|◁)")
GENERATOR = "pipeline.generator"


@dataclass(frozen=True)
class _Written:
    """The answers of one system, and the reasons of those that failed."""

    label: str
    answers: Sequence[Answer]
    failed: Sequence[str]

    @property
    def asked(self) -> int:
        return len(self.answers) + len(self.failed)


def remarks(plan: Plan, rows: Mapping[str, LedgerRow], store: Store) -> list[str]:
    """Return sentences on the answers of all systems of a plan; `rows` are those of the ledger, by key."""
    answered = [system for system in plan.systems if system.answers]
    notes = [rows[key].notes for system in answered if (key := system.answers or "") in rows]
    written = [answers for system in answered if (answers := _written(system, store)) is not None]
    return [
        *_prompts(plan, notes),
        *_taught(rows),
        *_taken_off(plan, written),
        *_failed(written),
        *_looks_wrong(written),
    ]


def _written(system: SystemPlan, store: Store) -> _Written | None:
    place = store.get(system.answers) if system.answers else None
    if place is None:
        return None
    failed = place / FAILED_FILE
    reasons = [str(row["reason"]) for row in load_jsonl(failed)] if failed.is_file() else []
    return _Written(system.label, list(read_answers(place).values()), reasons)


def _prompts(plan: Plan, notes: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield what was done to prompts, which is the same in every system: they share the chat template."""
    model = base_name(plan.suite.generator.model) if plan.suite.generator else ""
    if any(note.get(IN_USER_TURN) for note in notes):
        yield (
            f"The chat template of {model} has no system turn: the instruction goes into the user turn, before the "
            "first query, in every system alike."
        )
    if any(note.get(DATE_PINNED) for note in notes):
        yield (
            f"The chat template of {model} writes today's date: prompts have {PINNED:%d %B %Y} instead, so that runs "
            "are reproducible."
        )
    if any(note.get(THINKING_OFF) for note in notes):
        yield f"{model} thinks by default: thinking is off ({GENERATOR}.thinking: false) in every system."


def _taught(rows: Mapping[str, LedgerRow]) -> Iterator[str]:
    if any(row.notes.get(TAUGHT_NO_THOUGHTS) for row in rows.values()):
        yield (
            "Generators that think were tuned on answers without thoughts: a difference may come from not "
            f"thinking. Compare with {GENERATOR}.thinking: false."
        )


def _taken_off(plan: Plan, written: Sequence[_Written]) -> Iterator[str]:
    if per_system := _counted(written, lambda answer: answer.cut):
        tokens = plan.suite.generator.max_new_tokens if plan.suite.generator else 0
        limit = f"{tokens} tokens ({GENERATOR}.max_new_tokens)"
        yield f"Answers were truncated at {limit} and are scored as they are: {per_system}. Raise it for whole answers."
    if per_system := _counted(written, lambda answer: answer.thought):
        yield f"Thoughts were removed from answers before they were scored: {per_system}."


def _failed(written: Sequence[_Written]) -> Iterator[str]:
    """Yield a sentence on answers that are only a thought; other failures are reported with the failures."""
    counts = {
        system.label: (sum("thinking" in reason or "thought" in reason for reason in system.failed), system.asked)
        for system in written
    }
    if per_system := systems.counts(counts):
        yield (
            f"Responses are only a thought, so there is no answer to score: {per_system}. Raise "
            f"{GENERATOR}.max_new_tokens, or switch thinking off."
        )


def _looks_wrong(written: Sequence[_Written]) -> Iterator[str]:
    if per_system := _counted(written, lambda answer: not answer.text.strip()):
        yield f"Answers are empty: {per_system}."
    if per_system := _counted(written, lambda answer: bool(_TAG.match(answer.text.lstrip()))):
        first = next(answer.text for system in written for answer in system.answers if _TAG.match(answer.text.lstrip()))
        yield f"Answers begin with a tag, as in {_short(first)}: {per_system}. Check whether it belongs to the answer."
    if per_system := _counted(written, lambda answer: not _TAG.match(answer.text.lstrip()) and holds_mark(answer.text)):
        yield f"Answers hold a mark of thoughts after their beginning and are scored as they are: {per_system}."
    alike: dict[str, list[str]] = {}
    for system in written:
        if (most := _alike(system)) is not None:
            text, count, asked = most
            alike.setdefault(text, []).append(f"{system.label} {count} of {asked}")
    if alike:
        per_text = "; ".join(f"{_short(text)}: {', '.join(counts)}" for text, counts in alike.items())
        yield f"Nearly all answers of a system are the same ({per_text}). Check the prompt and the model."


def _alike(system: _Written) -> tuple[str, int, int] | None:
    """Return the text of nearly all answers, its count and the total; None for refusals, reported elsewhere."""
    if len(system.answers) < FEWEST:
        return None
    (text, count), *_ = Counter(answer.text.strip() for answer in system.answers).most_common(1)
    notable = count >= ALIKE_SHARE * len(system.answers) and text and not is_abstention(text)
    return (text, count, len(system.answers)) if notable else None


def _counted(written: Iterable[_Written], applies: Callable[[Answer], bool]) -> str:
    return systems.counts({one.label: (sum(map(applies, one.answers)), len(one.answers)) for one in written})


def _short(text: str) -> str:
    words = " ".join(text.split())
    return repr(words if len(words) <= SHOWN else f"{words[:SHOWN]}...")
