"""Tune a token encoder: the recipe `contrastive`, InfoNCE over MaxSim scores.

The scores are sentence-transformers' MaxSim, its loss for multi-vector models is not used: it knows no positives beside
the one of a row. Batches and masks are those of `mnrl`: a document that is known to be relevant for a query is never a
negative of it. Texts go in, the model is changed in place. This module must not know artifacts, keys or stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.models.encoder_prompts import EncoderPrompts
from harness.training import parts, raw
from harness.training.batches import Batches, RankedPassages, TrainingTotals
from harness.training.checkpoints import Checkpoints, DevEvaluation
from harness.training.losses import prompts_of, texts_of
from harness.training.watch import TrainingResult, warmup_steps
from harness.values.records import Progress

if TYPE_CHECKING:
    from torch import Tensor


class ContrastiveSettings(NamedTuple):
    """Settings of a training.

    `warmup` is a share of the steps. `temperature` divides the scores, which lie between -1 and 1. Dev is evaluated
    `checkpoints` times; training stops after `patience` evaluations without a gain. `micro_batch` rows are in memory.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    temperature: float
    checkpoints: int
    patience: int | None
    micro_batch: int
    seed: int


class Part(NamedTuple):
    """Texts of like length that are encoded together: their role, and their tokens with `parts.PLACES`."""

    role: str
    tokens: Mapping[str, Any]


def train(
    model: Any,
    lists: Sequence[RankedPassages],
    settings: ContrastiveSettings,
    progress: Progress,
    dev: DevEvaluation | None = None,
) -> TrainingResult:
    """Tune a MultiVectorEncoder in place; every list is used once per epoch.

    Uses the global generators of the libraries: call it inside of `stages.common.seeded`.
    """
    batches, totals = Batches(lists), TrainingTotals()
    plan = [
        batch for epoch in range(settings.epochs) for batch in batches.deal(settings.batch_size, settings.seed, epoch)
    ]
    checkpoints = Checkpoints.of(model, len(plan), settings.checkpoints, dev, settings.patience)

    def backward(numbers: Sequence[int]) -> float:
        mask = batches.mask(numbers)
        totals.rows += len(numbers)
        totals.add(mask)
        included = mask.tensor(model.device)
        rows = [lists[number] for number in numbers]
        fits = settings.micro_batch >= settings.batch_size
        loss = batch_loss(model, rows, settings.temperature, included, None if fits else settings.micro_batch)
        loss.backward()
        return float(loss.detach())

    rates = raw.RateSchedule(settings.learning_rate, warmup_steps(len(plan), settings.warmup))
    losses = raw.loop(model, plan, rates, backward, progress, checkpoints)
    early = {"stopped early": f"after {len(losses)} of {len(plan)} steps"} if len(losses) < len(plan) else {}
    prompts = {f"prompt before a {role}": repr(text) for role, text in prompts_of(model)._asdict().items() if text}
    notes = {**checkpoints.notes(), **early, **totals.notes(), **prompts}
    return TrainingResult(losses, notes, totals.rows)


def batch_loss(
    model: Any, rows: Sequence[RankedPassages], temperature: float, included: Tensor, micro_batch: int | None = None
) -> Tensor:
    """Return InfoNCE over the MaxSim of the queries of a batch to its passages.

    `included`, of shape (queries, passages), says which passages enter the softmax of which query. With `micro_batch`,
    for when memory is short, gradients are computed part by part, each as large as so many of the longest texts.
    """
    import torch

    count = len(rows)
    lengths: dict[int, int] = {}

    def embed(part: Part) -> Tensor:
        vectors = _token_vectors(model, part)
        lengths.update(zip(part.tokens[parts.PLACES].tolist(), map(len, vectors), strict=True))
        return torch.cat(vectors)

    def whole(stacked: Tensor) -> Tensor:
        places = [place for part in pieces for place in part.tokens[parts.PLACES].tolist()]
        vectors = dict(zip(places, stacked.split([lengths[place] for place in places]), strict=True))
        texts = [vectors[place] for place in range(len(places))]
        return contrast(texts[:count], texts[count:], temperature, included)

    pieces = _parts(model, rows, parts.limits(micro_batch, model.device.type))
    return parts.loss_of_parts(pieces, embed, whole, cached=micro_batch is not None)


def _parts(model: Any, rows: Sequence[RankedPassages], rule: parts.Limits) -> list[Part]:
    """Return the tokenized texts of a batch, queries and passages apart, each cut into parts by length."""
    queries, passages = texts_of(rows)
    prompts, pieces = prompts_of(model), []
    for role, texts, first in zip(EncoderPrompts._fields, (queries, passages), (0, len(queries)), strict=True):
        tokens = model.preprocess(texts, prompt=getattr(prompts, role) or None, task=role)
        pieces += [Part(role, part) for part in parts.split(tokens, first, rule)]
    return pieces


def _token_vectors(model: Any, part: Part) -> list[Tensor]:
    """Return the vectors of each text, shape (tokens, dim), float32; zeros where no token is scored."""
    import torch

    tokens = {
        # The mask of tokens is changed in place, and a part may be encoded twice.
        name: value.clone().to(model.device) if torch.is_tensor(value) else value
        for name, value in part.tokens.items()
        if name != parts.PLACES
    }
    with raw.autocast(model.device.type):
        encoded = model(tokens, task=part.role)
    vectors = encoded["token_embeddings"].float()
    scored = encoded["attention_mask"].bool()
    return [
        row[mask] if bool(mask.any()) else row.new_zeros(1, row.shape[-1])
        for row, mask in zip(vectors, scored, strict=True)
    ]


def contrast(queries: Sequence[Tensor], passages: Sequence[Tensor], temperature: float, included: Tensor) -> Tensor:
    """Return the cross-entropy of each query's positive, the passage at its own place, among those included."""
    import torch
    from sentence_transformers.util.similarity import maxsim

    scores = maxsim(list(queries), list(passages), length_normalize=True) / temperature
    scores = scores.masked_fill(~included, float("-inf"))
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(queries), device=scores.device))
