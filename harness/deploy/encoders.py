"""Convert a tuned bi-encoder to graphs of other runtimes, each measured against what was tuned."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.deploy import graphs, runtimes
from harness.deploy.losses import Encoded, Sample, check_loss, compared, encoded
from harness.models.loaders import load_bi_encoder
from harness.suite.pipeline import Retriever
from harness.values.exported import ConvertedEncoder, Form

AT_ONCE = 8
"""Texts of a batch whose ranges are looked at together."""


class Conversion(NamedTuple):
    """A tuned bi-encoder in a folder with the settings it was measured with, and what it is compared on."""

    folder: Path
    retriever: Retriever
    max_length: int
    sample: Sample
    tolerance: float


def convert(conversion: Conversion, forms: Sequence[Form]) -> list[ConvertedEncoder]:
    """Write a bi-encoder in other forms into its own folder, and return what each form loses.

    Raises ConfigError if a form loses more than the tolerance; what was written until then is to be thrown away.
    """
    tuned = encoded(_load(conversion), conversion.sample, conversion.retriever.dimensions)
    with tempfile.TemporaryDirectory(dir=conversion.folder) as aside:
        graph = Path(aside) / "model.onnx"
        graphs.write_onnx(_load(conversion), graph)
        return [_converted(conversion, form, graph, tuned) for form in forms]


def _load(conversion: Conversion) -> Any:
    rule = conversion.retriever
    model = load_bi_encoder(conversion.folder, conversion.max_length, rule.query_prompt, rule.document_prompt)
    return model.to("cpu")


def _converted(conversion: Conversion, form: Form, graph: Path, tuned: Encoded) -> ConvertedEncoder:
    path = conversion.folder / graphs.FILES[form]
    if form == "onnx":
        path.parent.mkdir(exist_ok=True)
        # A large graph has its weights in a file beside it, which it knows by its name.
        for file in graph.parent.glob(f"{graph.name}*"):
            shutil.copyfile(file, path.parent / file.name)
    elif form == "onnx-int8":
        graphs.write_onnx_int8(graph, path)
    else:
        graphs.write_openvino_int8(graph, path, _samples(_load(conversion), conversion.sample))
    compute = runtimes.openvino_states(path) if form == "openvino-int8" else runtimes.onnx_states(path)
    model = runtimes.computed_by(_load(conversion), compute)
    now = encoded(model, conversion.sample, conversion.retriever.dimensions)
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.stem}.*"))
    place = f"{conversion.folder.name}/{graphs.FILES[form]}"
    loss = compared(form, place, size, conversion.sample, tuned, now)
    check_loss(loss, conversion.tolerance)
    return loss


def _samples(model: Any, sample: Sample) -> list[dict[str, Any]]:
    """The tensors of the texts that ranges are taken from, each with the prompt of its role."""
    texts = [f"{model.prompts.get(role) or ''}{text}" for role, text in sample.calibration]
    return [graphs.features_of(model, texts[start : start + AT_ONCE]) for start in range(0, len(texts), AT_ONCE)]
