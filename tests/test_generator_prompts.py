"""Solved examples and the order of passages: the same prompt in answering and in training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tiny
from stage_inputs import part, silent

from harness.data.formats import write_jsonl
from harness.models import generation
from harness.stages.answer import AnswerSpec, EndpointPrompts, answer
from harness.stages.instruct import INSTRUCTIONS_FILE
from harness.stages.shared import common
from harness.stages.shared.generator_prompts import ordered, solved_examples
from harness.stages.tune_generator import GeneratorPrompt, Prompts, TuneGeneratorSpec, tune_generator
from harness.suite.pipeline import ContextOrder, Generator
from harness.suite.recipes import ABSTENTION, GeneratorRecipe
from harness.training.generators import load_tokenizer
from harness.values.records import Document, Reference

INSTRUCTION = f"answer from the passages or write exactly: {ABSTENTION}"
CORPUS = {f"d{number}": Document(f"d{number}", "", f"the stone wall {number} is red. " * 3) for number in range(6)}
TRAIN = {f"q{number}": f"what is wall {number}" for number in range(5)}
REFERENCES = {
    key: Reference(key, (), False, ()) if key == "q4" else Reference(key, (f"red {key[1:]}",), True, ())
    for key in TRAIN
}
ROWS = [
    {"query_id": key, "query": text, "context": [f"d{key[1:]}", "d5"], "answer": f"red {key[1:]}", "kind": "oracle"}
    for key, text in TRAIN.items()
]
QUICK = GeneratorRecipe(batch_size=2, rank=2, alpha=4)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("prompts")
    common.write_corpus(part(root, "corpus"), CORPUS)
    common.write_queries(part(root, "train_queries"), TRAIN)
    common.write_judgements(part(root, "train_qrels"), {key: {f"d{key[1:]}": 1} for key in TRAIN if key != "q4"})
    common.write_references(part(root, "train_references"), REFERENCES)
    common.write_queries(part(root, "queries"), {row["query_id"]: row["query"] for row in ROWS})
    common.write_contexts(part(root, "contexts"), {row["query_id"]: row["context"] for row in ROWS})
    write_jsonl(part(root, "instructions") / INSTRUCTIONS_FILE, ROWS)
    tiny.generator(part(root, "model"), ["the", "stone", "wall", "is", "red", "what", "question"], hidden=64)
    return {item.name: item for item in root.iterdir()}


ANSWERING = ("corpus", "model", "queries", "contexts", "train_queries", "train_qrels", "train_references")
TUNING = ("corpus", "model", "instructions", "train_queries", "train_qrels", "train_references")


def answer_spec(shots: int, order: ContextOrder) -> AnswerSpec:
    rule = Generator(model="tiny", instruction=INSTRUCTION, passage_tokens=12, max_new_tokens=2, batch_size=8)
    return AnswerSpec(generator=rule, context=2, source="given", few_shot=shots, context_order=order, sentence="NONE")


def tune_spec(shots: int, order: ContextOrder) -> TuneGeneratorSpec:
    shown = GeneratorPrompt(
        model="tiny", instruction=INSTRUCTION, passage_tokens=12, shots=shots, context_order=order, sentence="NONE"
    )
    return TuneGeneratorSpec(generator=shown, recipe=QUICK)


def answered(spec: AnswerSpec, inputs: dict[str, Path], out: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The prompts that reach the model in `answer`, sorted."""
    read: list[list[int]] = []
    real = generation._continue

    def recorded(prefix: Any, suffixes: list[list[int]], *rest: Any) -> Any:
        read.extend(prefix.tokens + suffix for suffix in suffixes)
        return real(prefix, suffixes, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(generation, "_continue", recorded)
        answer(spec, {name: inputs[name] for name in ANSWERING}, out, 0, silent)
    return sorted(read)


@pytest.mark.parametrize("order", ["best-first", "best-last"])
@pytest.mark.parametrize("shots", [0, 1, 3])
def test_training_shows_token_for_token_what_answering_does(
    shots: int, order: ContextOrder, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = answered(answer_spec(shots, order), inputs, part(tmp_path, "out"), monkeypatch)
    tokenizer, ends, _ = load_tokenizer(inputs["model"])
    made = Prompts(tune_spec(shots, order), inputs, CORPUS, tokenizer).tokenized(ROWS, ends)
    assert sorted(example.prompt for example in made) == read
    assert len(read) == len(ROWS)


def test_settings_of_the_prompt_change_it(
    inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def prompts(shots: int, order: ContextOrder) -> list[str]:
        spec = answer_spec(shots, order)
        tokens = answered(spec, inputs, part(tmp_path, f"{shots} {order}"), monkeypatch)
        return [str(tokenizer.decode(row)) for row in tokens]

    tokenizer, _, _ = load_tokenizer(inputs["model"])
    plain, last, shown = prompts(0, "best-first"), prompts(0, "best-last"), prompts(2, "best-first")
    assert len({*plain, *last, *shown}) == 3 * len(ROWS)
    for text in plain:
        assert text.count("question") == 1
    for text in shown:
        assert text.count("question") == 3
    # d5 is the second passage of every question: it comes first where the best comes last.
    assert "5" not in {re.findall(r"wall (\d)", text)[0] for text in plain}
    assert {re.findall(r"wall (\d)", text)[0] for text in last} == {"5"}


def test_answers_keep_their_passages_best_first(inputs: dict[str, Path], tmp_path: Path) -> None:
    """Measures of ranking and the funnel read the context of an answer; its order in the prompt is another matter."""
    chosen = {name: inputs[name] for name in ANSWERING}
    answer(answer_spec(0, "best-last"), chosen, part(tmp_path, "out"), 0, silent)
    found = common.read_answers(tmp_path / "out")
    assert {key: list(one.context) for key, one in found.items()} == {row["query_id"]: row["context"] for row in ROWS}


def test_an_endpoint_is_shown_the_passages_in_the_same_order(inputs: dict[str, Path]) -> None:
    first, last = (
        EndpointPrompts(answer_spec(1, order), CORPUS, inputs, 0).ask("what", ["d1", "d2"]).messages
        for order in ("best-first", "best-last")
    )
    assert [message.role for message in first] == ["system", "user", "assistant", "user"]
    assert first[:-1] == last[:-1]
    assert first[-1].content.index("wall 1") < first[-1].content.index("wall 2")
    assert last[-1].content.index("wall 2") < last[-1].content.index("wall 1")


def test_solved_examples_are_drawn_from_train_and_one_is_declined(inputs: dict[str, Path]) -> None:
    drawn = solved_examples(3, "NONE", CORPUS, inputs, list)
    assert [example.reply for example in drawn[:2]] == [f"red {example.query_id[1:]}" for example in drawn[:2]]
    assert (drawn[2].query_id, drawn[2].reply) == ("q4", "NONE")
    for example in drawn[:2]:
        assert CORPUS[f"d{example.query_id[1:]}"].content in example.question
    assert [example.query_id for example in solved_examples(9, "NONE", CORPUS, inputs, list)][-1] == "q4"
    assert solved_examples(0, "NONE", CORPUS, {}, list) == []


def test_a_query_that_is_shown_solved_is_not_trained_on(inputs: dict[str, Path], tmp_path: Path) -> None:
    chosen = {name: inputs[name] for name in TUNING}
    spec = tune_spec(2, "best-first")
    usage = tune_generator(spec, chosen, part(tmp_path, "out"), 0, silent)
    assert usage.notes["examples"] == len(ROWS) - 2
    assert usage.notes["dropped, being shown as solved examples"] == 2
    plain = tune_generator(tune_spec(0, "best-first"), chosen, part(tmp_path, "plain"), 0, silent)
    assert plain.notes["examples"] == len(ROWS)
    assert "dropped, being shown as solved examples" not in plain.notes
    assert usage.notes["prompt tokens"] / usage.notes["examples"] > plain.notes["prompt tokens"] / len(ROWS)


def test_orders() -> None:
    assert ordered(["a", "b", "c"], "best-first") == ["a", "b", "c"]
    assert ordered(["a", "b", "c"], "best-last") == ["c", "b", "a"]
