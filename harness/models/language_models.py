"""Load causal language models: as they are saved, or with layers that are fast to write with. Knows no stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.models.blockwise_attention import to_blockwise
from harness.models.int8_linear import to_int8
from harness.models.loaders import quiet, torch_device
from harness.models.packed_linear import to_packed
from harness.models.precision import dtype_here, weights_in
from harness.models.vllm_engine import VllmModel
from harness.suite.local_models import AUTOMATIC, LocalModel, ServedDType


def load_generator(folder: Path, adapter: Path | None = None, local: LocalModel = AUTOMATIC) -> tuple[Any, Any]:
    """Load a causal language model to write with, and its tokenizer; see `load_language_model`.

    With ``engine: vllm`` the model is a `VllmModel`. Raises ConfigError if vLLM is not installed, and ValueError for
    ``dtype: int8`` on CUDA.
    """
    dtype = dtype_here(local.dtype)
    if local.engine == "vllm":
        return VllmModel(folder, adapter, dtype), load_chat_tokenizer(folder)
    model, tokenizer = load_language_model(folder, adapter, dtype)
    to_blockwise(model)
    return to_int8(model) if dtype == "int8" else to_packed(model), tokenizer


def load_language_model(folder: Path, adapter: Path | None = None, dtype: ServedDType = "float32") -> tuple[Any, Any]:
    """Load a causal language model and its tokenizer from a folder with safetensors, its layers as they are saved.

    The folder `adapter` holds a LoRA adapter; it is merged into the weights in float32, so that writing costs what it
    did before. Attention is computed by torch's scaled dot product.
    """
    tokenizer = load_chat_tokenizer(folder)
    import torch
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, weights_in(dtype))
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=kind if adapter is None else torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter), local_files_only=True).merge_and_unload()
    model.to(torch_device(), kind)
    model.eval()
    return model, tokenizer


def load_chat_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a causal language model; one without a padding token pads with its end token."""
    quiet()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
