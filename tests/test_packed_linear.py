"""Linear layers by oneDNN: the numbers of torch's own up to rounding, and only where it computes them."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models import language_models, packed_linear
from harness.models.packed_linear import to_packed, to_trainable
from harness.suite.local_models import LocalModel


@settings(max_examples=40)
@given(shape=st.sampled_from([(1, 16), (5, 32), (3, 7, 32), (0, 16), (700, 16)]), bias=st.booleans())
def test_a_layer_differs_by_rounding_only(shape: tuple[int, ...], bias: bool) -> None:
    import torch

    torch.manual_seed(sum(shape))
    plain = torch.nn.Sequential(torch.nn.Linear(shape[-1], 24, bias=bias))
    packed = to_packed(copy.deepcopy(plain))
    assert type(packed[0]) is not torch.nn.Linear
    inputs = torch.randn(shape)
    with torch.no_grad():
        assert torch.allclose(packed(inputs), plain(inputs), atol=1e-5)
        assert torch.equal(packed[0].weight, plain[0].weight)


def test_what_onednn_does_not_compute_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Own(torch.nn.Linear):  # type: ignore[misc]
        pass

    model = torch.nn.Sequential(Own(4, 4), torch.nn.Linear(4, 4).double(), torch.nn.Linear(4, 4, device="meta"))
    kinds = [type(layer) for layer in model]
    assert [type(layer) for layer in to_packed(model)] == kinds
    monkeypatch.setattr(packed_linear, "_available", lambda: False)
    assert type(to_packed(torch.nn.Sequential(torch.nn.Linear(4, 4)))[0]) is torch.nn.Linear


@settings(max_examples=40)
@given(
    shape=st.sampled_from([(1, 16), (5, 32), (3, 7, 32), (2, 1, 16), (0, 16), (700, 16)]),
    bias=st.booleans(),
    trained=st.sampled_from([("inputs", "weights"), ("inputs",), ("weights",)]),
)
def test_gradients_differ_by_rounding_only(shape: tuple[int, ...], bias: bool, trained: tuple[str, ...]) -> None:
    import torch

    torch.manual_seed(sum(shape))
    plain = torch.nn.Linear(shape[-1], 24, bias=bias).requires_grad_("weights" in trained)
    fast = to_trainable(copy.deepcopy(plain))
    assert type(fast) is torch.nn.Linear
    assert "forward" in vars(fast)
    results = []
    for layer in (plain, fast):
        inputs = torch.linspace(-1, 1, math.prod(shape)).reshape(shape).requires_grad_("inputs" in trained)
        outputs = layer(inputs)
        # Not contiguous, as attention leaves gradients behind.
        outputs.transpose(0, -1).pow(2).mean().backward() if outputs.numel() else outputs.sum().backward()
        results.append([outputs, *(value.grad for value in (inputs, *layer.parameters()) if value.grad is not None)])
    assert len(results[0]) == len(results[1]) == 1 + ("inputs" in trained) + ("weights" in trained) * (1 + bias)
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_trainable_model_is_copied_and_saved_as_before() -> None:
    import torch

    plain = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    fast = copy.deepcopy(to_trainable(copy.deepcopy(plain)))
    # The copy computes with its own weights, not with those of the model that it was copied from.
    assert fast[0].forward.__self__ is fast[0]
    assert list(fast.state_dict()) == list(plain.state_dict())
    half = to_trainable(torch.nn.Linear(4, 4).bfloat16())
    assert "forward" not in vars(half)
    with torch.autocast("cpu", torch.bfloat16):
        assert to_trainable(torch.nn.Linear(4, 4))(torch.randn(2, 4).bfloat16()).dtype is torch.bfloat16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.generator(tmp_path_factory.mktemp("tiny") / "generator", ["stone", "wall"])


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.tensor([[4, 7, 9, 5]])).logits.float()


@pytest.mark.parametrize(("dtype", "apart"), [("auto", 1e-5), ("float32", 1e-5), ("bfloat16", 2e-2), ("int8", 2e-2)])
def test_a_generator_is_loaded_in_its_number_format(folder: Path, dtype: Any, apart: float) -> None:
    from transformers import AutoModelForCausalLM

    model, _ = language_models.load_generator(folder, local=LocalModel(dtype=dtype))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    assert str(model.dtype) == ("torch.bfloat16" if dtype == "bfloat16" else "torch.float32")
    assert ("Int8Linear" in str(model)) == (dtype == "int8")
    difference = (logits(model) - logits(plain)).abs().max()
    assert difference < apart
    assert dtype in ("auto", "float32") or difference > 1e-5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("inputs", [32, 33, 48, 577])
def test_a_row_that_is_no_number_stays_alone(dtype: str, inputs: int) -> None:
    """oneDNN's kernel for AMX put it into other rows (oneDNN 5717); on a CPU without bfloat16 layers stay plain."""
    import torch

    kind = getattr(torch, dtype)
    layer = to_packed(torch.nn.Sequential(torch.nn.Linear(inputs, 24).to(kind)))
    for count in (2, 16, 33):
        rows = torch.randn(count, inputs).to(kind)
        rows[0] = float("nan")
        with torch.no_grad():
            assert not layer(rows)[1:].isnan().any()
