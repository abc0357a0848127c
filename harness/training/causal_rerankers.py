"""Tune a causal language model as a reranker: a LoRA adapter, trained on soft labels with TRL's trainer.

Prompts as token ids and labels from 0 to 1 go in. The loss is the cross-entropy of the label over the tokens that say
yes and no, at the end of the prompt: the score that is trained is the one that serving reads. This module must not know
prompts, artifacts, keys or stages.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.models.causal_rerankers import relevance_of
from harness.models.decoding import left_padded
from harness.models.relevance_prompts import AnswerTokens
from harness.suite.recipes import GeneratorRecipe, RerankerRecipe
from harness.training.checkpoints import Checkpoints, DevEvaluation
from harness.training.generators import adapter_settings, sft_arguments, training_order
from harness.training.watch import watch
from harness.values.records import Progress


class LabelledPrompt(NamedTuple):
    """The token ids of a prompt, and the relevance of its passage from 0 to 1."""

    prompt: list[int]
    label: float


class TunedReranker(NamedTuple):
    """The model with its adapter, not merged; the loss of every step; notes for the ledger; prompts trained on."""

    model: Any
    losses: list[float]
    notes: dict[str, Any]
    units: int


def as_generator_recipe(recipe: RerankerRecipe) -> GeneratorRecipe:
    """Return the recipe of the adapter: it is trained as a generator's is."""
    return GeneratorRecipe(
        epochs=recipe.epochs, batch_size=recipe.batch_size, learning_rate=recipe.rate(adapter=True),
        warmup=recipe.warmup, rank=recipe.lora_rank, alpha=2 * recipe.lora_rank,
    )  # fmt: skip


def train(
    model: Any,
    rows: Sequence[LabelledPrompt],
    answers: AnswerTokens,
    recipe: RerankerRecipe,
    run: Run,
    dev: DevEvaluation | None = None,
) -> TunedReranker:
    """Train an adapter for a loaded causal language model, which is put into it in place.

    Uses the global generators of the libraries: call it inside of `common.seeded`. Raises ValueError if the loss
    becomes NaN or infinite.
    """
    settings = as_generator_recipe(recipe)
    order = training_order([len(row.prompt) for row in rows], settings, run.seed)
    steps = math.ceil(len(order) / recipe.batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        parts = recipe.batch_size // next(
            size for size in range(min(run.micro_batch, recipe.batch_size), 0, -1) if recipe.batch_size % size == 0
        )
        trainer = _trainer(model, [rows[place] for place in order], answers, settings, run, parts, scratch)
        adapted = trainer.model
        checkpoints = Checkpoints.of(adapted, steps, recipe.checkpoints, dev, recipe.patience)
        checkpoints.start()
        losses = watch(trainer, run.progress, checkpoints)
        trainer.train()
    if not all(map(math.isfinite, losses)):
        raise ValueError("the reranker's loss became NaN or infinite; lower recipes.reranker.learning_rate")
    checkpoints.restore()
    early = {"stopped early": f"after {len(losses)} of {steps} steps"} if len(losses) < steps else {}
    trained = sum(weights.numel() for weights in adapted.parameters() if weights.requires_grad)
    notes = {**checkpoints.notes(), **early, "trainable parameters": trained}
    return TunedReranker(adapted, losses, notes, min(len(losses) * recipe.batch_size, len(order)))


class Run(NamedTuple):
    """One run of a training: its seed, how many prompts are in memory at once, and where steps are reported."""

    seed: int
    micro_batch: int
    progress: Progress


def soft_label_loss(model: Any, inputs: Any, answers: AnswerTokens) -> Any:
    """Return the mean cross-entropy of soft labels over yes and no.

    `inputs` holds `input_ids` and `attention_mask`, shape (batch, tokens), padded on the left, and `relevance`, shape
    (batch,). With labels l and p the probability of yes against no it is -l log p - (1 - l) log(1 - p).
    """
    from torch.nn import functional

    mask = inputs["attention_mask"]
    read = model(
        input_ids=inputs["input_ids"], attention_mask=mask, position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
        use_cache=False, logits_to_keep=1,
    )  # fmt: skip
    scores = relevance_of(read.logits[:, -1], answers)
    return functional.binary_cross_entropy_with_logits(scores, inputs["relevance"].to(scores))


def _padded(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    import torch

    ids, mask = left_padded([row["input_ids"] for row in rows], 0, "cpu")
    return {"input_ids": ids, "attention_mask": mask, "relevance": torch.tensor([row["relevance"] for row in rows])}


def _trainer(
    model: Any,
    rows: Sequence[LabelledPrompt],
    answers: AnswerTokens,
    settings: GeneratorRecipe,
    run: Run,
    parts: int,
    scratch: str,
) -> Any:
    """Return TRL's trainer over the rows in the given order; each step is computed in `parts` micro-batches."""
    from datasets import Dataset
    from trl import SFTTrainer

    class RelevanceTrainer(SFTTrainer):  # type: ignore[misc]
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            return soft_label_loss(model, inputs, answers)

    columns = {"input_ids": [row.prompt for row in rows], "relevance": [row.label for row in rows]}
    arguments = sft_arguments(len(rows), settings, run.seed, parts, scratch)
    arguments.remove_unused_columns = False
    arguments.dataset_kwargs = {"skip_prepare_dataset": True}
    trainer = RelevanceTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_dict(columns), data_collator=_padded,
        peft_config=adapter_settings(settings),
    )  # fmt: skip
    for weights in trainer.model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()
    return trainer
