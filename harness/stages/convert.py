"""convert: a GGUF file in, a plain model with its tokenizer out."""

from __future__ import annotations

from pathlib import Path

from harness.models.loaders import convert_gguf, locate
from harness.stages import Inputs, Stage, Takes
from harness.suite.fields import Spec
from harness.values.records import Progress, Usage


class ConvertSpec(Spec):
    """The model whose GGUF file is converted."""

    model: str


def convert(spec: ConvertSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the model's weights as safetensors, once, because reading GGUF takes half a minute each time."""
    progress(0, 1)
    convert_gguf(locate(spec.model), out)
    progress(1, 1)
    return Usage(units=1)


STAGE = Stage(
    run=convert,
    spec=ConvertSpec,
    version=1,
    takes=Takes(),
    heavy=True,
    packages=("transformers", "gguf"),
    rate=0.07,
    unit="models",
)
