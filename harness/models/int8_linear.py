"""Run the linear layers of a model in int8 on a CPU: about three quarters of the time, and nearly the same vectors.

Weights are rounded to int8 once, with a scale for each output; inputs are rounded for each token as they come, with a
scale of its own (the vector-wise scheme of LLM.int8; Dettmers et al. 2022, arXiv 2208.07339). torch's own
`quantize_dynamic` is deprecated, and its one scale for a whole batch moves vectors further. Must not know what a model
is for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 127
TINY = 1e-12
ROWS_AT_ONCE = 512
"""Rows whose intermediate results stay in the cache of a core; thousands of rows at once take up to twice as long."""
PACKED_FROM = 256
"""Rows from which oneDNN's layout is faster, if at all: 1.3 times on a Xeon with AMX; one row is 7 times as slow."""


def to_int8(model: Any) -> Any:
    """Replace all linear layers of a model by int8 ones, in place, and return it; such a model cannot be trained.

    Raises ValueError if the model is not on a CPU.
    """
    import torch

    device = next((weight.device.type for weight in model.parameters()), "cpu")
    if device != "cpu":
        raise ValueError(
            f"dtype: int8 runs on a CPU only, and the model is on {device}; use dtype: float32, or device: cpu"
        )
    kind = _layer_class()

    def replace(module: Any) -> None:
        for name, child in module.named_children():
            # Not its subclasses: what they compute besides is not known.
            # torch's product of int8 is wrong for vectors of one number, whose strides it takes as they are.
            if type(child) is torch.nn.Linear and child.in_features > 1:
                setattr(module, name, kind(child))
            else:
                replace(child)

    replace(model)
    return model


def rounded(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows as int8, and the scale of each row: shapes (rows, width) and (rows, 1)."""
    import torch

    scales = values.abs().amax(dim=1, keepdim=True).clamp_(min=TINY).div_(LARGEST)
    return (values / scales).round_().to(torch.int8), scales


def _packed(weight: Tensor) -> Tensor:
    """Return weights of int8, shape (outputs, inputs), in the layout of oneDNN."""
    import torch

    packed: Tensor = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
    return packed


def _packed_product(rows: Tensor, packed: Tensor, ones: Tensor, zeros: Tensor) -> Tensor:
    """Return the sums of products of int8 rows with packed weights, in float32."""
    import torch

    # With scales of 1, so that what follows is computed as it is without oneDNN's layout.
    result: Tensor = torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, 0, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return result


@lru_cache(maxsize=1)
def _packs() -> bool:
    """Whether oneDNN is here, multiplies exactly, and is faster by its own layout.

    Without instructions for int8 it halves the weights. For signed inputs on a CPU without AMX it may have no kernel of
    its own; its reference code is thousands of times as slow. Both ways give the same sums, so that what is measured
    here changes no result.
    """
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    weight = torch.tensor([[LARGEST, -LARGEST, LARGEST - 1, 1] * 64] * 64, dtype=torch.int8)
    rows = torch.cat([weight, -weight] * (PACKED_FROM // 128))
    try:
        packed, ones, zeros = _packed(weight), torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int64)
        found = _packed_product(rows, packed, ones, zeros)
    except (AttributeError, RuntimeError):
        return False
    if not torch.equal(found, (rows.int() @ weight.int().t()).float()):
        return False
    across = weight.t()
    return _seconds(lambda: _packed_product(rows, packed, ones, zeros)) < _seconds(lambda: torch._int_mm(rows, across))


def _seconds(compute: Callable[[], object]) -> float:
    """Return the shorter of two times."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        compute()
        times.append(time.perf_counter() - started)
    return min(times)


def _layer_class() -> Any:
    """Return the class of layers; torch is imported only where it is needed."""
    import torch

    class Int8Linear(torch.nn.Module):  # type: ignore[misc]
        """A linear layer for inference: products of int8, sums of int32, result in float32."""

        def __init__(self, layer: Any) -> None:
            super().__init__()
            weight, scales = rounded(layer.weight.detach().float())
            self.in_features, self.out_features = layer.in_features, layer.out_features
            self.packed = _packed(weight) if _packs() else None
            self.register_buffer("weight", weight.t())
            self.register_buffer("ones", torch.ones(len(weight)))
            self.register_buffer("zeros", torch.zeros(len(weight), dtype=torch.int64))
            self.register_buffer("scales", scales.squeeze(1))
            self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().float())

        def forward(self, inputs: Tensor) -> Tensor:
            rows = inputs.reshape(-1, self.in_features)
            results = torch.empty(len(rows), self.out_features)
            for start in range(0, len(rows), ROWS_AT_ONCE):
                self._multiply(rows[start : start + ROWS_AT_ONCE], results[start : start + ROWS_AT_ONCE])
            return results.reshape(*inputs.shape[:-1], self.out_features)

        def _multiply(self, inputs: Tensor, results: Tensor) -> None:
            rows, scales = rounded(inputs.float())
            if self.packed is None or len(rows) < PACKED_FROM:
                results.copy_(torch._int_mm(rows, self.weight)).mul_(scales)
            else:
                torch.mul(_packed_product(rows, self.packed, self.ones, self.zeros), scales, out=results)
            if self.bias is None:
                results.mul_(self.scales)
            else:
                torch.addcmul(self.bias, results, self.scales, out=results)

    return Int8Linear
