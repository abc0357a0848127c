"""JSON of a schema is asked for, found in what a model writes, checked, and never guessed."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm_server
import pytest
from endpoint_chat import Grade, chat_of, echo, silently, texts
from hypothesis import assume, given
from hypothesis import strategies as st
from llm_server import Body, Served, Server
from pydantic import BaseModel, Field, RootModel, field_validator

from harness.llm.structured import read, response_format
from harness.models.thoughts import holds_mark, split_thoughts


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo) as server:
        yield server


def form_of(served: Body) -> str:
    rule = served.get("response_format")
    return "plain" if rule is None else "strict" if rule["json_schema"]["strict"] else "loose"


@pytest.mark.parametrize(("structured", "kinds"), [("auto", ["strict"]), ("schema", ["strict"]), ("plain", ["plain"])])
def test_json_is_asked_for_by_a_schema_unless_told_otherwise(
    structured: str, kinds: list[str], server: Server, tmp_path: Path
) -> None:
    server.answering = lambda body: llm_server.says('{"score": 0.5}')
    (reply,) = chat_of(server, tmp_path, structured=structured).ask_all(texts("x", schema=Grade), silently)
    assert reply.value == Grade(score=0.5)
    assert [form_of(one.body) for one in server.seen] == kinds


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_knows_no_schemas_is_asked_without_from_then_on(
    status: int, server: Server, tmp_path: Path
) -> None:
    def answering(body: Body) -> Served:
        return llm_server.error(status, "what?") if "response_format" in body else llm_server.says('{"score": 0.5}')

    server.answering = answering
    endpoint = chat_of(server, tmp_path, max_concurrency=1)
    replies = endpoint.ask_all(texts("x", "y", "z", schema=Grade), silently)
    assert [reply.value for reply in replies] == [Grade(score=0.5)] * 3
    assert [form_of(one.body) for one in server.seen] == ["strict", "plain", "plain", "plain"]
    (reply,) = chat_of(server, tmp_path / "2", structured="schema").ask_all(texts("x", schema=Grade), silently)
    assert reply.failure == f"answers {status}: what?"


def test_a_question_that_is_wrong_anyway_does_not_speak_against_schemas(server: Server, tmp_path: Path) -> None:
    def answering(body: Body) -> Served:
        wrong = llm_server.asked(body) == "too long"
        return llm_server.error(400, "too long") if wrong else llm_server.says('{"score": 0.5}')

    server.answering = answering
    replies = chat_of(server, tmp_path, max_concurrency=1).ask_all(texts("too long", "x", schema=Grade), silently)
    assert [reply.failure for reply in replies] == ["answers 400: too long", ""]
    assert form_of(server.seen[-1].body) == "strict"


def test_a_form_with_keys_that_are_not_known_is_not_strict() -> None:
    class Free(BaseModel):
        shares: dict[str, float]

    class Opaque(BaseModel):
        model_config = {"arbitrary_types_allowed": True}
        inner: threading.Event

    rule = response_format(Free)
    assert rule is not None
    assert rule["json_schema"]["strict"] is False
    assert response_format(Opaque) is None


encodable = st.text(st.characters(exclude_categories=["Cs"]))
words = st.text(st.characters(exclude_characters="{}[]", exclude_categories=["Cs"]), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | encodable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(encodable, inner),
)  # fmt: skip


class Anything(BaseModel):
    value: Any


class Items(RootModel[list[int]]):
    """A form that is a list."""


@given(values, words, words, st.booleans(), st.sampled_from([None, 2]))
def test_json_is_found_in_any_chatter(value: Any, before: str, after: str, fenced: bool, indent: int | None) -> None:
    # Of chatter that holds marks of thoughts, some is no chatter; see test_thoughts.
    assume(not holds_mark(before + after) and not split_thoughts(before + after).thought)
    text = json.dumps({"value": value}, indent=indent)
    text = f"{before}\n```json\n{text}\n```\n{after}" if fenced else f"{before}{text}{after}"
    assert read(text, Anything).value == value


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.data())
def test_json_that_is_cut_off_is_never_taken_for_an_answer(why: str, data: st.DataObject) -> None:
    text = json.dumps({"inner": {"score": 0.1, "why": ""}, "score": 0.9, "why": why})
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(ValueError, match="broken JSON: "):
        read(text[:cut], Grade)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no JSON"),
        ("I think [not]", "no JSON"),
        ('{"score": 0.5', "broken JSON: it is cut off"),
        ('{"score": 0.5, "why": "beca', "broken JSON: it is cut off"),
        ('{"score": 0.5 "why": {"score": 1}}', "broken JSON: Expecting ',' delimiter at character 14"),
        ('{"score": NaN}', "broken JSON: NaN is no number of JSON"),
        ('{"score": "NaN"}', "score: Input should be less than or equal to 1"),
        ('{"score": -Infinity}', "broken JSON: -Infinity is no number of JSON"),
        ('{"score": 1e999}', "broken JSON: 1e999 is no number"),
        ('{"score": true}', "score: true is no number"),
        ('{"score": 1.01}', "score: Input should be less than or equal to 1"),
        ('{"score": null}', "score: Input should be a valid number"),
        ('{"why": "x"}', "score: Field required"),
        ('{"score": 0.1, "score": 0.9}', "broken JSON: 'score' is given twice, differently"),
        ('{"score": 0.1, "why": "\\ud83d"}', "a text holds half of a surrogate pair"),
        ("[0.5]", "Input should be a valid dictionary or instance of Grade"),
        ('{"score":' + "[" * 100_000, "broken JSON: it is nested too deeply"),
    ],
)
def test_what_is_no_answer_is_told_in_words(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(wrong)}$"):
        read(text, Grade)


def test_unbounded_numbers_must_be_finite_and_booleans_are_no_numbers_deep_inside() -> None:
    class One(BaseModel):
        verdict: int = Field(alias="Verdict")
        weight: float = 1.0

    class Many(BaseModel):
        ones: list[One]

    assert read('{"ones": [{"Verdict": "1"}]}', Many).ones[0].verdict == 1
    with pytest.raises(ValueError, match=r"^ones\.1\.Verdict: false is no number$"):
        read('{"ones": [{"Verdict": 1}, {"Verdict": false}]}', Many)
    with pytest.raises(ValueError, match=r"ones\.0\.weight: Input should be a finite number|not a finite number"):
        read('{"ones": [{"Verdict": 1, "weight": "inf"}]}', Many)


def test_thoughts_examples_in_brackets_and_lists_are_told_apart() -> None:
    assert read('<think>{"score": 0.1}?</think> see [1]: {"score": 0.9}', Grade).score == 0.9
    assert read("first {of all}, [1, 2]", Items).root == [1, 2]


def test_a_validator_that_breaks_is_a_wrong_answer() -> None:
    class Fragile(BaseModel):
        score: float

        @field_validator("score")
        @classmethod
        def _break(cls, value: float) -> float:
            raise KeyError(value)

    with pytest.raises(ValueError, match=r"^not of the form Fragile \(KeyError\)$"):
        read('{"score": 1}', Fragile)
