"""A generator that is asked one question at a time writes what the stage writes for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stage_inputs import part, silent
from test_answer import CORPUS, GENERATOR, QUERIES, adapter, asked, inputs

from harness.models.generation import PromptPrefix
from harness.stages import Asked, Step
from harness.stages.answer import AnswerSpec, answer
from harness.stages.shared import common
from harness.stages.shared.served_answers import answering
from harness.values.records import Answer, Reference, Turn

__all__ = ["inputs"]
SHOWN = {"q1": ["d3", "d2"], "q2": []}
SAID = (Turn("user", "what is the stone"), Turn("assistant", "the stone is a wall"))


def written(spec: AnswerSpec, given: dict[str, Path], root: Path) -> dict[str, Answer]:
    answer(spec, given, part(root, "out"), 0, silent)
    return common.read_answers(root / "out")


def same(step: Step, stored: dict[str, Answer], turns: dict[str, tuple[Turn, ...]] | None = None) -> None:
    for query_id, text in QUERIES.items():
        hits = [(doc_id, 0.0) for doc_id in stored[query_id].context]
        reply: Any = step(Asked(text, (turns or {}).get(query_id, ()), {"run": hits}))
        expected = stored[query_id]
        assert (reply.text, reply.prompt_tokens, reply.new_tokens, reply.cut) == (
            expected.text, expected.prompt_tokens, expected.new_tokens, expected.cut,
        )  # fmt: skip
        assert reply.requests == 0


def test_single_answers_are_those_of_the_stage(inputs: dict[str, Path], tmp_path: Path) -> None:
    stored = written(asked("given"), inputs, tmp_path)
    assert {key: list(one.context) for key, one in stored.items()} == SHOWN
    same(answering(asked("given"), inputs), stored)


def test_with_an_adapter_and_without_passages(inputs: dict[str, Path], tmp_path: Path) -> None:
    tuned = {**inputs, "adapter": adapter(tmp_path / "adapter", inputs["model"], 1)}
    same(answering(asked("none"), tuned), written(asked("none"), tuned, tmp_path))


def test_with_earlier_turns_as_many_as_are_shown(inputs: dict[str, Path], tmp_path: Path) -> None:
    common.write_histories(part(tmp_path, "history"), {"q1": SAID * 3})
    for tokens in (512, 20, 0):
        rule = GENERATOR.model_copy(update={"history_tokens": tokens})
        spec = AnswerSpec(generator=rule, context=1, source="given")
        stored = written(spec, {**inputs, "history": tmp_path / "history"}, tmp_path)
        same(answering(spec, inputs), stored, {"q1": SAID * 3})


def test_with_solved_examples(inputs: dict[str, Path], tmp_path: Path) -> None:
    common.write_queries(part(tmp_path, "train_queries"), {"t1": "what is ice"})
    common.write_judgements(part(tmp_path, "train_qrels"), {"t1": {"d3": 1}})
    common.write_references(part(tmp_path, "train_references"), {"t1": Reference("t1", ("ice",))})
    given = inputs | {name: tmp_path / name for name in ("train_queries", "train_qrels", "train_references")}
    spec = asked("given").model_copy(update={"few_shot": 1})
    same(answering(spec, given), written(spec, given, tmp_path))


def test_what_prompts_begin_with_is_computed_once(inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    plain = PromptPrefix.__init__

    def counted(self: Any, model: Any, tokenizer: Any, prefix: Any) -> None:
        plain(self, model, tokenizer, prefix)
        computed.append(len(self.tokens))

    monkeypatch.setattr(PromptPrefix, "__init__", counted)
    step = answering(asked("given"), inputs)
    for text in QUERIES.values():
        step(Asked(text, lists={"run": [("d1", 0.0)]}))
        step(Asked(text, SAID))
    (size,) = computed
    assert size > 5


def test_turns_are_left_out_where_the_window_has_no_room(inputs: dict[str, Path]) -> None:
    spec = AnswerSpec(
        generator=GENERATOR.model_copy(update={"history_tokens": 5000}), context=1, source="run",
    )  # fmt: skip
    step: Any = answering(spec, inputs)
    reply = step(Asked("what is ice", (Turn("user", "stone " * 300), Turn("assistant", "wall " * 300)) * 2))
    assert reply.prompt_tokens <= 512 - GENERATOR.max_new_tokens


def test_a_question_that_the_window_has_no_room_for_is_said_to_be_too_long(inputs: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="does not fit the model's window of 512"):
        answering(asked("run"), inputs)(Asked("stone " * 600))


def test_a_passage_that_is_not_in_the_corpus_is_no_silent_miss(inputs: dict[str, Path]) -> None:
    assert "d9" not in CORPUS
    with pytest.raises(KeyError):
        answering(asked("run"), inputs)(Asked("stone", lists={"run": [("d9", 1.0)]}))
