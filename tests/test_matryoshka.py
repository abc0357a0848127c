"""The Matryoshka option of every recipe: its loss by hand and by sentence-transformers, and what it is good for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from pydantic import ValidationError
from test_training_rows import by_hand, unequal
from test_tune_retriever import TOPICS, WORDS, query, tuned

from harness.models.loaders import load_bi_encoder
from harness.models.stored_vectors import shortened
from harness.stages.shared.common import encode
from harness.suite.recipes import RetrieverRecipe
from harness.training import raw, retrievers
from harness.training.batches import Batches, RankedPassages, TrainingTotals
from harness.training.losses import Similarity, Task, loss_of

CUTS = (16, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bi_encoder(tmp_path_factory.mktemp("bi"), WORDS)


def batch_of(model: Any, task: Task) -> tuple[list[dict[str, Any]], Any]:
    """All rows as one batch: tokenized parts, and the numbers of the rows."""
    batch = retrievers._collator(model, task, 32)([{"label": number} for number in range(len(task.rows))])
    prefixes = dict.fromkeys(name.split("_")[0] for name in batch if "_" in name)
    features = [
        {name.removeprefix(f"{prefix}_"): value for name, value in batch.items() if name.startswith(f"{prefix}_")}
        for prefix in prefixes
    ]
    return features, batch["label"]


def task_of(lists: list[RankedPassages], recipe: RetrieverRecipe) -> Task:
    rows = retrievers.rows_of(lists, recipe)
    dealt = [row._replace(passages=row.passages[:1]) for row in rows] if recipe.distills else rows
    return Task(rows, Batches(dealt), recipe, Similarity(), TrainingTotals())


def gradients(model: Any) -> dict[str, Any]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[], Any]:
    """Loads the model in float64, in which losses are then computed: two calculations do not differ by rounding."""
    import torch

    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    return lambda: load_bi_encoder(folder, 32).double()


def check_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    import torch

    assert found.keys() == wanted.keys()
    assert max(float(gradient.abs().max()) for gradient in wanted.values()) > 1e-3
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-7), name


@pytest.mark.parametrize(("recipe", "part"), [("mnrl", None), ("mnrl", 3), ("triplet", None), ("distill", None)])
def test_the_loss_is_the_mean_over_whole_and_cut_vectors(
    recipe: Any, part: int | None, double: Callable[[], Any]
) -> None:
    given = RetrieverRecipe(recipe=recipe, micro_batch_size=part, matryoshka=CUTS)
    model, other, task = double(), double(), task_of(unequal(), given)
    model.train(), other.train()
    loss = loss_of(model, task)(*batch_of(model, task))
    loss.backward()
    expected = sum(by_hand(other, unequal(), given, width) for width in (None, *CUTS)) / 3
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-7)
    check_equal(gradients(model), gradients(other))
    plain = task_of(unequal(), given.model_copy(update={"matryoshka": ()}))
    loss_of(other, plain)(*batch_of(other, plain))
    assert task.totals.notes() == plain.totals.notes(), "what is left out is counted once, not for every cut"


@pytest.mark.parametrize("part", [100, 3])
def test_raw_computes_what_mnrl_does(part: int, double: Callable[[], Any]) -> None:
    rows, model, other = unequal(), double(), double()
    mask = Batches(rows).mask(range(len(rows)))
    examples = [raw.ContrastiveExample(row.query, row.passages[0], row.passages[1:]) for row in rows]
    encoder = retrievers.raw_encoder(model)
    loss = raw.backward(encoder, examples, 0.05, part, mask.tensor("cpu"), raw.Nested(CUTS))
    expected = sum(by_hand(other, rows, RetrieverRecipe(), width) for width in (None, *CUTS)) / 3
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), abs=1e-7)
    check_equal(gradients(model), gradients(other))


def test_it_is_the_matryoshka_loss_of_sentence_transformers(double: Callable[[], Any]) -> None:
    import torch
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

    lists = [
        RankedPassages(query(topic), (f"the {topic} is it", f"it is the {other}"))
        for topic, other in zip(TOPICS[:6], TOPICS[6:], strict=True)
    ]
    model, other = double(), double()
    model.train(), other.train()
    task = task_of(lists, RetrieverRecipe(matryoshka=CUTS))
    loss = loss_of(model, task)(*batch_of(model, task))
    loss.backward()
    own = MatryoshkaLoss(other, MultipleNegativesRankingLoss(other, scale=20), [32, *CUTS], [1 / 3] * 3)
    columns = [[row.query for row in lists], *zip(*(row.passages for row in lists), strict=True)]
    expected = own([other.preprocess(list(texts)) for texts in columns], torch.zeros(len(lists)))
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-7)
    check_equal(gradients(model), gradients(other))


def test_dimensions_of_the_model_itself_add_nothing(folder: Path) -> None:
    model, task = load_bi_encoder(folder, 32), task_of(unequal(), RetrieverRecipe(matryoshka=(32,)))
    plain = task_of(unequal(), RetrieverRecipe())
    values = [float(loss_of(model, one)(*batch_of(model, one)).detach()) for one in (task, plain)]
    assert values[0] == values[1]


def right(folder: Path, dimensions: int) -> float:
    """The share of queries whose own document has the largest cosine of vectors that are cut."""
    model = load_bi_encoder(folder, 32)
    queries, documents = (
        shortened(encode(model, texts, role), dimensions, unit_length=True)
        for role, texts in (
            ("query", [query(topic) for topic in TOPICS]),
            ("document", [f"the {topic} is it" for topic in TOPICS]),
        )
    )
    return float(np.mean((queries @ documents.T).argmax(axis=1) == np.arange(len(TOPICS))))


@pytest.mark.parametrize("recipe", ["mnrl", "raw", "triplet", "distill"])
def test_vectors_that_were_trained_for_it_lose_less(recipe: str, tmp_path: Path, folder: Path) -> None:
    changes = {"recipe": recipe, "epochs": 6, "checkpoints": 1}
    plain, _ = tuned(tmp_path / "plain", folder, **changes)
    nested, usage = tuned(tmp_path / "nested", folder, matryoshka=[8, 3], **changes)
    assert usage.notes["vectors are trained whole and cut after"] == "8, 3"
    assert right(nested, 3) > right(plain, 3)
    assert right(nested, 32) >= right(plain, 32) - 0.1


@pytest.mark.parametrize("recipe", ["mnrl", "raw"])
def test_more_dimensions_than_the_model_has_are_refused(recipe: str, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="matryoshka: 64 is more than the 32 dimensions of the model"):
        tuned(tmp_path, folder, recipe=recipe, matryoshka=[64, 8])


@pytest.mark.parametrize("listed", [[8, 8], [0], [-1]])
def test_dimensions_are_counts_and_named_once(listed: list[int]) -> None:
    with pytest.raises(ValidationError):
        RetrieverRecipe.model_validate({"matryoshka": listed})
