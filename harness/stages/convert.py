"""convert: a GGUF file in, a plain model with its tokenizer out."""

from __future__ import annotations

from pathlib import Path

from harness.models.loaders import convert_gguf, locate
from harness.stages import Inputs
from harness.suite.fields import Spec
from harness.values.records import Progress, Usage


class Convert(Spec):
    """The model whose GGUF file is unpacked."""

    model: str


def convert(spec: Convert, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the model's weights as safetensors, once, because reading GGUF takes half a minute each time."""
    progress(0, 1)
    convert_gguf(locate(spec.model), out)
    progress(1, 1)
    return Usage(units=1)
