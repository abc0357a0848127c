"""Tune a generator: LoRA on all linear layers over a frozen base (full precision or 4 bits), with TRL's trainer.

Tokens go in, an adapter comes out. This module must not know prompts, artifacts, keys or stages.
"""

from __future__ import annotations

import importlib.util
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.models.loaders import quiet, torch_device
from harness.models.packed_linear import to_trainable
from harness.models.precision import FLASH, attention_of
from harness.suite.recipes import GeneratorRecipe
from harness.training.checkpoints import Checkpoints, DevEvaluation
from harness.training.completions import IGNORED, add_gradients
from harness.training.memory import until_it_fits
from harness.training.watch import loss_notes, quiet_arguments, warmup_steps, watch
from harness.values.records import Progress

OPTIMIZERS = {"adamw": "adamw_torch", "paged_adamw_8bit": "paged_adamw_8bit"}


class TokenizedExample(NamedTuple):
    """Token ids of a prompt, which carry no loss, and of the completion, its end token included."""

    prompt: list[int]
    completion: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


class Monitor(NamedTuple):
    """Who is told of the steps of a training, and how the model with its adapter is scored on dev, if it is.

    Higher scores are better; `measured` names them.
    """

    progress: Progress
    measure: Callable[[Any], float] | None = None
    measured: str = "utility"


class TunedGenerator(NamedTuple):
    """The model with its adapter, not merged; the loss of every step; notes for the ledger."""

    model: Any
    losses: list[float]
    notes: dict[str, Any]


def load_base(folder: Path, recipe: GeneratorRecipe) -> Any:
    """Load the frozen base: in float32 on a CPU, in bf16 on CUDA, in 4 bits for ``qlora``.

    On CUDA attention is computed by the best kernel that is installed; see `precision.attention_of`.

    QLoRA: NF4 with double quantisation (Dettmers et al. 2023, arXiv 2305.14314), computing in bf16 on CUDA and in
    float32 on a CPU, where it works slowly. Raises ValueError if bitsandbytes is missing.
    """
    quiet()
    from transformers import AutoModelForCausalLM

    kind = "bfloat16" if torch_device() == "cuda" else "float32"
    options = {"quantization_config": _four_bits(kind)} if recipe.recipe == "qlora" else {}
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=kind, attn_implementation=attention_of(folder, kind), local_files_only=True,
        trust_remote_code=False, use_safetensors=True, **options,
    )  # fmt: skip
    return model if options else to_trainable(model.to(torch_device()))


def load_tokenizer(folder: Path) -> tuple[Any, set[int], int | None]:
    """Return the tokenizer, the ids of end tokens, and the context window in tokens (None if there is no limit)."""
    quiet()
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    named = (folder / "generation_config.json").is_file()
    own = (GenerationConfig.from_pretrained(folder) if named else config).eos_token_id
    # As generation has it: a list of ends is the whole list.
    ends = set(own) if isinstance(own, list) else {own, tokenizer.eos_token_id} - {None}
    return tokenizer, ends, getattr(config, "max_position_embeddings", None)


def _four_bits(kind: str) -> Any:
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError("recipe qlora needs bitsandbytes, which is not installed; run: pip install bitsandbytes")
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=kind
    )


def optimizer_of(recipe: GeneratorRecipe) -> str:
    """Return ``adamw`` or ``paged_adamw_8bit``; raises ValueError if the machine cannot run the recipe's optimizer."""
    cuda = torch_device() == "cuda"
    if recipe.optimizer == "paged_adamw_8bit" and not cuda:
        raise ValueError("optimizer paged_adamw_8bit needs CUDA, and there is none; use optimizer: auto or adamw")
    if recipe.optimizer == "auto":
        return "paged_adamw_8bit" if cuda and recipe.recipe == "qlora" else "adamw"
    return recipe.optimizer


def tune(
    load: Callable[[], Any],
    tokenizer: Any,
    examples: Sequence[TokenizedExample],
    recipe: GeneratorRecipe,
    seed: int,
    monitor: Monitor,
) -> TunedGenerator:
    """Train an adapter for the model that `load` returns; `load` is called again after a shortage of memory.

    With `checkpoints` above 1 in the recipe and a measure, the adapter is that of the checkpoint with the best score on
    dev, the untuned start among them.

    Uses the global generators of the libraries: call it inside of `stages.common.seeded`. Raises ValueError if the
    loss becomes NaN or infinite.
    """
    order = training_order([len(example) for example in examples], recipe, seed)
    optimizer = optimizer_of(recipe)

    def attempt(micro_batch: int) -> TunedGenerator:
        parts = recipe.batch_size // _divisor(recipe.batch_size, micro_batch)
        return _train(load(), tokenizer, [examples[place] for place in order], recipe, seed, parts, monitor)

    fitted = until_it_fits(attempt, recipe.batch_size)
    notes = {**fitted.value.notes, "optimizer": optimizer, **fitted.notes}
    return TunedGenerator(fitted.value.model, fitted.value.losses, notes)


def training_order(lengths: Sequence[int], recipe: GeneratorRecipe, seed: int) -> list[int]:
    """Return the places of the examples in the order of training: each once per epoch, shuffled for every epoch.

    Within a step of `batch_size` the longest come first, so that parts of a step are padded little; which examples make
    a step does not depend on how many are in memory at a time.
    """
    rng = random.Random(seed)
    drawn = [place for _ in range(recipe.epochs) for place in rng.sample(range(len(lengths)), len(lengths))]
    size = recipe.batch_size
    steps = (drawn[start : start + size] for start in range(0, len(drawn), size))
    return [place for step in steps for place in sorted(step, key=lambda place: (-lengths[place], place))]


def _divisor(batch_size: int, at_most: int) -> int:
    """Return the largest divisor of a batch size that is not above `at_most`."""
    return next(size for size in range(min(at_most, batch_size), 0, -1) if batch_size % size == 0)


def adapter_settings(recipe: GeneratorRecipe) -> Any:
    """Return the settings of LoRA (Hu et al. 2021, arXiv 2106.09685) on all linear layers but the output layer."""
    from peft import LoraConfig, TaskType

    return LoraConfig(
        task_type=TaskType.CAUSAL_LM, r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=recipe.dropout,
        target_modules="all-linear", bias="none",
    )  # fmt: skip


def trainer_of(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TokenizedExample],
    recipe: GeneratorRecipe,
    seed: int,
    parts: int,
    scratch: str,
) -> Any:
    """Return TRL's trainer over the examples in the given order; each step is computed in `parts` micro-batches."""
    from datasets import Dataset

    rows = [
        {
            "input_ids": example.prompt + example.completion,
            "labels": [IGNORED] * len(example.prompt) + example.completion,
        }
        for example in examples
    ]
    trainer = _trainer_class()(
        model=model,
        args=sft_arguments(len(examples), recipe, seed, parts, scratch, model.config._attn_implementation == FLASH),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=adapter_settings(recipe),
    )
    # TRL turns the adapter of a 4-bit base to bf16; what is trained is kept in float32 here.
    for weights in trainer.model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()
    return trainer


def sft_arguments(
    examples: int, recipe: GeneratorRecipe, seed: int, parts: int, scratch: str, without_padding: bool = False
) -> Any:
    """Return the arguments of one pass over the examples, which hold every epoch.

    With `without_padding`, the examples of a micro-batch are concatenated, and attention stays within each of them.
    """
    from trl import SFTConfig

    # transformers renamed the setting in version 5.
    fields = SFTConfig.__dataclass_fields__
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in fields else "gradient_checkpointing"
    return SFTConfig(
        output_dir=scratch,
        num_train_epochs=1,
        per_device_train_batch_size=recipe.batch_size // parts,
        gradient_accumulation_steps=parts,
        learning_rate=recipe.learning_rate,
        warmup_steps=warmup_steps(math.ceil(examples / recipe.batch_size), recipe.warmup),
        lr_scheduler_type="linear",
        weight_decay=0.0,
        optim=OPTIMIZERS[optimizer_of(recipe)],
        max_length=None,
        # The order of the examples is that of `training_order`.
        train_sampling_strategy="sequential",
        padding_free=without_padding and recipe.batch_size > parts,
        # A loss that is NaN must be seen, as it ends the training.
        logging_nan_inf_filter=False,
        **{checkpointing: torch_device() == "cuda"},
        **quiet_arguments(seed),
    )


def _trainer_class() -> Any:
    from trl import SFTTrainer

    class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
        """On a CPU, computes no logits of prompt tokens, nothing of padding, and a prefix of a step's prompts once."""

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            if torch_device() == "cuda":
                return super().training_step(model, inputs, num_items_in_batch)
            model.train()
            return add_gradients(model, self._prepare_inputs(inputs), num_items_in_batch)

    return CompletionTrainer


def _train(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TokenizedExample],
    recipe: GeneratorRecipe,
    seed: int,
    parts: int,
    monitor: Monitor,
) -> TunedGenerator:
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_of(model, tokenizer, examples, recipe, seed, parts, scratch)
        measure, steps = monitor.measure, math.ceil(len(examples) / recipe.batch_size)
        dev = DevEvaluation(lambda: measure(trainer.model), True, monitor.measured) if measure is not None else None
        checkpoints = Checkpoints.of(trainer.model, steps, recipe.checkpoints, dev)
        losses = watch(trainer, monitor.progress, checkpoints)
        checkpoints.start()
        started, evaluated = time.perf_counter(), checkpoints.seconds
        trainer.train()
        seconds = time.perf_counter() - started - (checkpoints.seconds - evaluated)
    if not all(map(math.isfinite, losses)):
        raise ValueError("the generator's loss became NaN or infinite; lower recipes.generator.learning_rate")
    checkpoints.restore()
    adapted = trainer.model.eval()
    notes = {
        **loss_notes(losses),
        "trainable parameters": sum(weights.numel() for weights in adapted.parameters() if weights.requires_grad),
        "tokens a second": round(sum(map(len, examples)) / seconds),
        **(checkpoints.notes() if recipe.checkpoints > 1 else {}),
    }
    return TunedGenerator(adapted, losses, notes)


def save_adapter(model: Any, folder: Path, base: str) -> None:
    """Save the adapter in peft's format, without anything that depends on this machine; `base` names its base."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    held = {name: value.detach().cpu().float().contiguous() for name, value in sorted(weights.items())}
    save_file(held, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = model.peft_config["default"]
    settings.base_model_name_or_path, settings.inference_mode = base, True
    settings.target_modules = sorted(settings.target_modules)
    settings.save_pretrained(str(folder))
