"""The losses of the recipes `mnrl`, `triplet` and `distill`, as modules for sentence-transformers' trainer.

A batch arrives as tokenized parts, queries first and then passages, with the numbers of its rows as labels. Everything
else about a row (its passages, known positives, scores of a teacher) is looked up by number. So lists may differ in
length, and no texts are compared. In the shapes below, `n` is the number of queries of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.models.encoder_prompts import EncoderPrompts
from harness.suite.recipes import RetrieverRecipe
from harness.training import parts, raw
from harness.training.batches import Batches, RankedPassages, TrainingTotals

if TYPE_CHECKING:
    from torch import Tensor

Features = Sequence[Mapping[str, Any]]
SCALE_SAMPLE = 64
"""Rows whose dot products set the scale of an untuned model."""


def prompts_of(model: Any) -> EncoderPrompts:
    """Return the prompts that a loaded SentenceTransformer puts before queries and documents."""
    default = model.prompts.get(model.default_prompt_name) or "" if model.default_prompt_name else ""
    return EncoderPrompts(model.prompts.get("query") or default, model.prompts.get("document") or default)


class Similarity(NamedTuple):
    """Similarity of two vectors: their dot product over `unit`, after scaling both to length 1 if `unit_length`.

    `unit` is 1 for the cosine.
    """

    unit_length: bool = True
    unit: float = 1.0

    def vectors(self, embeddings: Tensor) -> Tensor:
        """Return embeddings as they are compared, in float32; the shape (texts, dim) is kept."""
        import torch

        vectors = embeddings.float()
        return torch.nn.functional.normalize(vectors, dim=-1) if self.unit_length else vectors


def similarity_of(model: Any, rows: Sequence[RankedPassages]) -> Similarity:
    """Return the similarity of the model: the dot product if its configuration names that one, else the cosine.

    Dot products have no scale of their own: temperature and margin are meant for cosines. They are divided by the mean
    product of the lengths of query and positive, over some rows and before training, so that they are spread like
    cosines when training begins.
    """
    import numpy as np

    if model.similarity_fn_name != "dot":
        return Similarity()
    prompts, some = prompts_of(model), rows[:SCALE_SAMPLE]
    lengths = [
        np.linalg.norm(model.encode(texts, prompt=prompt or None, show_progress_bar=False), axis=1)
        for texts, prompt in (
            ([row.query for row in some], prompts.query),
            ([row.passages[0] for row in some], prompts.document),
        )
    ]
    unit = float((lengths[0] * lengths[1]).mean())
    return Similarity(unit_length=False, unit=unit) if unit > 0 else Similarity()


class Task(NamedTuple):
    """Inputs of a loss: the rows and their batches, the recipe, the similarity; and the totals that it adds to."""

    rows: Sequence[RankedPassages]
    batches: Batches
    recipe: RetrieverRecipe
    similarity: Similarity
    totals: TrainingTotals


def loss_of(model: Any, task: Task, cached: bool = False) -> Any:
    """Return the loss of a recipe: a module that takes tokenized parts and the numbers of rows, shape (n,).

    With `cached`, for when memory is short, gradients are computed part by part (see `parts.loss_of_parts`).
    """
    import torch

    compute = {"mnrl": _in_batch, "triplet": _triplet, "distill": _distillation}[task.recipe.recipe]
    nested = raw.Nested(task.recipe.matryoshka, task.similarity.unit_length)

    class RowLoss(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: Features, labels: Tensor) -> Tensor:
            numbers = labels.tolist()
            task.totals.rows += len(numbers)
            included = _included(task, numbers, labels.device)

            def cut(vectors: Tensor) -> Tensor:
                batch = Batch(numbers, vectors[: len(numbers)], vectors[len(numbers) :], included)
                return compute(task, batch)

            def whole(vectors: Tensor) -> Tensor:
                return nested.loss(cut, parts.in_order(vectors, features))

            def embed(part: Mapping[str, Any]) -> Tensor:
                # Pooling may change the attention mask in place, and a part may be embedded twice.
                features_copy = {
                    name: value.clone() if torch.is_tensor(value) else value
                    for name, value in part.items()
                    if name != parts.PLACES
                }
                return task.similarity.vectors(self.model(features_copy)["sentence_embedding"])

            return parts.loss_of_parts(features, embed, whole, cached)

    return RowLoss()


class Batch(NamedTuple):
    """The vectors of a batch: `queries` of shape (n, dim), and `passages`, all positives, then the negatives by row.

    `numbers` are those of its rows; `included` says which passages are compared with which query, see `info_nce`.
    """

    numbers: Sequence[int]
    queries: Tensor
    passages: Tensor
    included: Tensor | None


def _included(task: Task, numbers: Sequence[int], device: Any) -> Tensor | None:
    """Return the mask that leaves out known positives, and count it; None for losses without in-batch negatives."""
    recipe = task.recipe
    if recipe.recipe == "triplet" or (recipe.distills and not recipe.contrastive_weight):
        return None
    mask = task.batches.mask(numbers)
    task.totals.add(mask)
    return mask.tensor(device)


def _in_batch(task: Task, batch: Batch) -> Tensor:
    """Return InfoNCE over the positives and mined negatives of the batch, without known positives of each query."""
    size, scale = len(batch.numbers), task.recipe.temperature * task.similarity.unit
    return raw.info_nce(batch.queries, batch.passages[:size], batch.passages[size:], scale, batch.included)


def _triplet(task: Task, batch: Batch) -> Tensor:
    """Return the triplet loss: the mean of max(0, margin + sim(query, negative) - sim(query, positive)).

    There is one negative per query.
    """
    import torch

    size = len(batch.numbers)
    gap = (batch.queries * (batch.passages[size:] - batch.passages[:size])).sum(dim=-1) / task.similarity.unit
    return torch.relu(gap + task.recipe.triplet_margin).mean()


def _distillation(task: Task, batch: Batch) -> Tensor:
    """Return the distillation loss of the lists of a batch, plus a weighted InfoNCE over its positives.

    It is the Kullback-Leibler divergence from the teacher's distribution over a list (softmax of scores over
    `teacher_temperature`) to the student's (softmax of similarities over `temperature`), as Tamber et al. (2025, arXiv
    2502.19712) distil cross-encoders. InfoNCE is weighted by `contrastive_weight`.
    """
    import torch

    numbers, queries, passages, included = batch
    rows, size, recipe = [task.rows[number] for number in numbers], len(numbers), task.recipe
    scale = recipe.temperature * task.similarity.unit
    longest = max(len(row.passages) for row in rows)
    columns = torch.zeros(size, longest, dtype=torch.long)
    teacher_scores = torch.full((size, longest), float("-inf"))
    begin = size
    for number, row in enumerate(rows):
        length = len(row.passages)
        columns[number, :length] = torch.tensor([number, *range(begin, begin + length - 1)])
        teacher_scores[number, :length] = torch.tensor(row.scores)
        begin += length - 1
    columns, teacher_scores = columns.to(queries.device), teacher_scores.to(queries.device)
    present = teacher_scores.isfinite()
    teacher = torch.softmax(teacher_scores / recipe.teacher_temperature, dim=-1)
    student = torch.einsum("qd,qpd->qp", queries, passages[columns]) / scale
    # Shorter lists are padded to (n, longest): padding has no probability in either distribution.
    logs = torch.log_softmax(student.masked_fill(~present, float("-inf")), dim=-1).masked_fill(~present, 0.0)
    loss = torch.nn.functional.kl_div(logs, teacher, reduction="batchmean")
    if not recipe.contrastive_weight:
        return loss
    none = queries.new_zeros(0, queries.shape[1])
    contrast = raw.info_nce(queries, passages[:size], none, scale, included)
    return loss + recipe.contrastive_weight * contrast


def texts_of(rows: Sequence[RankedPassages]) -> tuple[list[str], list[str]]:
    """Return the queries of a batch, and its passages: all positives, then the negatives row by row."""
    passages = [row.passages[0] for row in rows]
    return [row.query for row in rows], passages + [text for row in rows for text in row.passages[1:]]
