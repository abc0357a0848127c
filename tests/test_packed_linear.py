"""Linear layers by oneDNN: the numbers of torch's own up to rounding, and only where it computes them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models import loaders, packed_linear
from harness.models.packed_linear import to_packed
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

    model, _ = loaders.load_generator(folder, local=LocalModel(dtype=dtype))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    assert str(model.dtype) == ("torch.bfloat16" if dtype == "bfloat16" else "torch.float32")
    assert ("Int8Linear" in str(model)) == (dtype == "int8")
    difference = (logits(model) - logits(plain)).abs().max()
    assert difference < apart
    assert dtype in ("auto", "float32") or difference > 1e-5
