"""answer: contexts that are given, an adapter that is merged in, and prompts that training can share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from stage_inputs import part, silent

from harness.models import generation
from harness.stages.answer import AnswerSpec, answer, choose_contexts, turns_of
from harness.stages.shared import common
from harness.stages.shared.prompts import question_turn
from harness.suite.pipeline import Generator
from harness.values.records import Document

WORDS = ["stone", "wall", "ferry", "mail", "ice", "passages", "question", "none", "what", "is", "the"]
CORPUS = {
    "d1": Document("d1", "", "the stone wall"),
    "d2": Document("d2", "ferry", "mail is the ice " * 20),
    "d3": Document("d3", "", "ice"),
}
QUERIES = {"q1": "what is the wall", "q2": "what is the ferry"}
GENERATOR = Generator(model="tiny", max_new_tokens=6, passage_tokens=12, batch_size=2, instruction="the question is")


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    common.write_corpus(part(tmp_path, "corpus"), CORPUS)
    common.write_queries(part(tmp_path, "queries"), QUERIES)
    common.write_contexts(part(tmp_path, "contexts"), {"q1": ["d3", "d2"], "q2": [], "other": ["d1"]})
    tiny.generator(part(tmp_path, "model"), WORDS)
    return {name: tmp_path / name for name in ("corpus", "queries", "contexts", "model")}


def asked(source: str) -> AnswerSpec:
    return AnswerSpec(generator=GENERATOR, context=1, source=source)


def adapter(folder: Path, model: Path, seed: int) -> Path:
    """A LoRA adapter that changes what the base writes."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from harness.training.generators import save_adapter

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(model, dtype="float32")
        adapted = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    folder.mkdir()
    save_adapter(adapted, folder, "tiny")
    return folder


def test_contexts_are_read_as_written(tmp_path: Path) -> None:
    common.write_contexts(tmp_path, {"q1": ("d2", "d1"), "q2": ()})
    assert common.read_contexts(tmp_path) == {"q1": ["d2", "d1"], "q2": []}


def test_given_contexts_are_shown_whole_and_in_their_order(inputs: dict[str, Path]) -> None:
    assert choose_contexts(asked("given"), QUERIES, inputs) == {"q1": ["d3", "d2"], "q2": []}


def test_given_contexts_are_what_the_answers_say_they_were_shown(inputs: dict[str, Path], tmp_path: Path) -> None:
    answer(asked("given"), inputs, part(tmp_path, "out"), 0, silent)
    found = common.read_answers(tmp_path / "out")
    assert {key: one.context for key, one in found.items()} == {"q1": ("d3", "d2"), "q2": ()}
    assert found["q1"].prompt_tokens > found["q2"].prompt_tokens


def test_a_passage_is_cut_alike_wherever_it_is_shown(inputs: dict[str, Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(inputs["model"])
    first, second = turns_of(tokenizer, "be short", [], [("what", ["d2", "d3"]), ("is", ["d2"])], CORPUS, 12)
    (cut,) = generation.truncate(tokenizer, [CORPUS["d2"].content], 12)
    assert len(cut) < len(CORPUS["d2"].content)
    assert first == [("system", "be short"), ("user", question_turn("what", [cut, "ice"]))]
    assert second == [("system", "be short"), ("user", question_turn("is", [cut]))]


def test_an_adapter_changes_the_model_as_peft_would(inputs: dict[str, Path], tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from harness.models.language_models import load_generator

    folder = adapter(tmp_path / "adapter", inputs["model"], 1)
    plain, _ = load_generator(inputs["model"])
    merged, _ = load_generator(inputs["model"], folder)
    beside = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(inputs["model"], dtype="float32"), folder)
    tokens = torch.tensor([[4, 7, 9, 5]])
    with torch.inference_mode():
        told: list[Any] = [model(tokens).logits for model in (merged, beside.eval(), plain)]
    assert torch.allclose(told[0], told[1], atol=1e-5)
    assert not torch.allclose(told[0], told[2], atol=1e-2)
    assert not any("lora" in name for name, _ in merged.named_modules())


def test_answers_come_from_the_adapted_generator(inputs: dict[str, Path], tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter", inputs["model"], 1)
    answer(asked("given"), inputs, part(tmp_path, "plain"), 0, silent)
    answer(asked("given"), {**inputs, "adapter": folder}, part(tmp_path, "adapted"), 0, silent)
    plain, adapted = (common.read_answers(tmp_path / name) for name in ("plain", "adapted"))
    assert [one.prompt_tokens for one in plain.values()] == [one.prompt_tokens for one in adapted.values()]
    assert [one.text for one in plain.values()] != [one.text for one in adapted.values()]
