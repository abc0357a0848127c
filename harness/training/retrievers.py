"""Tune a bi-encoder: the recipes `mnrl`, `triplet` and `distill` with sentence-transformers' trainer, and `raw`.

Texts go in, the model is changed in place. This module must not know artifacts, keys or stages. Prompts and similarity
are those of the model, as encoding uses them.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from harness.models.encoder_prompts import EncoderPrompts
from harness.suite.recipes import RetrieverRecipe
from harness.training import parts, raw
from harness.training.batches import LISTS_WITHOUT_NEGATIVES, Batches, RankedPassages, TrainingTotals
from harness.training.checkpoints import Checkpoints
from harness.training.losses import Similarity, Task, loss_of, prompts_of, similarity_of, texts_of
from harness.training.watch import TrainingResult, quiet_arguments, warmup_steps, watch
from harness.values.records import Progress


class _Run(NamedTuple):
    """Settings of one training: seed, micro-batch, progress and checkpoints."""

    seed: int
    micro_batch: int
    progress: Progress
    checkpoints: Callable[[int], Checkpoints]


def train(
    model: Any,
    lists: Sequence[RankedPassages],
    recipe: RetrieverRecipe,
    seed: int,
    micro_batch: int,
    progress: Progress,
    measure: Callable[[], float] | None,
) -> TrainingResult:
    """Tune a SentenceTransformer in place; `micro_batch` rows are in memory at once, `measure` scores it on dev.

    Every list is used once per epoch; for ``triplet``, every list with a negative. Uses the global generators
    of the libraries: call it inside of `stages.common.seeded`. Raises ValueError if there is nothing to train on, or
    if vectors have fewer dimensions than `matryoshka` names.
    """
    _check_dimensions(model, recipe)
    rows = rows_of(lists, recipe)
    used = [item for item in lists if len(item.passages) > 1] if recipe.recipe == "triplet" else lists
    # The contrastive part of distill is over the positives of a batch.
    dealt = [row._replace(passages=row.passages[:1]) for row in rows] if recipe.distills else rows
    task = Task(rows, Batches(dealt), recipe, similarity_of(model, rows), TrainingTotals())
    adapted = _with_lora(model, recipe.lora_rank) if recipe.lora_rank else None

    def checkpoints(steps: int) -> Checkpoints:
        return Checkpoints(model, steps, recipe.checkpoints, measure)

    run = _train_raw if recipe.recipe == "raw" else _train_with_trainer
    trained = run(model, task, _Run(seed, micro_batch, progress, checkpoints))
    if adapted is not None:
        adapted.merge_and_unload()
    left_out = {LISTS_WITHOUT_NEGATIVES: len(lists) - len(used)} if len(used) < len(lists) else {}
    notes = {**trained.notes, **task.totals.notes(), **left_out, **_texts_compared(prompts_of(model), task.similarity)}
    if recipe.matryoshka:
        notes["vectors are trained whole and cut after"] = ", ".join(map(str, recipe.matryoshka))
    return TrainingResult(trained.losses, notes, round(len(used) * task.totals.rows / len(rows)))


def _check_dimensions(model: Any, recipe: RetrieverRecipe) -> None:
    width = model.get_embedding_dimension()
    longer = [dimensions for dimensions in recipe.matryoshka if dimensions > width]
    if longer:
        raise ValueError(f"matryoshka: {longer[0]} is more than the {width} dimensions of the model; leave it out")


def _texts_compared(prompts: EncoderPrompts, similarity: Similarity) -> dict[str, str]:
    """Return notes on the prompts before texts, and on the similarity if it is not the cosine."""
    notes = {f"prompt before a {role}": repr(text) for role, text in prompts._asdict().items() if text}
    return notes | ({} if similarity.unit_length else {"similarity": f"dot product over {similarity.unit:.4g}"})


def rows_of(lists: Sequence[RankedPassages], recipe: RetrieverRecipe) -> list[RankedPassages]:
    """Return the rows that batches are made of: the lists; for ``triplet`` a row for each negative of a list.

    Raises ValueError if ``triplet`` has no negatives.
    """
    if recipe.recipe != "triplet":
        return list(lists)
    rows = [item._replace(passages=(item.passages[0], wrong)) for item in lists for wrong in item.passages[1:]]
    if not rows:
        raise ValueError("recipe triplet needs negatives, and none were mined; set mine.hard or mine.random")
    return rows


def _with_lora(model: Any, rank: int) -> Any:
    """Freeze the weights and add LoRA to all linear layers, in place; alpha is twice the rank."""
    from peft import LoraConfig, TaskType, get_peft_model

    settings = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION, r=rank, lora_alpha=2 * rank, target_modules="all-linear"
    )
    adapted = get_peft_model(model[0].auto_model, settings)
    if hasattr(model[0].auto_model, "enable_input_require_grads"):
        # The cached loss embeds the batch again in parts; gradients need an input that requires them.
        model[0].auto_model.enable_input_require_grads()
    return adapted


def _train_raw(model: Any, task: Task, run: _Run) -> TrainingResult:
    """Train with the loop of `raw` on the transformer inside the model."""
    recipe, prompts = task.recipe, prompts_of(model)
    encoder = raw_encoder(model, task.similarity.unit_length)
    examples = [
        raw.ContrastiveExample(
            prompts.query + row.query,
            prompts.document + row.passages[0],
            tuple(prompts.document + text for text in row.passages[1:]),
        )
        for row in task.rows
    ]
    made: list[Checkpoints] = []

    def evaluations(steps: int) -> Checkpoints:
        made.append(run.checkpoints(steps))
        return made[0]

    longest = max(len(row.passages) for row in task.rows)
    settings = raw.LoopSettings(
        recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.warmup,
        recipe.temperature * task.similarity.unit, recipe.micro_batch_size or run.micro_batch * (1 + longest), run.seed,
        raw.Nested(recipe.matryoshka, task.similarity.unit_length),
    )  # fmt: skip
    losses = raw.train(encoder, raw.Rows(examples, task.batches, task.totals), settings, run.progress, evaluations)
    return TrainingResult(losses, made[0].notes())


def raw_encoder(model: Any, unit_length: bool = True) -> raw.Encoder:
    """Return the transformer, tokenizer and pooling of a SentenceTransformer for the recipe `raw`.

    Raises ValueError for a model that does something else between tokens and vector.
    """
    kinds = [type(module).__name__ for module in model]
    mode = model[1].pooling_mode if len(kinds) > 1 and kinds[1] == "Pooling" else None
    mode = mode[0] if isinstance(mode, tuple | list) and len(mode) == 1 else mode
    if kinds[0] != "Transformer" or mode not in ("mean", "cls") or not set(kinds[2:]) <= {"Normalize"}:
        raise ValueError(
            f"recipe raw supports a transformer with mean or cls pooling, and the model has {', '.join(kinds)}"
            f"{f' ({mode})' if mode else ''}; use recipe mnrl"
        )
    if any(prompts_of(model)) and not getattr(model[1], "include_prompt", True):
        raise ValueError("recipe raw pools all tokens, and the model leaves those of its prompt out; use recipe mnrl")
    return raw.Encoder(
        model[0].auto_model, model.tokenizer, mode, model.max_seq_length, unit_length or "Normalize" in kinds
    )


def _train_with_trainer(model: Any, task: Task, run: _Run) -> TrainingResult:
    from datasets import Dataset
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    recipe, at_once = task.recipe, _at_once(task.recipe, run.micro_batch)
    accumulated = max(1, recipe.batch_size // at_once)
    steps = recipe.epochs * math.ceil(math.ceil(len(task.rows) / at_once) / accumulated)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            num_train_epochs=recipe.epochs,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=accumulated,
            learning_rate=recipe.learning_rate,
            warmup_steps=warmup_steps(steps, recipe.warmup),
            lr_scheduler_type="linear",
            weight_decay=0.0,
            **quiet_arguments(run.seed),
        )
        trainer = _trainer_class(task, at_once, run.seed)(
            model=model,
            args=arguments,
            # The trainer sees numbers of rows only; the collator looks up their texts.
            train_dataset=Dataset.from_dict({"label": list(range(len(task.rows)))}),
            loss=loss_of(model, task, cached=_texts_at_once(recipe, run.micro_batch) is not None),
            data_collator=_collator(model, task, run.micro_batch),
        )
        evaluations = run.checkpoints(steps)
        losses = watch(trainer, run.progress, evaluations)
        trainer.train()
    evaluations.restore()
    return TrainingResult(losses, evaluations.notes())


def _at_once(recipe: RetrieverRecipe, micro_batch: int) -> int:
    """Return the rows of one call of the loss: the whole batch for in-batch negatives, else a micro-batch."""
    return recipe.batch_size if recipe.recipe == "mnrl" else min(micro_batch, recipe.batch_size)


def _texts_at_once(recipe: RetrieverRecipe, micro_batch: int) -> int | None:
    """Return how many texts of a batch are in memory at once with in-batch negatives; None for all of them."""
    if recipe.recipe != "mnrl":
        return None
    return recipe.micro_batch_size or (micro_batch if micro_batch < recipe.batch_size else None)


def _trainer_class(task: Task, at_once: int, seed: int) -> Any:
    """Return the trainer with batches of `Batches`: its own samplers drop rows that they cannot place."""
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer

    class Dealt(DefaultBatchSampler):  # type: ignore[misc]
        """Yields the batches of the current epoch; each iteration is one epoch."""

        def __init__(self) -> None:
            super().__init__(range(len(task.rows)), batch_size=at_once, drop_last=False)
            self._begun = 0

        def __iter__(self) -> Any:
            epoch, self._begun = self._begun, self._begun + 1
            return iter(task.batches.deal(at_once, seed, epoch))

    class RowTrainer(SentenceTransformerTrainer):  # type: ignore[misc]
        def get_batch_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return Dealt()

    return RowTrainer


def _collator(model: Any, task: Task, micro_batch: int) -> Any:
    """Return the collator: from numbers of rows to their tokenized queries and passages, in parts by length."""
    import torch
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

    prompts = prompts_of(model)
    limits = parts.limits(_texts_at_once(task.recipe, micro_batch), model.device.type)

    class Collator(SentenceTransformerDataCollator):  # type: ignore[misc]
        def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
            numbers = [row["label"] for row in features]
            batch: dict[str, Any] = {}
            first = 0
            for role, texts in zip(
                EncoderPrompts._fields, texts_of([task.rows[number] for number in numbers]), strict=True
            ):
                tokens = model.preprocess(texts, prompt=getattr(prompts, role) or None)
                for place, part in enumerate(parts.split(tokens, first, limits)):
                    batch |= {f"{role}{place}_{name}": value for name, value in part.items()}
                first += len(texts)
            return {**batch, "label": torch.tensor(numbers)}

    return Collator(preprocess_fn=model.preprocess)
