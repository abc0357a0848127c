"""How a bi-encoder is tuned: the recipes `mnrl`, `triplet` and `distill` on sentence-transformers' trainer, and `raw`.

Texts go in, the model is changed in place; this module must not know artifacts, keys or stages.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.suite.recipes import RetrieverRecipe
from harness.training import raw
from harness.training.checkpoints import Checkpoints
from harness.training.watch import quiet_arguments, warmup_steps, watch
from harness.values.records import Progress


class Ranked(NamedTuple):
    """A training query with its passages, the positive first; `scores` are the teacher's, from 0 to 1, if there is one.

    All lists of one training are equally long.
    """

    query: str
    passages: tuple[str, ...]
    scores: tuple[float, ...] = ()


class Trained(NamedTuple):
    """Losses by step, and what the choice of a checkpoint has to say."""

    losses: list[float]
    notes: dict[str, Any]


class Prompts(NamedTuple):
    query: str
    document: str


def train(
    model: Any, lists: Sequence[Ranked], recipe: RetrieverRecipe, prompts: Prompts, seed: int, at_a_time: int,
    progress: Progress, measure: Callable[[], float] | None,
) -> Trained:  # fmt: skip
    """Tune a SentenceTransformer; `at_a_time` examples are in memory at once, `measure` scores it on dev.

    Uses the global generators of the libraries: call it inside of `stages.common.seeded`.
    """
    adapted = _with_lora(model, recipe.lora_rank) if recipe.lora_rank else None

    def checkpoints(steps: int) -> Checkpoints:
        return Checkpoints(model, steps, recipe.checkpoints, measure)

    run = _train_raw if recipe.recipe == "raw" else _train_with_trainer
    trained = run(model, lists, recipe, prompts, seed, at_a_time, progress, checkpoints)
    if adapted is not None:
        adapted.merge_and_unload()
    return trained


def _with_lora(model: Any, rank: int) -> Any:
    """Freeze the weights and add LoRA to all linear layers, in place; alpha is twice the rank."""
    from peft import LoraConfig, TaskType, get_peft_model

    settings = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION, r=rank, lora_alpha=2 * rank, target_modules="all-linear"
    )
    adapted = get_peft_model(model[0].auto_model, settings)
    if hasattr(model[0].auto_model, "enable_input_require_grads"):
        # The cached loss reads the batch again in parts, and a frozen embedding would leave nothing to go back to.
        model[0].auto_model.enable_input_require_grads()
    return adapted


def _train_raw(
    model: Any, lists: Sequence[Ranked], recipe: RetrieverRecipe, prompts: Prompts, seed: int, at_a_time: int,
    progress: Progress, checkpoints: Callable[[int], Checkpoints],
) -> Trained:  # fmt: skip
    """The loop of `raw`, on the transformer inside of the model."""
    examples = [
        raw.Example(
            prompts.query + item.query,
            prompts.document + item.passages[0],
            tuple(prompts.document + text for text in item.passages[1:]),
        )
        for item in lists
    ]
    made: list[Checkpoints] = []

    def looks(steps: int) -> Checkpoints:
        made.append(checkpoints(steps))
        return made[0]

    texts = recipe.mini_batch or at_a_time * (1 + len(lists[0].passages))
    settings = raw.Settings(
        recipe.epochs, recipe.batch_size, recipe.learning_rate,
        warmup_steps(len(examples), recipe.batch_size, recipe.epochs, recipe.warmup), recipe.temperature, texts, seed,
    )  # fmt: skip
    losses = raw.train(raw_encoder(model), examples, settings, progress, looks)
    return Trained(losses, made[0].notes())


def raw_encoder(model: Any) -> raw.Encoder:
    """What `raw` needs of a SentenceTransformer: the transformer, its tokenizer, the pooling.

    Raises ValueError for a model that does something else between tokens and vector.
    """
    kinds = [type(module).__name__ for module in model]
    mode = model[1].pooling_mode if len(kinds) > 1 and kinds[1] == "Pooling" else None
    mode = mode[0] if isinstance(mode, tuple | list) and len(mode) == 1 else mode
    if kinds[0] != "Transformer" or mode not in ("mean", "cls") or not set(kinds[2:]) <= {"Normalize"}:
        raise ValueError(
            f"recipe raw knows a transformer with mean or cls pooling, and the model is made of {', '.join(kinds)}"
            f"{f' ({mode})' if mode else ''}; use recipe mnrl"
        )
    return raw.Encoder(model[0].auto_model, model.tokenizer, mode, model.max_seq_length)


def _train_with_trainer(
    model: Any, lists: Sequence[Ranked], recipe: RetrieverRecipe, prompts: Prompts, seed: int, at_a_time: int,
    progress: Progress, checkpoints: Callable[[int], Checkpoints],
) -> Trained:  # fmt: skip
    from datasets import Dataset
    from sentence_transformers.base.sampler import BatchSamplers
    from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    columns = training_columns(lists, recipe)
    rows = len(columns["anchor"])
    in_batch = recipe.recipe == "mnrl"
    # In-batch negatives come from the whole batch, so that one is cached; the others may be added up.
    at_once = recipe.batch_size if in_batch else at_a_time
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            num_train_epochs=recipe.epochs,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=max(1, recipe.batch_size // at_once),
            learning_rate=recipe.learning_rate,
            warmup_steps=warmup_steps(rows, recipe.batch_size, recipe.epochs, recipe.warmup),
            lr_scheduler_type="linear",
            weight_decay=0.0,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            prompts=training_prompts(columns, prompts),
            **quiet_arguments(seed),
        )
        trainer = SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict(columns),
            loss=_loss(model, recipe, at_a_time),
        )
        looks = checkpoints(steps_of(rows, recipe))
        losses = watch(trainer, progress, looks)
        trainer.train()
    looks.restore()
    return Trained(losses, looks.notes())


def steps_of(rows: int, recipe: RetrieverRecipe) -> int:
    """Steps of a training: the last batch of an epoch may be smaller."""
    return recipe.epochs * -(-rows // recipe.batch_size)


def training_columns(lists: Sequence[Ranked], recipe: RetrieverRecipe) -> dict[str, list[Any]]:
    """Columns of the data set. The trainer goes by their order: anchor, positive, then the negatives.

    `triplet` has a row for each negative, `distill` a column of teacher's scores.
    """
    if recipe.recipe == "triplet":
        rows = [(item.query, item.passages[0], wrong) for item in lists for wrong in item.passages[1:]]
        if not rows:
            raise ValueError("recipe triplet needs negatives, and none were mined; set mine.hard or mine.random")
        return {name: [row[place] for row in rows] for place, name in enumerate(("anchor", "positive", "negative_1"))}
    columns: dict[str, list[Any]] = {"anchor": [item.query for item in lists]}
    for place in range(len(lists[0].passages)):
        columns[f"negative_{place}" if place else "positive"] = [item.passages[place] for item in lists]
    if recipe.recipe == "distill":
        columns["label"] = [list(item.scores) for item in lists]
    return columns


def training_prompts(columns: Mapping[str, Sequence[Any]], prompts: Prompts) -> dict[str, str] | None:
    """The prompts that encoding will use, by column; the trainer takes none from the model."""
    texts = [name for name in columns if name != "label"]
    found = {name: prompts.query if name == "anchor" else prompts.document for name in texts}
    return found if any(found.values()) else None


def _loss(model: Any, recipe: RetrieverRecipe, at_a_time: int) -> Any:
    from sentence_transformers.sentence_transformer import losses

    scale = 1 / recipe.temperature
    if recipe.recipe == "triplet":
        cosine = losses.TripletDistanceMetric.COSINE
        return losses.TripletLoss(model, distance_metric=cosine, triplet_margin=recipe.triplet_margin)
    if recipe.recipe == "distill":
        return listwise_distillation(model, recipe)
    part = recipe.mini_batch or (at_a_time if at_a_time < recipe.batch_size else None)
    if part is not None:
        return losses.CachedMultipleNegativesRankingLoss(model, scale=scale, mini_batch_size=part)
    return losses.MultipleNegativesRankingLoss(model, scale=scale)


def listwise_distillation(model: Any, recipe: RetrieverRecipe) -> Any:
    """The loss of `distill`: what the student's ranking of a list lacks of the teacher's, with a little InfoNCE.

    Kullback-Leibler divergence from the teacher's distribution over the list (softmax of its scores over
    `teacher_temperature`) to the student's (of cosines over `temperature`), as Tamber et al. (2025, arXiv 2502.19712)
    distil cross-encoders; plus `contrastive_weight` times InfoNCE over the batch's positives.
    """
    import torch
    from torch.nn import functional

    class ListwiseDistillation(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: Any, labels: torch.Tensor) -> torch.Tensor:
            columns = [
                functional.normalize(self.model(column)["sentence_embedding"].float(), dim=-1) for column in features
            ]
            queries, passages = columns[0], torch.stack(columns[1:], dim=1)
            student = torch.einsum("qd,qpd->qp", queries, passages) / recipe.temperature
            teacher = torch.softmax(labels.float().to(student.device) / recipe.teacher_temperature, dim=-1)
            loss = functional.kl_div(torch.log_softmax(student, dim=-1), teacher, reduction="batchmean")
            none = queries.new_zeros(0, queries.shape[1])
            contrast = raw.info_nce(queries, passages[:, 0], none, recipe.temperature)
            return loss + recipe.contrastive_weight * contrast

    return ListwiseDistillation()
