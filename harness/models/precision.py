"""The number type and the attention kernel that a model runs with on this machine. Knows no stages.

`auto` is bfloat16 on a CUDA device that computes in it, else float32. Half precision is refused on a CPU, where it
takes 2 to 100 times as long.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import provenance
from harness.models.int8_linear import to_int8
from harness.models.packed_linear import to_packed
from harness.suite.local_models import DType, ServedDType

HALF = ("bfloat16", "float16")
FLASH, SDPA = "flash_attention_2", "sdpa"
LEAST_CAPABILITY = 8
"""The compute capability from which CUDA devices have instructions for bfloat16."""


def dtype_here(dtype: DType) -> ServedDType:
    """Return the number type that a setting stands for on this machine."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if provenance.device_class() != "cpu" and _computes_in_bfloat16() else "float32"


def _computes_in_bfloat16() -> bool:
    import torch

    return not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] >= LEAST_CAPABILITY


def refusal(dtype: DType, cuda: bool) -> tuple[str, str] | None:
    """Return why a number type cannot be used on a device, and what to do; None if it can."""
    if dtype == "int8" and cuda:
        return "int8 layers run on a CPU only, and a CUDA device is used", "leave it out, or use device: cpu"
    if dtype in HALF and not cuda:
        return f"{dtype} is slower than float32 on a CPU, and no CUDA device is used", "leave it out"
    return None


def flash_installed() -> bool:
    """Whether FlashAttention-2 is installed and this machine's CUDA device can run it."""
    if provenance.device_class() == "cpu":
        return False
    from transformers.utils import is_flash_attn_2_available

    return bool(is_flash_attn_2_available())


def attention(dtype: str, supported: bool = True) -> str:
    """Return the attention kernel for a number type; `supported`: the architecture allows for FlashAttention."""
    return FLASH if dtype in HALF and supported and flash_installed() else SDPA


def attention_of(folder: Path, dtype: str) -> str | None:
    """Return FlashAttention-2 if a model folder can run it in a number type here; None leaves it to transformers.

    transformers chooses SDPA for each architecture that has it.
    """
    return FLASH if dtype in HALF and attention(dtype, _takes_flash(folder)) == FLASH else None


def loading_options(folder: Path, dtype: str) -> dict[str, Any]:
    """Return how sentence-transformers loads the weights of a folder: safetensors, number type, attention kernel.

    With FlashAttention-2 it concatenates texts instead of padding them, where the architecture allows for that.
    """
    options: dict[str, Any] = {"torch_dtype": weights_in(dtype), "use_safetensors": True}
    if kernel := attention_of(folder, dtype):
        options["attn_implementation"] = kernel
    return options


def weights_in(dtype: str) -> str:
    """Return the type of floating-point weights; int8 layers are made out of float32."""
    return dtype if dtype in HALF else "float32"


def _takes_flash(folder: Path) -> bool:
    """Whether the transformer of a model folder supports FlashAttention, as its class declares."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    configs = [folder / "config.json", *sorted(folder.glob("*/config.json"))]
    for path in configs:
        try:
            config = AutoConfig.from_pretrained(path.parent, local_files_only=True, trust_remote_code=False)
            kind = MODEL_MAPPING[type(config)]
        except (KeyError, OSError, ValueError):
            # Pooling and projections have a config.json of their own, which names no architecture.
            continue
        kinds = kind if isinstance(kind, tuple) else (kind,)
        return all(getattr(item, "_supports_flash_attn", False) for item in kinds)
    return False


def prepared(model: Any, dtype: str) -> Any:
    """Return a loaded model as it serves: linear layers in int8, or in float32 on a CPU in the layout of oneDNN.

    What computes scores stays in float32 if the rest is in half precision, in which many scores would be equal. The
    model cannot be trained or saved any more.
    """
    if dtype == "int8":
        return to_int8(model)
    if dtype not in HALF:
        return to_packed(model)
    if (head := _head(model)) is not None:
        _in_float32(head)
    return model


def _head(model: Any) -> Any:
    """Return the layer that computes scores: the output of a language model, or of a cross-encoder; None without."""
    import torch

    if hasattr(model, "get_output_embeddings"):
        return model.get_output_embeddings()
    layers = [module for module in model.modules() if type(module) is torch.nn.Linear and module.out_features == 1]
    return layers[-1] if layers else None


def _in_float32(layer: Any) -> None:
    import torch

    for name, weight in list(layer.named_parameters(recurse=False)):
        # Another parameter: the embeddings of tokens may be the same one, and stay as they are.
        setattr(layer, name, torch.nn.Parameter(weight.detach().float(), requires_grad=False))
    layer.register_forward_pre_hook(lambda module, inputs: tuple(value.float() for value in inputs))


def summary() -> str:
    """Return the number type and the attention kernel of this machine, in words."""
    dtype = dtype_here("auto")
    kernel = {FLASH: "FlashAttention-2", SDPA: "PyTorch's attention (SDPA)"}[attention(dtype)]
    missing = dtype in HALF and not flash_installed()
    return f"{dtype}, {kernel}" + ("; pip install flash-attn makes encoding faster" if missing else "")
