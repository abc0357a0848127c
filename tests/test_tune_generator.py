"""tune_generator: prompts as `answer` shows them, loss on the answer alone, and an adapter that is all of this."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_inputs import part, silent

from harness.data.formats import write_jsonl
from harness.models import generation
from harness.models.chat_templates import ChatTemplate
from harness.stages import answer as answering
from harness.stages.instruct import INSTRUCTIONS_FILE
from harness.stages.shared import common
from harness.stages.shared.answer_writers import words_of
from harness.stages.tune_generator import (
    GeneratorPrompt,
    Prompts,
    TuneGeneratorSpec,
    short_enough,
    tune_generator,
)
from harness.suite.pipeline import Generator
from harness.suite.recipes import ABSTENTION, GeneratorRecipe
from harness.training import generators
from harness.training.completions import IGNORED, completion_loss
from harness.training.generators import (
    Monitor,
    TokenizedExample,
    load_base,
    load_tokenizer,
    sft_arguments,
    training_order,
    tune,
)
from harness.values.records import Document, Usage

INSTRUCTION = f"answer from the passages or write exactly: {ABSTENTION}"
CORPUS = {f"d{number}": Document(f"d{number}", "", f"the stone wall {number} is red. " * 6) for number in range(4)}
ROWS = [
    {"query_id": f"q{number}", "query": f"what is wall {number}", "context": [f"d{number % 4}", f"d{(number + 1) % 4}"],
     "answer": ABSTENTION if number % 3 == 0 else "red", "kind": "without_oracle" if number % 3 == 0 else "oracle"}
    for number in range(10)
]  # fmt: skip
WORDS = sorted({*words_of(INSTRUCTION), *words_of(ABSTENTION), "the", "stone", "wall", "is", "red", "what"})
SHOWN = GeneratorPrompt(model="tiny", instruction=INSTRUCTION, passage_tokens=20)
QUICK = GeneratorRecipe(epochs=2, batch_size=4, learning_rate=1e-2, rank=4, alpha=8)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tune")
    common.write_corpus(part(root, "corpus"), CORPUS)
    write_jsonl(part(root, "instructions") / INSTRUCTIONS_FILE, ROWS)
    tiny.generator(part(root, "model"), WORDS, hidden=64)
    return {name: root / name for name in ("corpus", "instructions", "model")}


@pytest.fixture(scope="module")
def loaded(inputs: dict[str, Path]) -> tuple[Any, set[int], int | None]:
    return load_tokenizer(inputs["model"])


def tuned(
    inputs: dict[str, Path], out: Path, recipe: GeneratorRecipe = QUICK, seed: int = 0, shown: GeneratorPrompt = SHOWN
) -> Usage:
    out.mkdir(parents=True)
    return tune_generator(TuneGeneratorSpec(generator=shown, recipe=recipe), inputs, out, seed, silent)


def examples_of(tokenizer: Any, ends: set[int]) -> list[TokenizedExample]:
    return Prompts(TuneGeneratorSpec(generator=SHOWN, recipe=QUICK), {}, CORPUS, tokenizer).tokenized(ROWS, ends)


# what is trained on


def test_prompts_are_token_for_token_what_answering_reads(
    inputs: dict[str, Path], loaded: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What reaches the model in `answer` is recorded, not made a second time."""
    tokenizer, ends, _ = loaded
    read: list[list[int]] = []
    real = generation._continue

    def recorded(head: Any, tails: list[list[int]], *rest: Any) -> Any:
        read.extend(head.tokens + tail for tail in tails)
        return real(head, tails, *rest)

    monkeypatch.setattr(generation, "_continue", recorded)
    common.write_queries(part(tmp_path, "queries"), {row["query_id"]: row["query"] for row in ROWS})
    common.write_contexts(part(tmp_path, "contexts"), {row["query_id"]: row["context"] for row in ROWS})
    rule = Generator(
        model="tiny", instruction=INSTRUCTION, passage_tokens=SHOWN.passage_tokens, batch_size=3, max_new_tokens=2
    )
    spec = answering.AnswerSpec(generator=rule, context=5, source="given")
    given_inputs = {**inputs, "queries": tmp_path / "queries", "contexts": tmp_path / "contexts"}
    answering.answer(spec, given_inputs, part(tmp_path, "out"), 0, silent)
    shown = [one.prompt for one in examples_of(tokenizer, ends)]
    assert len(shown) == len(read) == len(ROWS)
    assert sorted(shown) == sorted(read)


def test_an_answer_is_followed_by_what_ends_the_turn(inputs: dict[str, Path], loaded: Any) -> None:
    tokenizer, ends, _ = loaded
    for row, example in zip(ROWS, examples_of(tokenizer, ends), strict=True):
        assert example.completion[-1] == tokenizer.eos_token_id
        reply = tokenizer(row["answer"], add_special_tokens=False)["input_ids"]
        assert example.completion[:-1] == reply


def test_only_the_answer_and_its_end_carry_loss(inputs: dict[str, Path], loaded: Any, tmp_path: Path) -> None:
    tokenizer, ends, _ = loaded
    examples = examples_of(tokenizer, ends)
    model = load_base(inputs["model"], QUICK)
    trainer = generators.trainer_of(model, tokenizer, examples, QUICK, 0, 2, str(tmp_path))
    seen = 0
    for batch in trainer.get_train_dataloader():
        for row, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            one = examples[seen]
            assert row[: len(one)] == one.prompt + one.completion
            assert labels[: len(one)] == [-100] * len(one.prompt) + one.completion
            assert set(labels[len(one) :]) <= {-100}
            assert labels[len(one) - 1] == tokenizer.eos_token_id
            seen += 1
    assert seen == len(examples)


def test_the_loss_is_the_mean_over_answer_tokens_whatever_else_is_scored(inputs: dict[str, Path], loaded: Any) -> None:
    import torch
    from torch.nn import functional

    tokenizer, ends, _ = loaded
    examples = examples_of(tokenizer, ends)[:3]
    examples[1] = TokenizedExample(examples[1].prompt[:-9], examples[1].completion)
    model, width = load_base(inputs["model"], QUICK), max(map(len, examples))
    rows = [[*one.prompt, *one.completion] for one in examples]
    batch = {
        "input_ids": torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
        "labels": torch.tensor(
            [[-100] * len(one.prompt) + one.completion + [-100] * (width - len(one)) for one in examples]
        ),
    }
    single = 0.0
    with torch.inference_mode():
        for one in examples:
            logits = model(torch.tensor([[*one.prompt, *one.completion]])).logits[0, len(one.prompt) - 1 : -1]
            single += functional.cross_entropy(logits, torch.tensor(one.completion), reduction="sum").item()
        count = sum(len(one.completion) for one in examples)
        assert completion_loss(model, batch).item() == pytest.approx(single / count, rel=1e-5)
        assert completion_loss(model, batch, 7).item() == pytest.approx(single / 7, rel=1e-5)


def test_examples_over_the_limit_are_dropped_and_too_many_are_refused() -> None:
    examples = [TokenizedExample([1] * size, [2, 3]) for size in (5, 8, 3, 20)]
    kept = short_enough(examples, GeneratorRecipe(max_length=10, drop_limit=0.25), None)
    assert [len(one) for one in kept] == [7, 10, 5]
    assert short_enough(examples, GeneratorRecipe(max_length=100, drop_limit=0.25), 10) == kept
    assert short_enough(examples, GeneratorRecipe(), None) == examples
    with pytest.raises(ValueError, match=r"1 of 4 training examples .* longer than 10 tokens.*; lower instruct"):
        short_enough(examples, GeneratorRecipe(max_length=10, drop_limit=0.2), None)
    with pytest.raises(ValueError, match="4 of 4"):
        short_enough(examples, GeneratorRecipe(max_length=2, drop_limit=1.0), None)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 3), st.integers(1, 8), st.integers(0, 99))
def test_every_example_is_trained_on_once_an_epoch_long_ones_first_in_a_step(
    lengths: list[int], epochs: int, size: int, seed: int
) -> None:
    recipe = GeneratorRecipe(epochs=epochs, batch_size=size)
    order = training_order(lengths, recipe, seed)
    assert sorted(order) == sorted([*range(len(lengths))] * epochs)
    for start in range(0, len(order), size):
        step = [lengths[place] for place in order[start : start + size]]
        assert step == sorted(step, reverse=True)


def test_a_seed_draws_its_own_order() -> None:
    orders = {tuple(training_order([5] * 12, GeneratorRecipe(batch_size=1), seed)) for seed in range(5)}
    assert len(orders) == 5


# training


def test_training_writes_an_adapter_that_knows_no_path(inputs: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    usage = tuned(inputs, tmp_path / "out")
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    text = (tmp_path / "out" / "adapter_config.json").read_text(encoding="utf-8")
    config = json.loads(text)
    assert config["base_model_name_or_path"] == "tiny"
    assert str(inputs["model"]) not in text
    names = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert {module.rpartition(".")[2] for module in config["target_modules"]} == names
    assert config["target_modules"] == sorted(config["target_modules"])
    weights = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert len(weights) == 2 * len(names)
    assert {str(value.dtype) for value in weights.values()} == {"float32"}
    assert all(abs(value).sum() > 0 for value in weights.values())
    expected = {"examples": 10, "dropped, being too long": 0, "steps": 5, "optimizer": "adamw"}
    assert {name: usage.notes[name] for name in expected} == expected
    assert usage.notes["trainable parameters"] == sum(value.size for value in weights.values())
    assert usage.notes["answer tokens"] == sum(len(words_of(row["answer"])) + 1 for row in ROWS) + 4
    assert usage.notes["mean loss, last third"] < usage.notes["mean loss, first third"]
    assert usage.units == 20


def test_the_same_seed_writes_the_same_bytes_and_another_others(inputs: dict[str, Path], tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tuned(inputs, tmp_path / name, seed=seed)
    a, b, c = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    configs = {(tmp_path / name / "adapter_config.json").read_bytes() for name in "abc"}
    assert len(configs) == 1


def test_training_leaves_the_global_generators_alone(inputs: dict[str, Path], tmp_path: Path) -> None:
    import random

    import torch

    random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), torch.get_rng_state()
    tuned(inputs, tmp_path / "out")
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_what_was_trained_is_what_the_generator_then_writes(inputs: dict[str, Path], tmp_path: Path) -> None:
    from harness.models.language_models import load_generator

    recipe = QUICK.model_copy(update={"epochs": 20, "learning_rate": 3e-2})
    rows = [{**row, "answer": "red wall"} for row in ROWS]
    write_jsonl(part(tmp_path, "instructions") / INSTRUCTIONS_FILE, rows)
    tuned({**inputs, "instructions": tmp_path / "instructions"}, tmp_path / "out", recipe)
    model, tokenizer = load_generator(inputs["model"], tmp_path / "out")
    asked = [(row["query"], row["context"]) for row in rows]
    turns = answering.turns_of(tokenizer, INSTRUCTION, [], asked, CORPUS, SHOWN.passage_tokens)
    chat = generation.Conversations(model, ChatTemplate(tokenizer), turns)
    written = chat.write(generation.Sampling(12, 4))
    assert [one.text for one in written] == ["red wall"] * len(rows)


def test_parts_of_a_step_add_up_to_the_step(inputs: dict[str, Path], loaded: Any) -> None:
    tokenizer, ends, _ = loaded
    examples = examples_of(tokenizer, ends)
    short = [TokenizedExample(one.prompt[: -number or None], one.completion) for number, one in enumerate(examples)]
    found = {}
    for parts in (1, 2, 4):
        with common.seeded(0):
            base = load_base(inputs["model"], QUICK)
            found[parts] = generators._train(base, tokenizer, short, QUICK, 0, parts, Monitor(silent)).losses
    assert len(found[1]) == 3
    for parts in (2, 4):
        assert found[parts] == pytest.approx(found[1], rel=1e-4)


def gradients(model: Any, total: Any) -> list[Any]:
    model.zero_grad()
    total.backward()
    return [weights.grad.clone() for weights in model.parameters() if weights.grad is not None]


def test_examples_without_padding_have_the_gradients_of_each_alone(inputs: dict[str, Path], loaded: Any) -> None:
    """As on CUDA with FlashAttention: concatenated, and no example sees another."""
    tokenizer, ends, _ = loaded
    examples = examples_of(tokenizer, ends)
    model = load_base(inputs["model"], QUICK)
    assert model.config._attn_implementation != generators.FLASH
    with tempfile.TemporaryDirectory() as scratch:
        arguments = sft_arguments(len(examples), QUICK, 0, 1, scratch, without_padding=True)
        single = sft_arguments(len(examples), QUICK, 0, QUICK.batch_size, scratch, without_padding=True)
    assert (arguments.padding_free, single.padding_free) == (True, False)
    rows = [
        {
            "input_ids": example.prompt + example.completion,
            "labels": [IGNORED] * len(example.prompt) + example.completion,
        }
        for example in examples[:2]
    ]
    together, *alone = [collated(tokenizer, some, arguments.padding_free) for some in (rows, rows[:1], rows[1:])]
    assert together["input_ids"].shape == (1, sum(map(len, examples[:2])))
    whole = gradients(model, loss_sum(model, together))
    apart = [gradients(model, loss_sum(model, inputs)) for inputs in alone]
    assert whole
    for value, *parts in zip(whole, *apart, strict=True):
        assert torch.allclose(value, parts[0] + parts[1], atol=1e-5)
    # Without positions that begin anew, the second example would see the first.
    blurred = {**together, "position_ids": torch.arange(together["input_ids"].shape[1])[None]}
    assert not all(map(torch.allclose, whole, gradients(model, loss_sum(model, blurred))))


def collated(tokenizer: Any, rows: list[dict[str, Any]], padding_free: bool) -> dict[str, Any]:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    batch: dict[str, Any] = DataCollatorForLanguageModeling(tokenizer.pad_token_id, padding_free=padding_free)(rows)
    return batch


def loss_sum(model: Any, batch: dict[str, Any]) -> Any:
    labels = batch["labels"][0, 1:]
    logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")


def test_a_shortage_of_gpu_memory_halves_what_is_in_memory_and_is_said(
    inputs: dict[str, Path], loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    tokenizer, ends, _ = loaded
    examples = examples_of(tokenizer, ends)
    real, tried = generators._train, []

    def short_of_memory(*arguments: Any) -> Any:
        tried.append(arguments[-2])
        if tried[-1] < 4:
            raise torch.OutOfMemoryError
        return real(*arguments)

    monkeypatch.setattr(generators, "_train", short_of_memory)
    with common.seeded(0):
        done = tune(lambda: load_base(inputs["model"], QUICK), tokenizer, examples, QUICK, 0, Monitor(silent))
    assert tried == [1, 2, 4]
    assert done.notes["out of memory"] == "a micro-batch of 4 did not fit, trained with 1"


def test_a_loss_that_is_no_number_ends_the_training(inputs: dict[str, Path], loaded: Any) -> None:
    import torch

    def broken() -> Any:
        model = load_base(inputs["model"], QUICK)
        with torch.no_grad():
            model.model.norm.weight.fill_(math.nan)
        return model

    tokenizer, ends, _ = loaded
    with (
        common.seeded(0),
        pytest.raises(ValueError, match=r"became NaN or infinite; lower recipes\.generator\.learning_rate"),
    ):
        tune(broken, tokenizer, examples_of(tokenizer, ends), QUICK, 0, Monitor(silent))


def test_answers_that_the_cut_takes_away_are_counted(inputs: dict[str, Path], tmp_path: Path) -> None:
    whole = tuned(inputs, tmp_path / "whole")
    cut = tuned(inputs, tmp_path / "cut", shown=SHOWN.model_copy(update={"passage_tokens": 4}))
    assert whole.notes["answers cut off with their passage"] == 0
    assert cut.notes["answers cut off with their passage"] == sum(row["kind"] == "oracle" for row in ROWS)


# what the machine lacks


def test_a_paged_optimizer_without_cuda_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    recipe = GeneratorRecipe(recipe="qlora", optimizer="paged_adamw_8bit")
    with pytest.raises(ValueError, match=r"needs CUDA, and there is none; use optimizer: auto or adamw"):
        tuned({}, tmp_path / "out", recipe)


@contextmanager
def pretending(device: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr("harness.training.generators.torch_device", lambda: device)
        yield


def test_an_optimizer_is_chosen_by_recipe_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    lora, qlora = GeneratorRecipe(), GeneratorRecipe(recipe="qlora")
    assert [generators.optimizer_of(one) for one in (lora, qlora)] == ["adamw", "adamw"]
    with pretending("cuda", monkeypatch):
        assert [generators.optimizer_of(one) for one in (lora, qlora)] == ["adamw", "paged_adamw_8bit"]
        explicit = GeneratorRecipe(optimizer="paged_adamw_8bit")
        assert generators.optimizer_of(explicit) == "paged_adamw_8bit"


def test_qlora_without_bitsandbytes_names_the_command(inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not installed; run: pip install bitsandbytes"):
        generators._four_bits("float32")


def test_a_base_is_named_without_its_path(tmp_path: Path) -> None:
    part(tmp_path, "some-model")
    assert common.base_name(str(tmp_path / "some-model")) == "some-model"
    assert common.base_name("embedded:smollm2-135m-instruct") == "embedded:smollm2-135m-instruct"
    assert common.base_name("someone/some-model") == "someone/some-model"


@pytest.mark.slow
def test_qlora_trains_a_few_steps_on_a_cpu(inputs: dict[str, Path], tmp_path: Path) -> None:
    """NF4 weights in blocks of 64, twice quantised; what is trained stays in float32."""
    tiny.generator(part(tmp_path, "model"), WORDS, hidden=256)
    given_inputs = {**inputs, "model": tmp_path / "model"}
    recipe = QUICK.model_copy(update={"recipe": "qlora"})
    tokenizer, ends, _ = load_tokenizer(given_inputs["model"])
    examples = examples_of(tokenizer, ends)
    base = load_base(given_inputs["model"], recipe)
    assert base.is_loaded_in_4bit
    held = base.model.layers[0].mlp.up_proj.weight
    assert (held.quant_state.quant_type, held.quant_state.nested) == ("nf4", True)
    trainer = generators.trainer_of(base, tokenizer, examples, recipe, 0, 4, str(part(tmp_path, "scratch")))
    assert {str(one.dtype) for one in trainer.model.parameters() if one.requires_grad} == {"torch.float32"}
    usage = tuned(given_inputs, tmp_path / "out", recipe)
    assert usage.notes["steps"] == 5
    assert usage.notes["mean loss, last third"] < usage.notes["mean loss, first third"]
    from harness.models.language_models import load_generator

    model, _ = load_generator(given_inputs["model"], tmp_path / "out")
    assert {str(one.dtype) for one in model.parameters()} == {"torch.float32"}
