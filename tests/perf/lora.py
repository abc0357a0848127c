"""LoRA on short examples, against transformers' `Trainer` padded to 1,024 tokens and TRL's `SFTTrainer`, packed.

Prompts are those of a RAG answer: an instruction, two passages and a question. Loading the model counts for nobody.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from measuring import Bar, Lab, Row, alternate, seconds_of

INSTRUCTION = (
    "Each passage describes a function. Find the passage that answers the question and copy its first words. Write "
    "nothing else. If no passage answers it, say that the information is not available."
)
RATE, BATCH, PADDED = 2e-4, 4, 1024
IGNORED = -100


class Coded(NamedTuple):
    """Token ids of a prompt and of its answer."""

    prompt: list[int]
    answer: list[int]


def conversations(lab: Lab, count: int) -> list[tuple[list[dict[str, str]], str]]:
    """Messages up to the question, and the answer: the first words of the first passage."""
    pairs = lab.texts.pairs(2 * count, shortest=lab.sized(25, 10), longest=lab.sized(60, 15))
    made = []
    for (question, first), (_, second) in zip(pairs[::2], pairs[1::2], strict=True):
        asked = f"Passage: {first}\n\nPassage: {second}\n\nQuestion: {question}?"
        messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": asked}]
        made.append((messages, " ".join(first.split()[: lab.sized(12, 4)])))
    return made


def coded(lab: Lab, tokenizer: Any, count: int) -> list[Coded]:
    rows = []
    for messages, answer in conversations(lab, count):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
        reply = tokenizer(answer, add_special_tokens=False)["input_ids"]
        rows.append(Coded(list(prompt), [*reply, tokenizer.eos_token_id]))
    return rows


def recipe(size: int) -> Any:
    from harness.suite.recipes import GeneratorRecipe

    return GeneratorRecipe(batch_size=size, learning_rate=RATE, warmup=0.0)


def harness_training(model: Any, tokenizer: Any, rows: Sequence[Coded], size: int) -> Any:
    from harness.stages.shared.common import seeded
    from harness.training.generators import Monitor, TokenizedExample, tune

    examples = [TokenizedExample(row.prompt, row.answer) for row in rows]
    with seeded(0):
        return tune(lambda: model, tokenizer, examples, recipe(size), 0, Monitor(lambda done, total: None))


def arguments(scratch: str, rate: float = RATE) -> dict[str, Any]:
    return {
        "output_dir": scratch, "num_train_epochs": 1, "learning_rate": rate, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "logging_strategy": "no",
    }  # fmt: skip


def padded_training(
    model: Any, tokenizer: Any, rows: Sequence[Coded], size: int, length: int = PADDED, rate: float = RATE
) -> Any:
    """As tutorials have it: `padding="max_length"`; parts of two examples, so that it fits into little memory."""
    from datasets import Dataset
    from peft import get_peft_model
    from transformers import Trainer, TrainingArguments

    from harness.training.generators import adapter_settings

    padding = tokenizer.pad_token_id
    table = []
    for row in rows:
        tokens = [*row.prompt, *row.answer]
        rest = length - len(tokens)
        labels = [*([IGNORED] * len(row.prompt)), *row.answer, *([IGNORED] * rest)]
        mask = [*([1] * len(tokens)), *([0] * rest)]
        table.append({"input_ids": [*tokens, *([padding] * rest)], "attention_mask": mask, "labels": labels})
    part = min(2, size)
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            **arguments(scratch, rate), per_device_train_batch_size=part, gradient_accumulation_steps=size // part
        )
        adapted = get_peft_model(model, adapter_settings(recipe(size)))
        Trainer(model=adapted, args=settings, train_dataset=Dataset.from_list(table)).train()
    return adapted


def packed_training(model: Any, tokenizer: Any, rows: Sequence[Coded], size: int) -> Any:
    """TRL's packing, of whole examples; in float32 without checkpointing on a CPU, where its defaults are slower."""
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from harness.training.generators import adapter_settings

    table = [
        {
            "input_ids": [*row.prompt, *row.answer],
            "completion_mask": [*([0] * len(row.prompt)), *([1] * len(row.answer))],
        }
        for row in rows
    ]
    cuda = torch.cuda.is_available()
    named = SFTConfig.__dataclass_fields__
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in named else "gradient_checkpointing"
    with tempfile.TemporaryDirectory() as scratch:
        settings = SFTConfig(
            **arguments(scratch), per_device_train_batch_size=1, packing=True, max_length=PADDED,
            completion_only_loss=True, bf16=cuda, **{checkpointing: cuda},
        )  # fmt: skip
        trainer = SFTTrainer(
            model=model, args=settings, train_dataset=Dataset.from_list(table), processing_class=tokenizer,
            peft_config=adapter_settings(recipe(size)),
        )  # fmt: skip
        trainer.train()
    return trainer.model


def measure(lab: Lab) -> Iterator[Row]:
    from harness.models.language_models import load_language_model
    from harness.training.generators import load_base, load_tokenizer

    size = lab.sized(BATCH, 2)
    tokenizer = load_tokenizer(lab.generator)[0]
    rows = coded(lab, tokenizer, lab.sized(2 * BATCH, 2))
    padded = lab.sized(PADDED, 400)

    def side(train: Callable[[Any, Any, Sequence[Coded], int], Any], plain: bool = True) -> Callable[[], float]:
        def run() -> float:
            # The harness trains layers of its own; the others train the model as transformers loads it.
            model = load_language_model(lab.generator)[0] if plain else load_base(lab.generator, recipe(size))
            return seconds_of(lambda: train(model, tokenizer, rows, size))

        return run

    def to_length(model: Any, tokenizer: Any, rows: Sequence[Coded], size: int) -> Any:
        return padded_training(model, tokenizer, rows, size, padded)

    sides = {"ours": side(harness_training, plain=False), "padded": side(to_length), "packed": side(packed_training)}
    times = alternate(sides, lab.repeats, warm_up=False)
    answers = sum(len(row.answer) for row in rows)
    tokens = sum(len(row.prompt) + len(row.answer) for row in rows)
    what = f"{len(rows)} examples, {tokens:,} tokens, {answers:,} of them answers"
    for name, against, least in (
        ("padded", f"transformers Trainer, padded to {padded:,} tokens", 6.0),
        ("packed", "TRL SFTTrainer, packed, float32", 1.0),
    ):
        yield Row(
            what, times["ours"], times[name], against, work=answers, work_unit="answer tokens",
            bar=Bar("at least", least),
        )  # fmt: skip
