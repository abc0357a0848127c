"""Run the linear layers of a model on a CPU by oneDNN: to serve, with weights laid out for it once, or to train.

torch multiplies float32 by MKL, which uses half of the vector width of CPUs that are not Intel's; oneDNN uses all of
it, and a layout of the weights that is made once saves reading them anew. On an AMD EPYC (Zen 5) a layer takes 0.4 to
0.5 of the time. Results differ by rounding of float32 only. Must not know what a model is for.
"""

from __future__ import annotations

from functools import lru_cache
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def to_packed(model: Any) -> Any:
    """Replace the linear layers of a model on a CPU by packed ones, in place, and return it.

    Such a model cannot be trained. Layers of other types than float32 and bfloat16 stay as they are, and so does a
    model on another device, or where torch comes without oneDNN.
    """
    import torch

    if not _available():
        return model
    kind = _layer_class()

    def replace(module: Any) -> None:
        for name, child in module.named_children():
            # Not its subclasses: what they compute besides is not known.
            if type(child) is torch.nn.Linear and _fits(child.weight):
                setattr(module, name, kind(child))
            else:
                replace(child)

    replace(model)
    return model


def _available() -> bool:
    import torch

    names = "_reorder_linear_weight", "_linear_pointwise"
    return bool(torch.backends.mkldnn.is_available()) and all(hasattr(torch.ops.mkldnn, name) for name in names)


def _fits(weight: Tensor) -> bool:
    import torch

    if weight.device.type != "cpu" or not weight.numel():
        return False
    # oneDNN refuses bfloat16 on CPUs without the instructions for it.
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype is torch.float32


def _layer_class() -> Any:
    """Return the class of layers; torch is imported only where it is needed."""
    import torch

    class PackedLinear(torch.nn.Module):  # type: ignore[misc]
        """A linear layer for inference; its weight has a layout of oneDNN's own, and is no parameter."""

        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.in_features, self.out_features = layer.in_features, layer.out_features
            with torch.no_grad():
                self.packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
            self.register_buffer("bias", None if layer.bias is None else layer.bias.detach())

        @property
        def weight(self) -> Tensor:
            """The weight in torch's own layout, for models that read it; it is copied each time."""
            return self.packed.to_dense()

        def forward(self, inputs: Tensor) -> Tensor:
            if not inputs.numel():
                return inputs.new_zeros((*inputs.shape[:-1], self.out_features))
            result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
            return result

    return PackedLinear


def to_trainable(model: Any) -> Any:
    """Let the linear layers of a model on a CPU compute outputs and gradients by oneDNN, in place, and return it.

    Layers keep their class, their parameters and their names, so the model is saved and adapted as before. Layers of
    other types than float32 compute as they did.
    """
    import torch

    if _available():
        for module in model.modules():
            if type(module) is torch.nn.Linear and module.weight.dtype is torch.float32 and _fits(module.weight):
                module.forward = MethodType(_forward, module)
    return model


def _forward(layer: Any, inputs: Tensor) -> Tensor:
    import torch

    usual = inputs.dtype is layer.weight.dtype is torch.float32 and inputs.device.type == layer.weight.device.type
    if not usual or inputs.device.type != "cpu" or not inputs.numel():
        result: Tensor = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
        return result
    computed: Tensor = _function().apply(inputs, layer.weight, layer.bias)
    return computed


@lru_cache(maxsize=1)
def _function() -> Any:
    """Return the function that computes a layer and its gradients; torch is imported only where it is needed."""
    import torch
    from torch.autograd.function import once_differentiable

    def product(rows: Tensor, columns: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``rows @ columns.T``, plus a bias."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, columns, bias, "none", [], "")
        return result

    class LinearFunction(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(context: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            context.save_for_backward(inputs, weight)
            return product(inputs, weight, bias)

        @staticmethod
        @once_differentiable  # type: ignore[untyped-decorator]
        def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
            inputs, weight = context.saved_tensors
            for_inputs, for_weight, for_bias = context.needs_input_grad
            rows = gradient.reshape(-1, gradient.shape[-1])
            return (
                product(gradient.contiguous(), weight.t()) if for_inputs else None,
                product(rows.t(), inputs.reshape(-1, inputs.shape[-1]).t()) if for_weight else None,
                rows.sum(dim=0) if for_bias else None,
            )

    return LinearFunction
