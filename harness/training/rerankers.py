"""Tune a cross-encoder: the recipes `bce` and `listwise` with sentence-transformers' trainer.

Texts and labels go in, the model is changed in place. This module must not know artifacts, keys or stages.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.suite.recipes import RerankerRecipe
from harness.training.checkpoints import Checkpoints, DevEvaluation
from harness.training.watch import TrainingResult, quiet_arguments, warmup_steps, watch
from harness.values.records import Progress


class GradedPassages(NamedTuple):
    """A training query with passages, and the relevance of each passage from 0 to 1."""

    query: str
    passages: tuple[str, ...]
    scores: tuple[float, ...]


class Batching(NamedTuple):
    """Sizes of a training: `at_once` rows are a micro-batch, and `parts` micro-batches are a step."""

    at_once: int
    parts: int
    rows: int
    epochs: int

    @property
    def steps(self) -> int:
        """The number of steps; the last micro-batch and the last step of an epoch may be smaller."""
        parts = math.ceil(self.rows / self.at_once)
        return self.epochs * math.ceil(parts / self.parts)


def batching(lists: Sequence[GradedPassages], recipe: RerankerRecipe, micro_batch: int) -> Batching:
    """Return how micro-batches of `micro_batch` pairs make batches of `batch_size` pairs.

    A row of ``bce`` is a pair. A row of ``listwise`` is a list, of which at least one is in memory.
    """
    pairs = sum(len(item.passages) for item in lists)
    listwise = recipe.recipe == "listwise"
    length = max(1, round(pairs / len(lists))) if listwise else 1
    whole = max(1, recipe.batch_size // length)
    at_once = min(whole, max(1, micro_batch // length))
    return Batching(at_once, max(1, round(whole / at_once)), len(lists) if listwise else pairs, recipe.epochs)


def train(
    model: Any,
    lists: Sequence[GradedPassages],
    recipe: RerankerRecipe,
    seed: int,
    micro_batch: int,
    progress: Progress,
    dev: DevEvaluation | None,
) -> TrainingResult:
    """Tune a CrossEncoder in place; `micro_batch` pairs are in memory at once, `dev` scores it.

    Uses the global generators of the libraries: call it inside of `common.seeded`.
    """
    from datasets import Dataset

    sizes = batching(lists, recipe, micro_batch)
    checkpoints = Checkpoints.of(model, sizes.steps, recipe.checkpoints, dev, recipe.patience)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = _trainer_class(recipe.recipe == "listwise")(
            model=model,
            args=_arguments(model, recipe, sizes, seed, scratch),
            train_dataset=Dataset.from_dict(training_columns(lists, recipe)),
            loss=_loss(model, recipe),
        )
        losses = watch(trainer, progress, checkpoints)
        checkpoints.start()
        trainer.train()
    checkpoints.restore()
    early = {"stopped early": f"after {len(losses)} of {sizes.steps} steps"} if len(losses) < sizes.steps else {}
    return TrainingResult(losses, {**checkpoints.notes(), **early}, trainer.pairs)


def _arguments(model: Any, recipe: RerankerRecipe, sizes: Batching, seed: int, scratch: str) -> Any:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    return CrossEncoderTrainingArguments(
        output_dir=scratch,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=sizes.at_once,
        gradient_accumulation_steps=sizes.parts,
        learning_rate=recipe.learning_rate,
        warmup_steps=warmup_steps(sizes.steps, recipe.warmup),
        lr_scheduler_type="linear",
        weight_decay=0.0,
        # The prompt that scoring puts before the texts, if the model has one.
        prompts=model.prompts.get(model.default_prompt_name),
        **quiet_arguments(seed),
    )


def _trainer_class(listwise: bool) -> Any:
    """Return sentence-transformers' trainer, which counts in `pairs` what it was trained on."""
    from sentence_transformers.cross_encoder import CrossEncoderTrainer

    class CountingTrainer(CrossEncoderTrainer):  # type: ignore[misc]
        pairs = 0

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            labels = inputs["label"]
            self.pairs += sum(map(len, labels)) if listwise else len(labels)
            return super().compute_loss(model, inputs, *args, **kwargs)

    return CountingTrainer


def training_columns(lists: Sequence[GradedPassages], recipe: RerankerRecipe) -> dict[str, list[Any]]:
    """Return the columns of the training set, in the order that the trainer expects.

    ``bce`` has a row per pair, ``listwise`` a row per list.
    """
    if recipe.recipe == "listwise":
        return {
            "query": [item.query for item in lists],
            "passages": [list(item.passages) for item in lists],
            "label": [list(item.scores) for item in lists],
        }
    return {
        "query": [item.query for item in lists for _ in item.passages],
        "passage": [text for item in lists for text in item.passages],
        "label": [score for item in lists for score in item.scores],
    }


def _loss(model: Any, recipe: RerankerRecipe) -> Any:
    """Return cross-entropy on soft labels, or LambdaLoss (NDCG-Loss2++; Wang et al. 2018, CIKM) over lists."""
    from sentence_transformers.cross_encoder import losses

    if recipe.recipe == "listwise":
        # Below 1 the whole batch is one call: the default splits it, but keeps the memory of all parts anyway.
        return losses.LambdaLoss(model, weighting_scheme=losses.NDCGLoss2PPScheme(), mini_batch_size=-1)
    return losses.BinaryCrossEntropyLoss(model)
