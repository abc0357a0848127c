"""What a report says first of answers: cut, thoughts, tags, all alike; one sentence for many systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.data.formats import write_jsonl
from harness.models.thoughts import NEVER_ENDED, ONLY_THOUGHT, STILL_THINKING
from harness.remarks import answers as remarks
from harness.stages.answer import DATE_PINNED, FAILED_FILE, IN_USER_TURN, THINKING_OFF
from harness.stages.shared import common
from harness.stages.tune_generator import TAUGHT_NO_THOUGHTS
from harness.suite.recipes import ABSTENTION
from harness.values.records import Answer

PLAIN = [Answer(f"q{number}", f"answer {number}", 9, 3) for number in range(6)]


@pytest.fixture
def said(tmp_path: Path) -> Any:
    """The remarks on systems with these answers, these reasons of failures, and these notes of the ledger."""

    def made(
        systems: Mapping[str, Sequence[Answer]], failed: Sequence[str] = (), notes: Mapping[str, Any] = {}
    ) -> list[str]:
        for label, answers in systems.items():
            (tmp_path / label).mkdir()
            common.write_answers(tmp_path / label, answers)
            rows = [{"query_id": f"f{number}", "reason": reason} for number, reason in enumerate(failed)]
            write_jsonl(tmp_path / label / FAILED_FILE, rows)
        plan = SimpleNamespace(
            systems=[SimpleNamespace(label=label, answers=label) for label in systems],
            suite=SimpleNamespace(generator=SimpleNamespace(model="org/model", max_new_tokens=48)),
        )
        rows_ = {label: SimpleNamespace(notes=dict(notes)) for label in systems}
        store = SimpleNamespace(get=lambda key: tmp_path / key)
        return remarks.remarks(plan, rows_, store)  # type: ignore[arg-type]

    return made


def with_(answers: Sequence[Answer], count: int, **changes: Any) -> list[Answer]:
    return [one._replace(**changes) if number < count else one for number, one in enumerate(answers)]


def test_answers_that_are_as_they_should_be_raise_no_remark(said: Any) -> None:
    assert said({"untuned": PLAIN, "few-shot": PLAIN}) == []


def test_cut_answers_are_counted_in_one_sentence_for_all_systems(said: Any) -> None:
    (told,) = said({"untuned": with_(PLAIN, 4, cut=True), "few-shot": PLAIN, "tuned": with_(PLAIN, 1, cut=True)})
    assert told.startswith("Answers were truncated at 48 tokens (pipeline.generator.max_new_tokens)")
    assert "untuned 4 of 6 answers, tuned 1 of 6" in told


def test_thoughts_that_were_removed_are_counted(said: Any) -> None:
    (told,) = said({"untuned": with_(PLAIN, 6, thought=True), "tuned": PLAIN})
    assert told == "Thoughts were removed from answers before they were scored: untuned 6 of 6 answers."


def test_questions_that_only_a_thought_came_to_are_counted(said: Any) -> None:
    reasons = [STILL_THINKING.format(limit="max_new_tokens"), NEVER_ENDED, ONLY_THOUGHT, "refused"]
    (told,) = said({"untuned": PLAIN}, reasons)
    assert "no answer to score: untuned 3 of 10 answers." in told


@pytest.mark.parametrize("text", ["<b>nine</b>", "<|tool|> nine", "[TOOL_CALLS] nine", "</s> nine", "◁x▷ nine"])
def test_answers_that_begin_with_a_tag_are_pointed_out(text: str, said: Any) -> None:
    (told,) = said({"untuned": with_(PLAIN, 1, text=text), "tuned": PLAIN})
    assert told.startswith("Answers begin with a tag")
    assert "untuned 1 of 6" in told
    assert "tuned 0" not in told


@pytest.mark.parametrize("text", ["a <b> nine", "[1] nine", "[Note] nine", "< 5 nine", "<5> nine"])
def test_what_is_no_tag_or_stands_further_down_is_not(text: str, said: Any) -> None:
    assert said({"untuned": with_(PLAIN, 1, text=text)}) == []


def test_marks_of_thoughts_that_were_left_are_told(said: Any) -> None:
    (told,) = said({"untuned": with_(PLAIN, 2, text="Sure: <think>a</think> nine")})
    assert "scored as they are: untuned 2 of 6 answers" in told


def test_answers_that_are_all_alike_are_shown_once_for_all_systems(said: Any) -> None:
    alike = with_(PLAIN, 6, text="Okay, the user asks")
    (told,) = said({"untuned": alike, "few-shot": alike, "tuned": PLAIN, "oracle-context": with_(PLAIN, 3, text="x")})
    assert "'Okay, the user asks': untuned 6 of 6, few-shot 6 of 6)" in told
    assert "tuned 6" not in told.replace("untuned 6", "")


def test_refusals_and_a_handful_of_answers_may_be_alike(said: Any) -> None:
    refused = with_(PLAIN, 6, text=ABSTENTION)
    assert said({"closed-book": refused, "untuned": [replace_text(PLAIN[0], "x")] * 3}) == []


def replace_text(one: Answer, text: str) -> Answer:
    return one._replace(text=text)


def test_empty_answers_are_counted(said: Any) -> None:
    assert said({"untuned": with_(PLAIN, 2, text=" ")}) == ["Answers are empty: untuned 2 of 6 answers."]


def test_what_was_done_to_prompts_is_told_once_and_without_a_path(said: Any) -> None:
    first, second, third = said(
        {"a": PLAIN, "b": PLAIN}, notes={IN_USER_TURN: True, DATE_PINNED: True, THINKING_OFF: 1}
    )
    assert "has no system turn" in first
    assert "26 July 2024" in second
    assert "thinking is off (pipeline.generator.thinking: false)" in third


def test_a_generator_that_learned_not_to_think_is_told(said: Any) -> None:
    (told,) = said({"a": PLAIN}, notes={TAUGHT_NO_THOUGHTS: True})
    assert "tuned on answers without thoughts" in told


def test_answers_from_before_these_flags_are_read(tmp_path: Path) -> None:
    rows = [{"query_id": "q", "text": "nine", "prompt_tokens": 3, "new_tokens": 1, "context": []}]
    write_jsonl(tmp_path / "answers.jsonl", rows)
    assert common.read_answers(tmp_path) == {"q": Answer("q", "nine", 3, 1)}
