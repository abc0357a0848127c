"""Contrastive training of a bi-encoder, against `model.fit` and the trainer of sentence-transformers at its defaults.

All train on the same pairs in the same batches, with the same rate and no dropout, so that their losses are equal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from measuring import Bar, Lab, Row, alternate, largest_difference, seconds_of

RATE = 2e-5
MAX_LENGTH = 256
Pairs = Sequence[tuple[str, str]]


def load(folder: Path) -> Any:
    from harness.models.loaders import load_bi_encoder

    return load_bi_encoder(folder, MAX_LENGTH)


def harness_model(folder: Path) -> Any:
    """The model as the stage loads it."""
    from harness.stages.shared.common import trainable_bi_encoder
    from harness.suite.pipeline import Encoder

    return trainable_bi_encoder(Encoder(model=str(folder), max_length=MAX_LENGTH), {})


def dealt(pairs: Pairs, size: int) -> list[tuple[str, str]]:
    """The pairs in the order in which the harness trains on them."""
    from harness.training.batches import Batches, RankedPassages

    rows = [RankedPassages(query, (passage,)) for query, passage in pairs]
    return [pairs[number] for batch in Batches(rows).deal(size, 0, 0) for number in batch]


def harness_losses(model: Any, pairs: Pairs, size: int) -> list[float]:
    from harness.stages.shared.common import seeded
    from harness.suite.recipes import RetrieverRecipe
    from harness.training import retrievers
    from harness.training.batches import RankedPassages

    rows = [RankedPassages(query, (passage,)) for query, passage in pairs]
    recipe = RetrieverRecipe(epochs=1, batch_size=size, learning_rate=RATE, warmup=0.0, checkpoints=1)
    with seeded(0):
        trained = retrievers.train(model, rows, recipe, 0, size, lambda done, total: None, None)
    return list(trained.losses)


def noted_loss(model: Any, noted: list[float]) -> Any:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    class Noted(MultipleNegativesRankingLoss):  # type: ignore[misc]
        def forward(self, *given: Any, **named: Any) -> Any:
            loss = super().forward(*given, **named)
            noted.append(float(loss.detach()))
            return loss

    return Noted(model)


def in_order() -> Any:
    """The trainer without shuffling; what it does with a batch is its own."""
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer

    def sampler(self: Any, dataset: Any, batch_size: int, drop_last: bool, *given: Any, **named: Any) -> Any:
        return DefaultBatchSampler(range(len(dataset)), batch_size=batch_size, drop_last=drop_last)

    return patch.object(SentenceTransformerTrainer, "get_batch_sampler", sampler)


def fit_losses(model: Any, pairs: Pairs, size: int, rate: float = RATE) -> list[float]:
    """As tutorials had it before version 3."""
    from sentence_transformers import InputExample
    from torch.utils.data import DataLoader

    losses: list[float] = []
    loader = DataLoader([InputExample(texts=list(pair)) for pair in pairs], shuffle=False, batch_size=size)
    with tempfile.TemporaryDirectory() as scratch, in_order():
        model.fit(
            [(loader, noted_loss(model, losses))], epochs=1, warmup_steps=0, optimizer_params={"lr": rate},
            weight_decay=0.0, show_progress_bar=False, checkpoint_path=scratch, checkpoint_save_steps=10**6,
        )  # fmt: skip
    return losses


def trainer_losses(model: Any, pairs: Pairs, size: int) -> list[float]:
    """As the documentation of sentence-transformers has it now."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    losses: list[float] = []
    columns = {"anchor": [query for query, _ in pairs], "positive": [passage for _, passage in pairs]}
    with tempfile.TemporaryDirectory() as scratch, in_order():
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch, num_train_epochs=1, per_device_train_batch_size=size, learning_rate=RATE,
            save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        loss = noted_loss(model, losses)
        SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=Dataset.from_dict(columns), loss=loss
        ).train()
    return losses


def measure(lab: Lab) -> Iterator[Row]:
    size = lab.sized(64, 8)
    pairs = lab.texts.pairs(lab.sized(128, 16))
    ordered = dealt(pairs, size)
    losses: dict[str, list[float]] = {}

    def side(name: str, train: Any, rows: Pairs, loaded: Any = load) -> Any:
        def run() -> float:
            model = loaded(lab.encoder)
            return seconds_of(lambda: losses.update({name: train(model, rows, size)}))

        return run

    sides = {
        "ours": side("ours", harness_losses, pairs, harness_model),
        "fit": side("fit", fit_losses, ordered),
        "trainer": side("trainer", trainer_losses, ordered),
    }
    times = alternate(sides, lab.repeats, warm_up=False)
    what = f"{len(pairs)} pairs in batches of {size}, passages of 6 to 220 words"
    for name, against, least in (
        ("fit", "model.fit", 1.5),
        ("trainer", "SentenceTransformerTrainer, defaults", 1.2),
    ):
        yield Row(
            what, times["ours"], times[name], against, work=len(pairs), work_unit="pairs", bar=Bar("at least", least)
        )
        difference = largest_difference(losses["ours"], losses[name])
        yield Row(
            f"largest difference of a step's loss from {against}", (difference,), unit="", bar=Bar("at most", 1e-3)
        )
