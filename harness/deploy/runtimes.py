"""Bi-encoders whose transformer is computed by another runtime; all else of them is what was tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.deploy.graphs import STATES, states_of

Compute = Callable[[Mapping[str, Any]], Any]
"""Arrays by the names of inputs -> the array of states."""


def onnx_states(path: Path) -> Compute:
    """Return the function that computes a graph with ONNX Runtime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {node.name for node in session.get_inputs()}

    def compute(given: Mapping[str, Any]) -> Any:
        return session.run([STATES], {name: value for name, value in given.items() if name in names})[0]

    return compute


def openvino_states(path: Path) -> Compute:
    """Return the function that computes a model with OpenVINO, on the CPU."""
    import openvino

    # What is left in float32 is not to be computed in bfloat16 where the processor could.
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = {name for node in model.inputs for name in node.names}

    def compute(given: Mapping[str, Any]) -> Any:
        return model({name: value for name, value in given.items() if name in names})[0]

    return compute


def computed_by(model: Any, compute: Compute) -> Any:
    """Replace the transformer of a loaded bi-encoder, and return the bi-encoder."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    first = states_of(model)

    class States(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.config = first.model.config
            # A model without any parameter is on no device.
            self.nothing = torch.nn.Parameter(torch.zeros(1), requires_grad=False)

        def forward(self, **given: Any) -> Any:
            arrays = {name: value.numpy() for name, value in given.items() if isinstance(value, torch.Tensor)}
            return BaseModelOutput(last_hidden_state=torch.from_numpy(compute(arrays)))

    first.model = States()
    return model
