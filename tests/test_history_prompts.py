"""Answers see the turns before a query; prompts of queries without any are those of before, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
from stage_inputs import part, silent

from harness.llm import Message
from harness.models import generation
from harness.models.chat_templates import ChatTemplate
from harness.stages.answer import AnswerSpec, EndpointPrompts, answer, conversations
from harness.stages.shared import common
from harness.stages.shared.prompts import question_turn
from harness.suite.pipeline import Generator
from harness.values.records import Document, Turn

CORPUS = {"d1": Document("d1", "", "the wall is red"), "d2": Document("d2", "", "the stone is old")}
QUERIES = {"q1": "what is red", "q2": "is the stone old", "q3": "and the wall"}
SAID = (
    Turn("assistant", "is it"), Turn("user", "what is the stone"), Turn("assistant", "the stone is old"),
    Turn("user", "is it red"),
)  # fmt: skip
CONTEXTS = {key: ["d1", "d2"] for key in QUERIES}
WINDOW = 512


def spec_of(history_tokens: int = 512) -> AnswerSpec:
    rule = Generator(
        model="tiny", instruction="is it", passage_tokens=9, max_new_tokens=2, history_tokens=history_tokens
    )
    return AnswerSpec(generator=rule, context=2, source="given")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("history")
    common.write_corpus(part(root, "corpus"), CORPUS)
    common.write_queries(part(root, "queries"), QUERIES)
    common.write_contexts(part(root, "contexts"), CONTEXTS)
    words = ["the", "wall", "is", "red", "stone", "old", "what", "and", "it", "Passages", "Question", "none"]
    tiny.generator(part(root, "model"), words, hidden=64)
    return {item.name: item for item in root.iterdir()}


def with_history(root: Path, inputs: dict[str, Path], turns: Sequence[Turn] = SAID) -> dict[str, Path]:
    common.write_histories(part(root, "history"), {"q3": tuple(turns)})
    return {**inputs, "history": root / "history"}


def asked(prompts: EndpointPrompts, query_id: str) -> tuple[Message, ...]:
    return prompts.ask(QUERIES[query_id], CONTEXTS[query_id], query_id=query_id).messages


def test_an_endpoint_gets_the_turns_as_messages(inputs: dict[str, Path], tmp_path: Path) -> None:
    before = EndpointPrompts(spec_of(), CORPUS, inputs, 0)
    after = EndpointPrompts(spec_of(), CORPUS, with_history(tmp_path, inputs), 0)
    for query_id in ("q1", "q2"):
        assert asked(after, query_id) == asked(before, query_id)
    question = question_turn(QUERIES["q3"], ["the wall is red", "the stone is old"])
    # Answers to nothing are left out, and what had no answer stands above the question.
    assert asked(after, "q3") == (
        Message("system", "is it"), Message("user", "what is the stone"), Message("assistant", "the stone is old"),
        Message("user", f"is it red\n\n{question}"),
    )  # fmt: skip


def test_no_turns_are_shown_where_none_are_wanted(inputs: dict[str, Path], tmp_path: Path) -> None:
    none = EndpointPrompts(spec_of(0), CORPUS, with_history(tmp_path, inputs), 0)
    assert asked(none, "q3") == asked(EndpointPrompts(spec_of(), CORPUS, inputs, 0), "q3")


def test_the_newest_turns_are_shown_within_the_budget(inputs: dict[str, Path], tmp_path: Path) -> None:
    long = [Turn("user" if number % 2 == 0 else "assistant", f"{number} the stone is old") for number in range(40)]
    shown = asked(EndpointPrompts(spec_of(40), CORPUS, with_history(tmp_path, inputs, long), 0), "q3")[1:-1]
    assert shown[-1].content == "39 the stone is old"
    assert [message.role for message in shown] == ["user", "assistant"] * (len(shown) // 2)
    assert 2 <= len(shown) <= 8


def local_prompts(inputs: dict[str, Path], spec: AnswerSpec, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that a model in process gets, in the order of the queries."""
    texts: list[str] = []
    real = ChatTemplate.prompt

    def recorded(self: ChatTemplate, turns: Any) -> str:
        texts.append(real(self, turns))
        return texts[-1]

    with monkeypatch.context() as patched:
        patched.setattr(ChatTemplate, "prompt", recorded)
        conversations(spec, QUERIES, CORPUS, CONTEXTS, inputs, 0)
    return texts[-len(QUERIES) :]


def test_a_model_in_process_gets_them_by_its_chat_template(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = local_prompts(inputs, spec_of(), monkeypatch)
    after = local_prompts(with_history(tmp_path, inputs), spec_of(), monkeypatch)
    assert after[:2] == before[:2]
    assert len(after[2]) > len(before[2])
    places = [after[2].index(text) for text in ("what is the stone", "the stone is old", "is it red")]
    assert places == sorted(places)
    answer(spec_of(), with_history(tmp_path, inputs), part(tmp_path, "out"), 0, silent)
    assert common.read_answers(tmp_path / "out").keys() == QUERIES.keys()


def test_turns_are_dropped_where_the_window_has_no_room_for_them(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [Turn("user" if number % 2 == 0 else "assistant", "the stone is old and it is red") for number in range(90)]
    given = with_history(tmp_path, inputs, long)
    text = local_prompts(given, spec_of(5000), monkeypatch)[2]
    shown = text.count("the stone is old and it is red")
    assert 0 < shown < 90
    model, tokenizer = generation_of(given)
    assert generation.window_of(model) == WINDOW
    assert len(generation.tokenize(tokenizer, [text])[0]) + 2 <= WINDOW
    answer(spec_of(5000), given, part(tmp_path, "out"), 0, silent)


def generation_of(inputs: dict[str, Path]) -> tuple[Any, Any]:
    from harness.models.language_models import load_generator

    return load_generator(inputs["model"])
