"""Linear layers in int8: near to float32 layer by layer and for whole models, and refused where they do not run."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smallsuite
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models import int8_linear
from harness.models.int8_linear import to_int8
from harness.models.loaders import load_bi_encoder, locate

TEXTS = ["the kiln is old and it is red", "what is the ferry?", "mail slate lime " * 12, "", "roof"]


def both(inputs: Any, bias: bool = True, seed: int = 0, width: int = 48) -> tuple[Any, Any, Any]:
    """A layer's results in float32 and in int8, and the bound on their difference that rounding allows."""
    import torch

    torch.manual_seed(seed)
    plain = torch.nn.Sequential(torch.nn.Linear(inputs.shape[-1], width, bias=bias))
    weight = plain[0].weight.detach()
    quantized = to_int8(copy.deepcopy(plain))
    with torch.no_grad():
        results = plain(inputs), quantized(inputs)
    # Half a step of each factor, times the size of the other.
    input_step, weight_step = inputs.abs().amax(-1, keepdim=True) / 127, weight.abs().amax(1) / 127
    sizes = inputs.abs().sum(-1, keepdim=True), weight.abs().sum(1)
    bound = 0.5 * (input_step * sizes[1] + sizes[0] * weight_step) + 0.25 * input_step * weight_step * inputs.shape[-1]
    return *results, bound


@settings(max_examples=40)
@given(shape=st.sampled_from([(1, 16), (5, 32), (3, 7, 32), (0, 16)]), bias=st.booleans(), seed=st.integers(0, 99))
def test_a_layer_differs_by_what_rounding_allows(shape: tuple[int, ...], bias: bool, seed: int) -> None:
    import torch

    torch.manual_seed(seed)
    plain, quantized, bound = both(torch.randn(shape), bias, seed)
    assert quantized.shape == plain.shape
    assert quantized.dtype == torch.float32
    assert ((plain - quantized).abs() <= bound * 1.001 + 1e-6).all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(2, 1), (7, 3), (33, 8), (96, 1), (576, 48)])
def test_results_have_equal_bits_in_either_layout(
    inputs: int, outputs: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    torch.manual_seed(inputs)
    plain, rows = torch.nn.Sequential(torch.nn.Linear(inputs, outputs, bias=bias)), 9 * torch.randn(2, 700, inputs)
    laid_out = to_int8(copy.deepcopy(plain))
    monkeypatch.setattr(int8_linear, "_packs", lambda: False)
    with torch.no_grad():
        assert torch.equal(laid_out(rows), to_int8(plain)(rows))


def test_a_machine_that_multiplies_inexactly_keeps_the_plain_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    exact = int8_linear._packed_product
    monkeypatch.setattr(int8_linear, "_packed_product", lambda *args: exact(*args) * 0.999)
    int8_linear._packs.cache_clear()
    try:
        assert to_int8(torch.nn.Sequential(torch.nn.Linear(8, 8)))[0].packed is None
    finally:
        int8_linear._packs.cache_clear()


def test_a_layout_that_is_slow_here_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    exact = int8_linear._packed_product

    def slow(*args: Any) -> Any:
        time.sleep(0.02)
        return exact(*args)

    monkeypatch.setattr(int8_linear, "_packed_product", slow)
    int8_linear._packs.cache_clear()
    try:
        assert to_int8(torch.nn.Sequential(torch.nn.Linear(8, 8)))[0].packed is None
    finally:
        int8_linear._packs.cache_clear()


def one_row(inputs: int) -> list[Any]:
    """Single rows that lie in memory as views do: their strides are not those of a row."""
    import torch

    base = torch.randn(inputs)
    return [
        base.expand(1, inputs), torch.randn(1, 5, inputs)[:, -1:], torch.randn(3, 2 * inputs)[1:2, :inputs],
        torch.randn(inputs, 1).t(), torch.as_strided(base.clone(), (1, inputs), (0, 1)),
    ]  # fmt: skip


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 8), (1, 1), (33, 7), (64, 48), (96, 1)])
def test_a_single_row_is_multiplied_rightly(inputs: int, outputs: int) -> None:
    """torch._int_mm takes the strides of a dimension of size 1 as they are (pytorch 194682)."""
    for number, row in enumerate(one_row(inputs)):
        plain, quantized, bound = both(row, seed=number, width=outputs)
        assert ((plain - quantized).abs() <= bound * 1.001 + 1e-6).all()


def test_a_token_does_not_depend_on_the_others_in_its_batch() -> None:
    """A scale for the whole batch would let one large input flatten all others."""
    import torch

    torch.manual_seed(0)
    layer = to_int8(torch.nn.Sequential(torch.nn.Linear(32, 8)))
    token = torch.randn(1, 32)
    with torch.no_grad():
        assert (layer(torch.cat([token, torch.full((1, 32), 1e4)]))[:1] == layer(token)).all()
        assert (layer(torch.zeros(2, 32)) == layer[0].bias).all()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bi_encoder(tmp_path_factory.mktemp("encoder"), smallsuite.vocabulary())


def test_an_encoder_keeps_its_vectors_nearly(encoder: Path) -> None:
    import torch

    plain, quantized = load_bi_encoder(encoder, 64), to_int8(load_bi_encoder(encoder, 64))
    kinds = [type(module).__name__ for module in quantized.modules()]
    assert kinds.count("Int8Linear") == sum(isinstance(module, torch.nn.Linear) for module in plain.modules()) > 0
    assert "Linear" not in kinds
    vectors = [model.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False) for model in (plain, quantized)]
    cosines = (vectors[0] * vectors[1]).sum(axis=1)
    assert (cosines > 0.995).all()
    assert (vectors[0] != vectors[1]).any(), "nothing was rounded"


@pytest.mark.slow
def test_the_embedded_encoder_keeps_its_vectors_nearly() -> None:
    folder = locate("embedded:all-minilm-l6-v2")
    texts = ["Lime is burned in a kiln.", "How does a p-value arise?", "Aspirin inhibits cyclooxygenase. " * 20]
    plain, quantized = load_bi_encoder(folder, 256), to_int8(load_bi_encoder(folder, 256))
    vectors = [model.encode(texts, normalize_embeddings=True, show_progress_bar=False) for model in (plain, quantized)]
    assert ((vectors[0] * vectors[1]).sum(axis=1) > 0.99).all()
    assert np.isfinite(vectors[1]).all()


def test_another_device_is_refused(encoder: Path) -> None:
    model = load_bi_encoder(encoder, 64).to("meta")
    with pytest.raises(
        ValueError, match="dtype: int8 runs on a CPU only, and the model is on meta; use dtype: float32"
    ):
        to_int8(model)
