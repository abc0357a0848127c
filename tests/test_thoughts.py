"""Thoughts: removed however they are marked and wherever they end, no answers, and never read as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from harness.llm.structured import read
from harness.models import thoughts
from harness.models.thoughts import SplitText, before_json, begun_by, closing_of, split_thoughts
from harness.stages.shared.relevance_models import parse_judgement

TAGS = (
    "think", "thinking", "thought", "thoughts", "reasoning", "reason", "reflection", "seed:think", "Thought", "THINK",
    "longcat_think", "analysis", "scratchpad", "inner_monologue", "thinking_process",
)  # fmt: skip
MARKS = [
    *((f"<{tag}>", f"</{tag}>") for tag in TAGS),
    ('<thinking effort="3">', "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("|startthink|", "|endthink|"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|think|>", "<|/think|>"),
    ("Here is my thought process:", "\nHere is my response:"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|start|>assistant<|channel|>analysis<|message|>", "<|end|><|channel|>final <|constrain|>json<|message|>"),
    ("analysis", "assistantfinal"),
]
LONE = [pair for pair in MARKS if "channel|>" not in pair[0] and not pair[0].startswith(("Here", "analysis"))]
plain = st.text(st.sampled_from("abc \n.,'`#{}[]:\"é思"), max_size=40)
words = plain.filter(lambda text: any(letter.isalnum() for letter in text))


@pytest.mark.parametrize(("opening", "closing"), MARKS)
@settings(max_examples=25)
@given(
    thought=plain, answer=words, between=st.sampled_from(["", "\n", "\n\n"]), before=st.sampled_from(["", "\n ", "\n"])
)
def test_a_thought_at_the_beginning_is_no_part_of_the_answer(
    opening: str, closing: str, thought: str, answer: str, between: str, before: str
) -> None:
    found = split_thoughts(f"{before}{opening}{thought}{closing}{between}{answer}")
    assert found.answer == answer.strip()
    assert found.thought.strip() or not thought.strip()
    assert not found.open
    assert not found.fault(True, "max_new_tokens")


@pytest.mark.parametrize(("opening", "closing"), MARKS)
@settings(max_examples=25)
@given(thought=words)
def test_a_thought_that_is_never_ended_is_no_answer(opening: str, closing: str, thought: str) -> None:
    if opening == "analysis":
        # Without marks there is only the capital after the name of the channel.
        thought = f"We {thought}"
    found = split_thoughts(f"{opening}{thought}")
    assert (found.answer, found.open) == ("", True)
    assert found.fault(True, "max_new_tokens") == (
        "the model was still thinking at max_new_tokens; raise it or switch thinking off"
    )
    assert "never ended" in found.fault(False, "max_new_tokens")


@pytest.mark.parametrize(("opening", "closing"), LONE)
@settings(max_examples=25)
@given(thought=words, answer=words)
def test_a_closing_mark_on_a_line_of_its_own_ends_what_the_prompt_began(
    opening: str, closing: str, thought: str, answer: str
) -> None:
    # Marks within code are told of, and an odd ` would make the rest of its line code.
    thought = thought.replace("`", "")
    assert split_thoughts(f"{thought}\n{closing}\n\n{answer}").answer == answer.strip()
    assert split_thoughts(f"{thought}{closing}{answer}", opening=opening).answer == answer.strip()
    assert split_thoughts(thought, opening=opening).open


@settings(max_examples=25)
@given(words)
def test_a_text_without_marks_is_left_as_it_is(text: str) -> None:
    assert split_thoughts(text) == SplitText(text.strip())
    assert before_json(text) == text.strip()


@pytest.mark.parametrize("tag", TAGS)
@settings(max_examples=25)
@given(before=words, inside=plain, after=words)
def test_a_tag_in_the_middle_of_a_line_belongs_to_the_answer(tag: str, before: str, inside: str, after: str) -> None:
    before, inside = before.replace("\n", " "), inside.replace("\n", " ")
    text = f"Wrap {before} as <{tag}>{inside}</{tag}> and {after}"
    assert split_thoughts(text).answer == text.strip()
    assert thoughts.holds_mark(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # Several, nested, mentioned, and ended by another's mark.
        ("<think>a</think>\n<think>b</think>nine", "nine"),
        ("<thinking>a<thinking>b</thinking>c</thinking>nine", "nine"),
        ("<thinking>a <reflection>b</reflection> c</thinking>nine", "nine"),
        ("<reasoning>a</reasoning>\n<reflection>b</reflection>\nnine", "nine"),
        ("<think>I must write <think> once.</think>nine", "nine"),
        ("<think>I must write </think> at the end.\n</think>\n\nnine", "nine"),
        ("<thinking>a</think>nine", "nine"),
        ("Okay, the user asks ...\n</think>\n\nnine hours", "nine hours"),
        ("Okay, the user asks about it. </think> nine hours", "nine hours"),
        ("let me see</think>nine hours", "nine hours"),
        ("Sure.\n<think>\nlet me see\n</think>\nnine", "Sure.\nnine"),
        ("Let's write it.</think>The root cause is red.", "The root cause is red."),
        ("</think>The user wants a summary.\n</think>\nI have it.", "I have it."),
        ("<think>Mind the ` and `</think>` in it.\n</think>\nnine", "nine"),
        ("Use `<think>draft</think>` as the example.", "Use `<think>draft</think>` as the example."),
        # Answers in a wrapping of their own, after a thought.
        ("<think>a</think>\n<answer>nine</answer>", "nine"),
        ("<Thought>a</Thought>\n<Output>\nnine\n</Output>", "nine"),
        ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>nine<|end_of_solution|>", "nine"),
        ("<answer>nine</answer>", "<answer>nine</answer>"),
        # What is told of thoughts is an answer.
        ("The tag </think> closes it.", "The tag </think> closes it."),
        ("`<think>` opens it and `</think>` closes it.", "`<think>` opens it and `</think>` closes it."),
        ('Look for "</think>".', 'Look for "</think>".'),
        ("```xml\n<think>\na\n</think>\n```", "```xml\n<think>\na\n</think>\n```"),
        ("As in\n<reasoning>\na\n</reasoning>\nfor example", "As in\n<reasoning>\na\n</reasoning>\nfor example"),
        ("<think>a</think>The tag </think> closes it.", "The tag </think> closes it."),
        ("<thesis>a</thesis>", "<thesis>a</thesis>"),
        ("analysis of the wall: red", "analysis of the wall: red"),
        ("", ""),
    ],
)
def test_what_is_a_thought_and_what_is_not(text: str, answer: str) -> None:
    assert split_thoughts(text).answer == answer


@pytest.mark.parametrize("text", ["<think></think>", "<think>nine hours</think>\n", "[THINK]nine[/THINK]"])
def test_a_thought_alone_is_a_failure_with_its_reason(text: str) -> None:
    assert split_thoughts(text).fault(False, "max_tokens") == "the model wrote a thought and no answer"


@pytest.mark.parametrize(
    ("prompt", "begun"),
    [
        ("<|assistant|><think>\n", "<think>"),
        ("x<think>\n\n</think>\n\n", ""),
        ("[THINK]", "[THINK]"),
        ("<s>", ""),
        ("", ""),
    ],
)
def test_a_thought_that_a_prompt_begins_is_known(prompt: str, begun: str) -> None:
    assert begun_by(prompt) == begun


@pytest.mark.parametrize(("opening", "closing"), LONE)
def test_what_closes_a_thought_goes_with_what_opens_it(opening: str, closing: str) -> None:
    assert closing_of(opening.strip()) == closing


# JSON


class Verdict(BaseModel):
    verdict: int
    why: str = ""


DRAFT, FINAL = json.dumps({"verdict": 0}), json.dumps({"verdict": 1})


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_draft_in_a_thought_is_not_the_json_that_is_meant(opening: str, closing: str) -> None:
    opening = f"{opening}We " if opening == "analysis" else opening
    for text in (f"{opening}{DRAFT}{closing}{FINAL}", f"{opening}perhaps {DRAFT}? no{closing}\n```json\n{FINAL}\n```"):
        assert read(text, Verdict).verdict == 1
    with pytest.raises(ValueError, match="no JSON"):
        read(f"{opening}{DRAFT}", Verdict)
    with pytest.raises(ValueError, match="no JSON"):
        read(f"{opening}{DRAFT}{closing}", Verdict)


@pytest.mark.parametrize(("opening", "closing"), LONE)
def test_nothing_before_the_last_closing_mark_counts(opening: str, closing: str) -> None:
    assert read(f"First {DRAFT}, hm.\n{closing}\n{FINAL}", Verdict).verdict == 1
    assert read(f"Sure: {opening}{DRAFT}{closing}{FINAL}", Verdict).verdict == 1
    with pytest.raises(ValueError, match="no JSON"):
        read(f"Sure: {opening}{DRAFT}", Verdict)


@pytest.mark.parametrize("why", ["it ends with </think> {x}", "<think> {y}", "a <think>b</think> c"])
def test_a_mark_in_a_string_of_the_json_is_a_part_of_it(why: str) -> None:
    assert read(json.dumps({"verdict": 1, "why": why}), Verdict).why == why


def test_a_draft_of_a_label_is_not_the_label() -> None:
    def text(score: float) -> Any:
        return json.dumps({"relevance_score": score})

    assert parse_judgement(f"<think>{text(0.0)}</think>{text(1.0)}").score == 1.0
    assert parse_judgement(f"<think>{text(0.0)}").failure == "no JSON object"
