"""Every row is trained on once an epoch, and no document that is known to be relevant is a negative of its query."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_inputs import silent

from harness.models.loaders import load_bi_encoder
from harness.suite.recipes import RetrieverRecipe
from harness.training import parts, raw, retrievers
from harness.training.batches import (
    KNOWN_MASKED,
    NO_NEGATIVE,
    Batches,
    RankedPassages,
    TrainingTotals,
    batch_sizes,
    text_key,
)
from harness.training.losses import (
    Similarity,
    Task,
    loss_of,
    prompts_of,
    similarity_of,
    texts_of,
)

WORDS = ["lime", "kiln", "ferry", "mail", "slate", "roof", "bell", "tower", "query", "passage", "what", "is"]
RECIPES = ["mnrl", "raw", "triplet", "distill"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bi_encoder(tmp_path_factory.mktemp("bi"), WORDS)


def text_of(number: int) -> str:
    """Texts that the tiny model tells apart."""
    return " ".join(WORDS[number // 12**place % 12] for place in range(3))


def faq(documents: int, queries: int, negatives: int = 0) -> list[RankedPassages]:
    """Many queries about each of a few documents, whose negatives are the documents that follow."""
    shown = [text_of(number) for number in range(documents)]
    return [
        RankedPassages(
            f"{text_of(100 + number * queries + one)} {one}",
            tuple(shown[(number + step) % documents] for step in range(1 + negatives)),
            tuple(1.0 - step / 10 for step in range(1 + negatives)),
        )
        for number in range(documents)
        for one in range(queries)
    ]


rows_lists = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, 9), st.lists(st.integers(0, 9), max_size=3), st.sets(st.integers(0, 9))
    ).map(
        lambda row: RankedPassages(
            f"q{row[0]}", tuple(f"D{one}" for one in (row[1], *row[2])), known={f"d{one}" for one in row[3]}
        )
    ),
    min_size=1,
    max_size=60,
)


@given(rows=rows_lists, size=st.integers(1, 12), seed=st.integers(0, 3), epoch=st.integers(0, 3))
def test_every_row_is_dealt_once_an_epoch_into_batches_of_like_size(
    rows: list[RankedPassages], size: int, seed: int, epoch: int
) -> None:
    dealt = Batches(rows).deal(size, seed, epoch)
    assert sorted(row for batch in dealt for row in batch) == list(range(len(rows)))
    assert len(dealt) == -(-len(rows) // size)
    lengths = [len(batch) for batch in dealt]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert dealt == Batches(rows).deal(size, seed, epoch)


@given(rows=rows_lists, size=st.integers(1, 12), seed=st.integers(0, 3))
def test_what_counts_in_a_batch_is_what_a_plain_reading_of_the_rule_gives(
    rows: list[RankedPassages], size: int, seed: int
) -> None:
    right: dict[str, set[str]] = {}
    for row in rows:
        right.setdefault(row.query, set()).update({row.passages[0].lower(), *row.known})
    batches = Batches(rows)
    for batch in batches.deal(size, seed, 0):
        mask, texts = batches.mask(batch), texts_of([rows[number] for number in batch])[1]
        alone = known = 0
        for place, number in enumerate(batch):
            relevant = right[rows[number].query]
            expected = [
                column == place or (text.lower() not in relevant and text not in texts[:column])
                for column, text in enumerate(texts)
            ]
            assert mask.included[place] == expected
            alone += sum(expected) == 1
            known += sum(text.lower() in relevant for column, text in enumerate(texts) if column != place)
        assert (mask.known, mask.without_negative) == (known, alone)
        assert mask.repeated == len(texts) - len(set(texts))


def test_rows_that_clash_get_into_different_batches_where_there_are_enough() -> None:
    # Where lists overlap as much as in the last case, a few are left that no batch has room for.
    for rows, size, left in ((faq(4, 10), 4, 0), (faq(20, 30), 20, 0), (faq(300, 5), 32, 0), (faq(100, 2, 3), 8, 4)):
        batches = Batches(rows)
        for epoch in range(3):
            masked = [batches.mask(batch) for batch in batches.deal(size, 0, epoch)]
            assert sum(mask.known for mask in masked) <= left


def test_epochs_and_seeds_deal_anew() -> None:
    batches = Batches(faq(30, 1))
    dealt = [batches.deal(4, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert dealt[0] != dealt[1] != dealt[2] != dealt[0]


def test_many_rows_about_a_few_documents_are_dealt_in_seconds() -> None:
    import time

    rows = [RankedPassages(f"q{number}", (f"d{number % 20}", f"n{number % 7}")) for number in range(10_000)]
    batches, started = Batches(rows), time.perf_counter()
    dealt = batches.deal(32, 0, 0)
    assert sum(map(len, dealt)) == len(rows)
    assert time.perf_counter() - started < 20


def test_sizes_of_batches_by_hand() -> None:
    assert batch_sizes(33, 32) == [17, 16]
    assert batch_sizes(40, 8) == [8] * 5
    assert batch_sizes(1, 8) == [1]


@pytest.mark.parametrize(("one", "other"), [
    ("What is lime?", "what  is\tLIME? "), ("Gr\u00fcn", "gru\u0308n"), ("STRASSE", "stra\u00dfe"),
])  # fmt: skip
def test_equal_texts_have_one_key(one: str, other: str) -> None:
    assert text_key(one) == text_key(other)
    assert text_key(one) != text_key(one + " kiln")


# What is trained on


FAQS = {
    "forty questions about four documents": faq(4, 10, 1),
    "one document": faq(1, 7, 1),
    "shared negatives": faq(5, 4, 3),
    "a row left over": faq(9, 1, 1),
}


def trained(folder: Path, rows: list[RankedPassages], seed: int = 0, micro_batch: int = 4, **changes: Any) -> Any:
    from harness.stages.shared.common import seeded

    recipe = RetrieverRecipe.model_validate(
        {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "checkpoints": 1, **changes}
    )
    with seeded(seed):
        model = load_bi_encoder(folder, 32)
        return retrievers.train(model, rows, recipe, seed, micro_batch, silent, None), model


@pytest.mark.parametrize("name", FAQS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_row_is_trained_on_once_an_epoch(
    recipe: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = FAQS[name]
    told: list[tuple[int, int]] = []
    made: list[int] = []
    evaluations = retrievers.Checkpoints

    def checkpoints(module: Any, steps: int, *rest: Any) -> Any:
        made.append(steps)
        return evaluations(module, steps, *rest)

    monkeypatch.setattr(retrievers, "Checkpoints", checkpoints)
    monkeypatch.setattr("test_training_rows.silent", lambda done, total: told.append((done, total)))
    found, _ = trained(folder, rows, recipe=recipe)
    count = len(retrievers.rows_of(rows, RetrieverRecipe(recipe=recipe)))
    assert found.notes["rows trained on"] == 2 * count
    assert found.units == 2 * len(rows)
    assert len(found.losses) == 2 * -(-count // 4) == made[0]
    assert told == [(step, made[0]) for step in range(1, made[0] + 1)]


@settings(max_examples=8)
@given(rows=rows_lists, size=st.integers(2, 9), parts=st.integers(1, 9))
def test_each_row_is_seen_exactly_once_in_every_epoch_of_the_trainer(
    rows: list[RankedPassages], size: int, parts: int, folder: Path
) -> None:
    """Row by row, whatever the pairs are, whichever recipe, and in however many parts a batch is read."""
    recipe = random.Random(len(rows)).choice(["mnrl", "distill"])
    scored = [row._replace(scores=(0.5,) * len(row.passages)) for row in rows]
    numbers: list[int] = []
    plain = retrievers.loss_of

    def listening(model: Any, task: Task, cached: bool) -> Any:
        loss = plain(model, task, cached)
        forward = loss.forward

        def heard(features: Any, labels: Any) -> Any:
            numbers.extend(labels.tolist())
            return forward(features, labels)

        loss.forward = heard
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrievers, "loss_of", listening)
        found, _ = trained(folder, scored, recipe=recipe, batch_size=size, micro_batch=min(parts, size))
    half = len(numbers) // 2
    assert sorted(numbers[:half]) == sorted(numbers[half:]) == list(range(len(rows)))
    assert all(np.isfinite(found.losses))


def test_mnrl_and_raw_see_the_same_batches_and_end_at_the_same_weights(folder: Path) -> None:
    import torch

    rows = faq(6, 3, 2)
    first, one = trained(folder, rows, recipe="mnrl", warmup=0.2)
    second, other = trained(folder, rows, recipe="raw", warmup=0.2)
    assert first.losses == pytest.approx(second.losses, abs=2e-4)
    assert first.notes == second.notes
    for (name, weight), (_, same) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert torch.allclose(weight, same, atol=2e-4), name


def test_masked_negatives_are_counted(folder: Path) -> None:
    known = {text_key(text_of(number)) for number in range(4)}
    rows = [RankedPassages("what is lime", (text_of(number),), known=known) for number in range(4)]
    found, _ = trained(folder, rows, recipe="mnrl")
    # Each batch has four rows, and three negatives of each are relevant; two epochs.
    assert found.notes[KNOWN_MASKED] == 2 * 4 * 3
    assert found.notes[NO_NEGATIVE] == 2 * 4
    assert found.losses == [0.0, 0.0]


# Gradients


def unequal() -> list[RankedPassages]:
    """Lists of unequal length, of which two ask the same and two share a positive."""
    shown = [text_of(number * 7) for number in range(8)]
    return [
        RankedPassages("what is lime", (shown[0], shown[3]), (1.0, 0.2)),
        RankedPassages("What is  lime", (shown[1],), (0.9,), {text_key(shown[3])}),
        RankedPassages("what is mail", (shown[1], shown[2], shown[0], shown[5]), (0.7, 0.4, 0.3, 0.1)),
        RankedPassages("bell tower", (shown[4], shown[6]), (1.0, 0.0)),
        RankedPassages("slate roof", (shown[7], shown[2], shown[6]), (0.8, 0.7, 0.1)),
    ]


def by_hand(model: Any, rows: list[RankedPassages], recipe: RetrieverRecipe, width: int | None = None) -> Any:
    """The loss in plain PyTorch, query by query, over texts compared as texts, of vectors cut after `width`."""
    import torch

    def vectors(texts: list[str]) -> Any:
        found = [model(model.preprocess([text]))["sentence_embedding"][0].float() for text in texts]
        return torch.nn.functional.normalize(torch.stack(found)[:, :width], dim=-1)

    right: dict[str, set[str]] = {}
    for row in rows:
        right.setdefault(text_key(row.query), set()).update({text_key(row.passages[0]), *row.known})
    pool = [row.passages[0] for row in rows]
    if recipe.recipe == "mnrl":
        pool += [text for row in rows for text in row.passages[1:]]
    total = 0.0
    for row in rows:
        query = vectors([row.query])[0]
        if recipe.recipe == "triplet":
            positive, *wrong = vectors(list(row.passages)) @ query
            total = total + sum(torch.relu(one - positive + recipe.triplet_margin) for one in wrong)
            continue
        others = {text for text in pool if text_key(text) not in right[text_key(row.query)]}
        scores = vectors([row.passages[0], *sorted(others)]) @ query / recipe.temperature
        contrast = torch.logsumexp(scores, 0) - scores[0]
        if recipe.recipe == "mnrl":
            total = total + contrast / len(rows)
            continue
        teacher = torch.softmax(torch.tensor(row.scores) / recipe.teacher_temperature, 0)
        student = torch.log_softmax(vectors(list(row.passages)) @ query / recipe.temperature, 0)
        divergence = (teacher * (teacher.log() - student)).sum()
        total = total + (divergence + recipe.contrastive_weight * contrast) / len(rows)
    return total / sum(len(row.passages) - 1 for row in rows) if recipe.recipe == "triplet" else total


@pytest.mark.parametrize(("recipe", "part"), [
    ("mnrl", None), ("mnrl", 1), ("mnrl", 3), ("mnrl", 100), ("triplet", None), ("distill", None),
])  # fmt: skip
@pytest.mark.parametrize("overhead", [0, 10_000])
def test_loss_and_gradients_are_those_of_plain_pytorch_for_lists_of_unequal_length(
    recipe: str, part: int | None, overhead: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts of equal length where a part costs nothing, and in as few as memory holds where it costs much.

    In float64, so that a difference is one of the calculation, not of rounding.
    """
    import torch

    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(parts, "OVERHEAD_CPU", overhead)
    given = RetrieverRecipe(recipe=recipe, micro_batch_size=part)
    lists = unequal()
    rows = retrievers.rows_of(lists, given)
    dealt = [row._replace(passages=row.passages[:1]) for row in rows] if recipe == "distill" else rows
    model = load_bi_encoder(folder, 32).double()
    model.train()
    task = Task(rows, Batches(dealt), given, Similarity(), TrainingTotals())
    batch = retrievers._collator(model, task, 32)([{"label": number} for number in range(len(rows))])
    features = [
        {name.removeprefix(f"{prefix}_"): value for name, value in batch.items() if name.startswith(f"{prefix}_")}
        for prefix in dict.fromkeys(name.split("_")[0] for name in batch if "_" in name)
    ]
    # Queries and passages apart: at least a part of each, and without overhead a part for every length.
    assert (len(features) == 2) == (overhead > 0 and part in (None, 100))
    padded = [tokens["input_ids"].numel() for tokens in features]
    assert max(padded) <= (part or 100) * max(tokens["input_ids"].shape[1] for tokens in features)
    assert overhead or sum(padded) == sum(int(tokens["attention_mask"].sum()) for tokens in features)
    loss = loss_of(model, task, cached=part is not None)(features, batch["label"])
    # As a trainer does that adds up gradients of several batches.
    (loss / 2).backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    other = load_bi_encoder(folder, 32).double()
    other.train()
    expected = by_hand(other, lists, given)
    (expected / 2).backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-7)
    wanted = {name: weight.grad for name, weight in other.named_parameters() if weight.grad is not None}
    assert found.keys() == wanted.keys()
    assert max(float(gradient.abs().max()) for gradient in wanted.values()) > 1e-3
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-7), name


@pytest.mark.parametrize("overhead", [0, 10_000])
def test_raw_masks_as_mnrl_does(overhead: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "OVERHEAD_CPU", overhead)
    rows, model = unequal(), load_bi_encoder(folder, 32)
    mask = Batches(rows).mask(range(len(rows)))
    examples = [raw.ContrastiveExample(row.query, row.passages[0], row.passages[1:]) for row in rows]
    expected = float(by_hand(model, rows, RetrieverRecipe()).detach())
    for part in (100, 3):
        loss = raw.backward(retrievers.raw_encoder(model), examples, 0.05, part, mask.tensor("cpu"))
        assert loss == pytest.approx(expected, abs=1e-5)


def test_parts_are_read_twice_under_the_same_dropout() -> None:
    import torch

    torch.manual_seed(0)
    layer, drop = torch.nn.Linear(4, 4), torch.nn.Dropout(0.5)
    seen: list[Any] = []

    def embed(part: Any) -> Any:
        seen.append(drop(layer(part)))
        return seen[-1]

    value = parts.loss_of_parts(
        [torch.ones(2, 4), torch.ones(3, 4)], embed, lambda vectors: vectors.square().sum(), cached=True
    )
    value.backward()
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert layer.weight.grad is not None


# Prompts and similarity


def configured(folder: Path, out: Path, **config: Any) -> Path:
    """A copy of the tiny model with other keys in its configuration; a model of dot products has no Normalize."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    if config.get("similarity_fn_name") == "dot":
        model = SentenceTransformer(modules=list(model)[:2], device="cpu")
    for name, value in config.items():
        setattr(model, name, value)
    model.save_pretrained(str(out), create_model_card=False)
    return out


@pytest.mark.parametrize("recipe", RECIPES)
def test_prompts_of_the_model_are_trained_with_as_those_of_the_suite_are(
    recipe: str, folder: Path, tmp_path: Path
) -> None:
    import torch

    own = configured(folder, tmp_path / "own", prompts={"query": "query: ", "document": "passage: "})
    rows, weights = faq(6, 2, 1), {}
    given = RetrieverRecipe(recipe=recipe, epochs=1, batch_size=4, checkpoints=1, learning_rate=1e-3)
    for name, model in {
        "config": load_bi_encoder(own, 32),
        "suite": load_bi_encoder(folder, 32, "query: ", "passage: "),
        "none": load_bi_encoder(folder, 32),
    }.items():
        torch.manual_seed(0)
        retrievers.train(model, rows, given, 0, 4, silent, None)
        weights[name] = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    assert torch.equal(weights["config"], weights["suite"])
    assert not torch.allclose(weights["config"], weights["none"], atol=1e-4)


def test_a_default_prompt_stands_before_what_has_no_prompt_of_its_own(folder: Path, tmp_path: Path) -> None:
    own = configured(
        folder, tmp_path / "own", prompts={"document": "passage: ", "all": "what: "}, default_prompt_name="all"
    )
    assert prompts_of(load_bi_encoder(own, 32)) == ("what: ", "passage: ")
    assert prompts_of(load_bi_encoder(folder, 32)) == ("", "")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_model_of_dot_products_is_trained_by_dot_product(recipe: str, folder: Path, tmp_path: Path) -> None:
    """Its loss falls, and is another than that of the cosine, which takes no notice of length."""
    dot = configured(folder, tmp_path / "dot", similarity_fn_name="dot")
    rows = [row._replace(scores=row.scores) for row in faq(6, 2, 2)]
    model = load_bi_encoder(dot, 32)
    similarity = similarity_of(model, rows)
    vectors = model.encode([row.query for row in rows], show_progress_bar=False)
    passages = model.encode([row.passages[0] for row in rows], show_progress_bar=False)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(passages, axis=1)
    assert similarity == (False, pytest.approx(lengths.mean(), rel=1e-4))
    assert abs(lengths.mean() - 1) > 0.5
    found, tuned = trained(dot, rows, recipe=recipe, epochs=8)
    third = len(found.losses) // 3
    assert sum(found.losses[-third:]) < sum(found.losses[:third])
    assert tuned.similarity_fn_name == "dot"
    cosine, _ = trained(folder, rows, recipe=recipe, epochs=8)
    assert found.losses[0] != pytest.approx(cosine.losses[0], abs=1e-4)


def test_the_cosine_has_no_unit_whatever_the_lengths(folder: Path, tmp_path: Path) -> None:
    same = configured(folder, tmp_path / "same", similarity_fn_name="cosine")
    assert similarity_of(load_bi_encoder(same, 32), faq(3, 1)) == Similarity(True, 1.0)
