"""Tune a bi-encoder in plain PyTorch: pooling, loss, optimizer and schedule are all here.

The loss is InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) over the positives of the whole batch and the mined
negatives, the one that sentence-transformers calls MultipleNegativesRankingLoss. Batches beyond memory are
computed in parts whose gradients add up to those of the whole (GradCache; Gao et al. 2021, arXiv 2101.06983). Batches
and masks come from `batches`, as for `mnrl`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.training import parts
from harness.training.batches import Batches, TrainingTotals
from harness.training.checkpoints import Checkpoints
from harness.training.watch import warmup_steps
from harness.values.records import Progress

if TYPE_CHECKING:
    from torch import Tensor

CLIP = 1.0


class Encoder(NamedTuple):
    """A transformer, its tokenizer, its pooling (``mean`` or ``cls``), and its limit of tokens of a text.

    Vectors are scaled to length 1 if `unit_length`; models that are searched by dot product are not.
    """

    model: Any
    tokenizer: Any
    pooling: str
    max_length: int
    unit_length: bool = True

    def tokens(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        """Return the tokens of texts, padded to the longest, each of shape (texts, tokens)."""
        tokens: Mapping[str, Tensor] = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return tokens

    def embed(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Return the vectors of tokenized texts in float32, shape (texts, dim)."""
        import torch

        device = self.model.device
        read = {name: value.to(device) for name, value in tokens.items() if name != parts.PLACES}
        with autocast(device.type):
            states = self.model(**read).last_hidden_state
        pooled = pool(states.float(), read["attention_mask"], self.pooling)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.unit_length else pooled


def autocast(device: str) -> AbstractContextManager[Any]:
    """Compute in bf16 on a GPU; the weights stay in float32."""
    import torch

    found: AbstractContextManager[Any] = torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")
    return found


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Pool the states of tokens, shape (texts, tokens, dim), to one vector per text, shape (texts, dim).

    `mask` has shape (texts, tokens) and is 0 at padding.
    """
    if pooling == "cls":
        return states[:, 0]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)


def info_nce(
    queries: Tensor, positives: Tensor, negatives: Tensor, temperature: float, included: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of each query's positive among all positives and negatives of the batch.

    Shapes are (n, dim), (n, dim) and (m, dim); the i-th positive belongs to the i-th query. `included`, of shape
    (n, n + m), says which of these documents enter the softmax of which query: known positives of a query do not.
    """
    import torch

    scores = queries @ torch.cat([positives, negatives]).T / temperature
    if included is not None:
        scores = scores.masked_fill(~included, float("-inf"))
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(queries), device=scores.device))


class Nested(NamedTuple):
    """Dimensions after which vectors are cut for a loss, and whether what is left is scaled to length 1 again.

    Matryoshka representation learning (Kusupati et al. 2022, arXiv 2205.13147), with equal weights that add up to 1.
    """

    dimensions: tuple[int, ...] = ()
    unit_length: bool = True

    def loss(self, compute: Callable[[Tensor], Tensor], vectors: Tensor) -> Tensor:
        """Return the mean loss of vectors of shape (texts, dim): of whole ones, and of their first dimensions."""
        import torch

        losses = [compute(vectors)]
        for dimensions in self.dimensions:
            if dimensions < vectors.shape[-1]:
                first = vectors[..., :dimensions]
                losses.append(compute(torch.nn.functional.normalize(first, dim=-1) if self.unit_length else first))
        return torch.stack(losses).mean() if len(losses) > 1 else losses[0]


WHOLE = Nested()


class ContrastiveExample(NamedTuple):
    """A query, its positive passage and its mined negatives, as texts with prompts."""

    query: str
    positive: str
    negatives: tuple[str, ...]


def schedule(step: int, steps: int, warmup: int) -> float:
    """Return the factor on the learning rate at a step (from 0): linear warm-up, then linear decay to zero."""
    if step < warmup:
        return step / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def backward(
    encoder: Encoder,
    batch: Sequence[ContrastiveExample],
    temperature: float,
    micro_batch: int,
    included: Tensor | None = None,
    nested: Nested = WHOLE,
) -> float:
    """Add the gradients of one batch to the weights and return its loss; `micro_batch` counts texts.

    `included` is as for `info_nce`.
    """

    def loss_of(vectors: Tensor) -> Tensor:
        return nested.loss(lambda part: _loss(part, len(batch), temperature, included), vectors)

    texts = [*(item.query for item in batch), *(item.positive for item in batch)]
    texts += [text for item in batch for text in item.negatives]
    tokens = encoder.tokens(texts)
    pieces = parts.split(tokens, 0, parts.limits(micro_batch, encoder.model.device.type))
    loss = parts.loss_of_parts(
        pieces, encoder.embed, lambda vectors: loss_of(parts.in_order(vectors, pieces)), len(texts) > micro_batch
    )
    loss.backward()
    return float(loss.detach())


def _loss(vectors: Tensor, size: int, temperature: float, included: Tensor | None) -> Tensor:
    return info_nce(vectors[:size], vectors[size : 2 * size], vectors[2 * size :], temperature, included)


class LoopSettings(NamedTuple):
    """Settings of the training loop.

    `warmup` is a share of the steps. `temperature` divides the similarities. `micro_batch` counts texts in memory.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    temperature: float
    micro_batch: int
    seed: int
    nested: Nested = WHOLE


class Rows(NamedTuple):
    """The texts of each row, the batches of rows, and the totals to add to."""

    examples: Sequence[ContrastiveExample]
    batches: Batches
    totals: TrainingTotals


def train(
    encoder: Encoder, rows: Rows, settings: LoopSettings, progress: Progress, checkpoints: Callable[[int], Checkpoints]
) -> list[float]:
    """Train in place and return the loss of every step; `checkpoints` is called with the number of steps."""
    epochs = range(settings.epochs)
    plan = [batch for epoch in epochs for batch in rows.batches.deal(settings.batch_size, settings.seed, epoch)]

    def one_batch(batch: Sequence[int]) -> float:
        mask = rows.batches.mask(batch)
        rows.totals.rows += len(batch)
        rows.totals.add(mask)
        examples = [rows.examples[number] for number in batch]
        included = mask.tensor(encoder.model.device)
        rule = settings.temperature, settings.micro_batch, included, settings.nested
        return backward(encoder, examples, *rule)

    rates = RateSchedule(settings.learning_rate, warmup_steps(len(plan), settings.warmup))
    return loop(encoder.model, plan, rates, one_batch, progress, checkpoints(len(plan)))


class RateSchedule(NamedTuple):
    """The highest learning rate, and after how many steps it is reached."""

    learning_rate: float
    warmup: int


def loop(
    module: Any,
    plan: Sequence[Sequence[int]],
    rates: RateSchedule,
    backward: Callable[[Sequence[int]], float],
    progress: Progress,
    checkpoints: Checkpoints,
) -> list[float]:
    """Train a module on the batches of a plan and return the loss of every step.

    `backward` adds the gradients of a batch to the weights and returns its loss.
    """
    import torch

    checkpoints.start()
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rates.learning_rate, weight_decay=0.0, fused=True)
    losses = []
    module.train()
    for step, batch in enumerate(plan):
        for group in optimizer.param_groups:
            group["lr"] = rates.learning_rate * schedule(step, len(plan), rates.warmup)
        losses.append(backward(batch))
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        progress(step + 1, len(plan))
        if checkpoints.after(step + 1):
            break
    checkpoints.restore()
    return losses
