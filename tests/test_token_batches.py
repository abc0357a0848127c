"""Batches by tokens: the vectors of sentence-transformers, within the budget, each text once and in its place."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
import smallsuite
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models import token_batches
from harness.models.loaders import load_bi_encoder, load_cross_encoder
from harness.models.precision import prepared
from harness.models.sparse_encoder import encode_sparse, load_sparse_encoder
from harness.models.token_batches import BUDGET_VARIABLE, Truncations, by_tokens, count_longer
from harness.models.token_encoders import encode_tokens, load_token_encoder
from harness.stages.shared.common import encode
from harness.stages.shared.relevance_models import score_pairs

WORDS = smallsuite.vocabulary()
text = st.lists(st.sampled_from([*WORDS[:12], "unheardof", "."]), max_size=24).map(" ".join)
several = st.lists(text, min_size=1, max_size=12)


def padded_on_left(folder: Path) -> Path:
    return folders.edited(folder, "tokenizer_config.json", lambda config: {**config, "padding_side": "left"})


def pooled(mode: str) -> Callable[[Path], Path]:
    return lambda folder: folders.modules(folder, folders.plain(folder / ".." / f"{folder.name}-bert"), pooling=mode)


def decoder(folder: Path) -> Path:
    """A decoder whose last token counts, padded on the left; its positions are relative, as padding moves others."""
    plain = folders.plain(folder / ".." / "qwen", "Qwen2", num_key_value_heads=1)
    return folders.modules(folder, padded_on_left(plain), pooling="lasttoken")


def without_prompt(folder: Path) -> Path:
    folders.normalized(folder)
    return folders.edited(folder, "1_Pooling/config.json", lambda config: {**config, "include_prompt": False})


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "mean": pooled("mean"), "cls": pooled("cls"), "max": pooled("max"), "last": pooled("lasttoken"),
    "decoder": decoder, "dense": folders.dense, "normalized": folders.normalized, "static": folders.static,
    "t5": lambda folder: folders.modules(folder, folders.t5(folder / ".." / "t5")),
    "mean without the prompt": without_prompt,
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    root = tmp_path_factory.mktemp("models")

    @cache
    def model(name: str) -> Any:
        return prepared(
            load_bi_encoder(FOLDERS[name](root / name.replace(" ", "-")), 16, "ask ", "read this: "), "float32"
        )

    return model


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("budget", [1, 40, 4096])
@settings(max_examples=8, deadline=None)
@given(texts=several)
def test_vectors_are_those_of_the_library(
    name: str, budget: int, texts: list[str], loaded: Callable[[str], Any]
) -> None:
    model = loaded(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BUDGET_VARIABLE, str(budget))
        vectors = encode(model, texts, "document")
    plain = model.encode(
        texts, prompt="read this: ", batch_size=1, normalize_embeddings=model.similarity_fn_name != "dot",
        show_progress_bar=False,
    )  # fmt: skip
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(plain, abs=1e-5)


def test_a_layer_in_another_layout_gives_the_same_vectors(tmp_path: Path) -> None:
    folder = folders.normalized(tmp_path / "model")
    plain, laid_out = load_bi_encoder(folder, 16), prepared(load_bi_encoder(folder, 16), "float32")
    assert encode(laid_out, WORDS, "query") == pytest.approx(encode(plain, WORDS, "query"), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 200), st.integers(0, 50))
def test_batches_keep_to_the_budget_and_hold_every_text_once(lengths: list[int], budget: int, cost: int) -> None:
    batches = by_tokens(lengths, budget, cost)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    longest = [max(lengths[place] for place in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    for batch, most in zip(batches, longest, strict=True):
        assert len(batch) == 1 or len(batch) * most <= budget


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 40), st.integers(0, 12))
def test_no_other_cuts_compute_less(lengths: list[int], budget: int, cost: int) -> None:
    ranked = sorted(lengths, reverse=True)

    @cache
    def least(start: int) -> int:
        """The least cost of the texts from a place on, by trying every cut."""
        ends = [end for end in range(start + 1, len(ranked) + 1)
                if end == start + 1 or (end - start) * ranked[start] <= budget]  # fmt: skip
        return min((cost + (end - start) * ranked[start] + least(end) for end in ends), default=0)

    batches = by_tokens(lengths, budget, cost)
    assert sum(cost + len(batch) * max(lengths[place] for place in batch) for batch in batches) == least(0)


def test_long_and_short_texts_are_not_padded_to_each_other(
    loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_batches, "BATCH_COST_CPU", 4)
    texts = ["lime", "lime " * 10, "kiln", "kiln " * 10]
    batches = list(token_batches.token_batches(loaded("mean"), texts, lambda features: features, prompt=""))
    assert [sorted(batch.numbers) for batch in batches] == [[1, 3], [0, 2]]
    assert all(batch.result["attention_mask"].all() for batch in batches)


def test_progress_is_complete_and_never_falls(loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, "60")
    reports: list[tuple[int, int]] = []
    texts = [" ".join(["lime"] * (1 + number % 7)) for number in range(300)]
    encode(loaded("mean"), texts, "query", lambda *at: reports.append(at))
    assert reports == sorted(set(reports))
    assert len(reports) > 2
    assert reports[-1] == (300, 300)
    assert encode(loaded("mean"), [], "query").shape == (0, 32)


@pytest.mark.parametrize("name", ["mean", "decoder", "static"])
@pytest.mark.parametrize("window", [2, 2048])
def test_texts_that_are_cut_are_counted_as_they_are_encoded(
    name: str, window: int, loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_batches, "WINDOW", window)
    model, truncations = loaded(name), Truncations()
    texts = [" ".join(["lime"] * count) for count in range(20)]
    encode(model, texts, "query", truncations=truncations)
    assert truncations.count == count_longer(model, "ask ")(texts)
    assert truncations.count == 0 if name == "static" else 0 < truncations.count < len(texts)


def test_a_tokenizer_that_does_not_tell_is_asked_again(
    loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, truncations = loaded("mean"), Truncations()
    plain = model.preprocess
    monkeypatch.setattr(type(model), "preprocess", lambda self, *args, **options: dict(plain(*args, **options)))
    encode(model, ["lime " * 20, "kiln"], "query", truncations=truncations)
    assert truncations.count == 1


@pytest.mark.parametrize("budget", ["1", "50", "5000"])
@pytest.mark.parametrize("make", [tiny.bi_encoder, tiny.colbert])
def test_token_vectors_are_those_of_the_library(
    make: Callable[..., Path], budget: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, budget)
    model = load_token_encoder(make(tmp_path, WORDS), 16)
    texts = ["lime kiln", "", "a ferry, and the mail " * 5, "slate", "lime . kiln ?"]
    for role in ("query", "document"):
        arrays = model.encode(
            texts, prompt=model.prompts[role], task=role, convert_to_numpy=True, show_progress_bar=False
        )
        for array, plain in zip(encode_tokens(model, texts, role), arrays, strict=True):
            assert array == pytest.approx(plain if len(plain) else np.zeros((1, plain.shape[1])), abs=1e-5)


@pytest.mark.parametrize("budget", ["1", "50", "5000"])
def test_terms_and_scores_of_pairs_are_those_of_the_library(
    budget: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, budget)
    texts = ["lime kiln", "", "a ferry, and the mail " * 9, "slate", "lime . kiln ?"]
    sparse = load_sparse_encoder(tiny.sparse_encoder(tmp_path / "sparse", WORDS), 64)
    sparse.similarity_fn_name = "dot"
    plain = sparse.encode(texts, prompt="", convert_to_sparse_tensor=False, show_progress_bar=False).numpy()
    assert encode_sparse(sparse, texts, "document").toarray() == pytest.approx(plain, abs=1e-5)
    cross = prepared(load_cross_encoder(tiny.cross_encoder(tmp_path / "cross", WORDS), 64), "float32")
    pairs = [(query, passage) for query in texts[:2] for passage in texts]
    assert score_pairs(cross, pairs) == pytest.approx(cross.predict(pairs, show_progress_bar=False), abs=1e-5)


def test_concatenated_texts_are_those_of_the_library(tmp_path: Path) -> None:
    import torch
    from transformers import DataCollatorWithFlattening

    model = load_bi_encoder(folders.normalized(tmp_path / "model"), 16, "ask ")
    module = model[0]
    module.data_collator = DataCollatorWithFlattening(
        return_seq_idx=True, return_flash_attn_kwargs=True, return_position_ids=True
    )
    module.can_flatten_inputs, module._flatten_position_offset = True, 2
    texts = ["lime kiln ferry", "lime kiln", "kiln", ""]
    (batch,) = token_batches.token_batches(model, texts, lambda features: features, prompt="ask ")
    plain = model.preprocess([texts[number] for number in batch.numbers], prompt="ask ")
    assert module.can_flatten_inputs, "tokenizing leaves the model as it was"
    assert batch.result.keys() == plain.keys()
    for name, value in plain.items():
        assert torch.equal(batch.result[name], value) if torch.is_tensor(value) else batch.result[name] == value


def test_the_budget_is_set_or_follows_the_device(loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = loaded("mean")
    assert token_batches.budget_of(model) == token_batches.CPU_TOKENS
    monkeypatch.setattr(token_batches, "_on_cuda", lambda model: True)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3_000_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1_000_000)
    budgets = []
    for free in (0, 14_000_000, 10**12):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**12))
        budgets.append(token_batches.budget_of(model))
    least, most = token_batches.CUDA_TOKENS
    assert budgets == [least, 16_000_000 // 2 // token_batches.token_bytes(model), most]
    monkeypatch.setenv(BUDGET_VARIABLE, "77")
    assert token_batches.budget_of(model) == 77
