"""Encoders as graphs: the transformer of a bi-encoder for ONNX Runtime, in float32 or int8, and for OpenVINO in int8.

A graph takes tokens and gives their last hidden states, under the names that sentence-transformers, TEI and
transformers.js look for. Pooling and what follows it stay with the caller. `optimum` is not used: the version that
exports to ONNX does not work with transformers 5.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, ModelMissing, Problem
from harness.values.exported import Form

STATES = "last_hidden_state"
OPSET = 18
MOST_BYTES = 1_900_000_000
"""Of weights inside a graph: protobuf takes no more than 2 GiB."""
FILES: dict[Form, str] = {
    "onnx": "onnx/model.onnx", "onnx-int8": "onnx/model_int8.onnx", "openvino-int8": "openvino/openvino_model.xml"
}  # fmt: skip
"""Where each form lies in the folder of its model."""
PACKAGES: dict[Form, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "onnx-int8": ("onnx", "onnxscript", "onnxruntime"),
    "openvino-int8": ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf"),
}
EXTRAS: dict[Form, str] = {"onnx": "onnx", "onnx-int8": "onnx", "openvino-int8": "openvino"}
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
EXAMPLES = ("a question", "a passage of some more words than the question has")


def check_installed(form: Form) -> None:
    """Raise ModelMissing with the command that installs what a form needs, if something of it is missing."""
    import importlib.util

    missing = [name for name in PACKAGES[form] if importlib.util.find_spec(name) is None]
    if missing:
        hint = f"run: pip install 'rag-tuning-harness[{EXTRAS[form]}]'"
        are = "is" if len(missing) == 1 else "are"
        raise ModelMissing(Problem(f"--format {form}", f"{', '.join(missing)} {are} not installed", hint))


def states_of(model: Any) -> Any:
    """Return the module of a bi-encoder that computes the states of tokens. Raises ConfigError if it has none."""
    first = model[0]
    if type(first).__name__ != "Transformer":
        what = f"{type(first).__name__} is no transformer"
        raise ConfigError(Problem("the retriever", what, "leave the formats of encoders out"))
    return first


def features_of(model: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Return the tensors that a bi-encoder's transformer takes for some texts."""
    first = states_of(model)
    taken = first.model_forward_params
    given = model.preprocess(list(texts))
    return {name: given[name] for name in INPUTS if name in given and (taken is None or name in taken)}


def write_onnx(model: Any, path: Path) -> None:
    """Write the transformer of a loaded bi-encoder, on a CPU and in float32, as a graph for any batch and length."""
    import torch

    features = features_of(model, EXAMPLES)
    names = list(features)

    class States(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = states_of(model).model

        def forward(
            self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None, position_ids: Any = None
        ) -> Any:
            given = dict(zip(INPUTS, (input_ids, attention_mask, token_type_ids, position_ids), strict=True))
            return self.model(**{name: given[name] for name in names}, return_dict=True).last_hidden_state

    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in names}
    with _quietly(), torch.inference_mode():
        torch.onnx.export(
            States().eval(), (), str(path), kwargs=features, input_names=names, output_names=[STATES],
            dynamic_shapes=axes, opset_version=OPSET, dynamo=True, external_data=_is_large(model),
            verbose=False,
        )  # fmt: skip
    _without_places(path)


def _without_places(path: Path) -> None:
    """Remove what the exporter notes of its own run, such as the paths of the code that each node comes from."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False)
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    for node in (*graph.graph.node, *graph.graph.value_info, *graph.graph.input, *graph.graph.output):
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(graph, str(path))


def _is_large(model: Any) -> bool:
    return bool(sum(4 * weights.numel() for weights in model.parameters()) > MOST_BYTES)


def write_onnx_int8(graph: Path, path: Path) -> None:
    """Write a graph with weights in int8 and activations quantized as they come.

    Weights take 7 of the 8 bits: on processors without VNNI, products of two full bytes overflow and are cut.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path.parent.mkdir(parents=True, exist_ok=True)
    large = graph.stat().st_size > MOST_BYTES or any(graph.parent.glob(f"{graph.name}.data"))
    with _quietly():
        quantize_dynamic(
            str(graph), str(path), per_channel=True, reduce_range=True, weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )  # fmt: skip


def write_openvino_int8(graph: Path, path: Path, samples: Sequence[Mapping[str, Any]]) -> None:
    """Write a graph with weights and activations in int8, whose ranges come from the samples: tensors of some texts."""
    import nncf
    import openvino

    path.parent.mkdir(parents=True, exist_ok=True)
    with _quietly():
        model = openvino.convert_model(str(graph))
        inputs = [{name: value.numpy() for name, value in sample.items()} for sample in samples]
        quantized = nncf.quantize(
            model, nncf.Dataset(inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(inputs)
        )
        openvino.save_model(quantized, str(path), compress_to_fp16=False)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what exporters print, warn and log of themselves from the screen; their errors are raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
