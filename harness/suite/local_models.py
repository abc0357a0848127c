"""How a language model that runs in this process is computed: its number format, its engine and the size of batches."""

from __future__ import annotations

from typing import Literal

from harness.suite.fields import Positive, Spec

DType = Literal["auto", "float32", "bfloat16", "float16", "int8"]
"""What a model computes in; ``auto``: bfloat16 on a CUDA device, else float32."""
ServedDType = Literal["float32", "bfloat16", "float16", "int8"]
Engine = Literal["transformers", "vllm"]


class LocalModel(Spec):
    """Settings of a language model that runs in this process; one behind an endpoint has none.

    `dtype` is the number format of the weights: ``auto`` is bfloat16 on CUDA and float32 on a CPU; ``int8`` computes
    the linear layers in int8, on a CPU only. `engine` is what runs the model; ``vllm`` needs the extra of that name.
    `max_tokens_per_batch` bounds prompts and answers of a batch together, padding included; None derives it from the
    memory that the model leaves.
    """

    dtype: DType = "auto"
    engine: Engine = "transformers"
    max_tokens_per_batch: Positive | None = None

    @property
    def local(self) -> LocalModel:
        """These settings alone."""
        return LocalModel(**{name: getattr(self, name) for name in LocalModel.model_fields})

    @property
    def set_locally(self) -> list[str]:
        """The names of the settings that differ from their defaults."""
        return list(self.local.model_dump(exclude_defaults=True))


AUTOMATIC = LocalModel()
"""A model as the device asks for."""
