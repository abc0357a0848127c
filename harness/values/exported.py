"""What was lost when a tuned model was converted for a server: frozen values."""

from __future__ import annotations

from typing import Literal, get_args

from harness.values.frozen import Frozen

Form = Literal["merged", "onnx", "onnx-int8", "openvino-int8"]
"""A generator with its adapter merged into it; an encoder as a graph of another runtime."""
FORMS: tuple[Form, ...] = get_args(Form)


class ConvertedEncoder(Frozen):
    """A converted encoder: its file in the export, and its scores beside those of the tuned one.

    Both encoded the same `queries` of a split and `documents` of the corpus. `cosine` is the mean over all of them
    between the vectors of the two encoders, `lowest_cosine` the smallest.
    """

    form: Form
    file: str
    bytes: int
    measure: str
    split: str
    queries: int
    documents: int
    before: float
    after: float
    cosine: float
    lowest_cosine: float

    @property
    def loss(self) -> float:
        """What was lost of the measure; negative if the converted encoder scores higher."""
        return self.before - self.after


class MergedGenerator(Frozen):
    """A merged generator: its folder, and the share of `positions` where it predicts the token that the tuned one does.

    `dtype` is the type that it is saved in, which is that of its base.
    """

    folder: str
    dtype: str
    positions: int
    agreement: float
