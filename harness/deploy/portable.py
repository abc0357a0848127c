"""Say in an exported model folder what it holds in the words that servers and older libraries read, too.

sentence-transformers 5.4 and transformers 5 moved and renamed settings. What reads only the former names refuses such a
folder or, worse, computes something else without a word: vLLM and llama.cpp pooled by the default of the architecture,
transformers 4 takes another base of rotary positions. The installed libraries read both, to the same values. What the
former names cannot say stays as it was written. Weights and `tokenizer.json` are never touched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.files import write_atomically
from harness.models.folders import ModelFolder

FORMER_MODULES = "sentence_transformers.models"
"""Where the classes of modules were before 5.4; the installed version still finds them there."""
VECTOR = "sentence_embedding"
TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
"""How a transformer is asked about texts unless its folder says otherwise."""
MODES = {
    "cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken",
}  # fmt: skip
"""Modes of pooling, and what their switches were called; several are joined in this order."""
LAYERS = ("full_attention", "sliding_attention")
NESTED_BASES = {
    "modernbert": ("global_rope_theta", "local_rope_theta"),
    "modernbert-decoder": ("global_rope_theta", "local_rope_theta"),
    "gemma3_text": ("rope_theta", "rope_local_base_freq"),
}
"""What types of models that have two bases of rotary positions called them, in the order of `LAYERS`."""
GENERIC, FORMER_GENERIC = "TokenizersBackend", "PreTrainedTokenizerFast"
GENERIC_INPUTS = ["input_ids", "attention_mask"]
"""What a generic tokenizer of transformers 5 gives if its folder does not say; version 4 adds token types."""
ACTIVATION = "activation_fn"


def write_portable(folder: Path) -> None:
    """Rewrite the settings of a saved model or adapter so that servers and older libraries read them.

    Raises ConfigError if a file of settings is no JSON.
    """
    files = ModelFolder(folder)
    if files.modules:
        _write_modules(files)
    if files.config:
        _update(files.root / "config.json", {**files.config, **_of_config(files)})
    if files.tokenizer_config:
        _update(files.root / "tokenizer_config.json", _tokenizer(files.tokenizer_config))


def _update(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


# ---- modules of sentence-transformers


def _write_modules(files: ModelFolder) -> None:
    """Write each module of a bi-encoder in its former words if they can say all of it."""
    rows = [dict(row) for row in files.read(files.folder / "modules.json")]
    for row, module in zip(rows, files.modules, strict=True):
        path = module.folder / ("sentence_bert_config.json" if module.name == "Transformer" else "config.json")
        config = files.read(path)
        if module.name == "Transformer":
            # TEI takes no other name for the limit of tokens, whatever else stands there.
            config = {**config, "max_seq_length": files.usable_length}
            _update(path, config)
        former = FORMER[module.name](config) if module.name in FORMER and _is_plain(files) else None
        if former is not None:
            _update(path, former)
            row["type"] = f"{FORMER_MODULES}.{module.name}"
    _update(files.folder / "modules.json", rows)


def _is_plain(files: ModelFolder) -> bool:
    return files.saved_as == "SentenceTransformer"


def _transformer(config: Mapping[str, Any]) -> dict[str, Any] | None:
    ways = config.get("modality_config", {"text": TEXT})
    # A text stays a text in a model that also takes messages.
    same = ways.get("text") == TEXT and set(ways) <= {"text", "message"}
    same &= config.get("transformer_task", "feature-extraction") == "feature-extraction"
    same &= config.get("module_output_name", "token_embeddings") == "token_embeddings"
    known = {"transformer_task", "modality_config", "module_output_name", "max_seq_length", "do_lower_case"}
    if not same or set(config) - known:
        return None
    lowered = bool(config.get("do_lower_case"))
    return {"max_seq_length": config["max_seq_length"], "do_lower_case": lowered}


def _pooling(config: Mapping[str, Any]) -> dict[str, Any] | None:
    mode = config.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else list(mode or ())
    width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    in_order = [name for name in MODES if name in modes]
    if not modes or modes != in_order or set(config) - {
        "pooling_mode", "embedding_dimension", "word_embedding_dimension", "include_prompt"
    }:  # fmt: skip
        return None
    switches = {f"pooling_mode_{switch}": name in modes for name, switch in MODES.items()}
    return {"word_embedding_dimension": width, **switches, "include_prompt": config.get("include_prompt", True)}


def _of_vectors(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of a module that changes the vectors of texts; None if it changes something else."""
    taken = config.get("module_input_name", VECTOR)
    if taken != VECTOR or config.get("module_output_name", taken) != taken:
        return None
    return {name: value for name, value in config.items() if not name.startswith("module_")}


def _dense(config: Mapping[str, Any]) -> dict[str, Any] | None:
    former = _of_vectors(config)
    known = {"in_features", "out_features", "bias", "activation_function"}
    return None if former is None or set(former) - known else former


def _normalize(config: Mapping[str, Any]) -> dict[str, Any] | None:
    former = _of_vectors(config)
    return None if former else former


FORMER = {"Transformer": _transformer, "Pooling": _pooling, "Dense": _dense, "Normalize": _normalize}
"""Modules whose settings have other names now: present settings -> former ones, None if those cannot say it."""


# ---- the architecture


def _of_config(files: ModelFolder) -> dict[str, Any]:
    """What older libraries look for in `config.json`, beside what is there."""
    config = files.config
    more = dict(_rotary(config))
    if "dtype" in config:
        more["torch_dtype"] = config["dtype"]
    if (path := files.saved.get(ACTIVATION)) and files.saved_as == "CrossEncoder":
        more["sentence_transformers"] = {**(config.get("sentence_transformers") or {}), ACTIVATION: path}
        more["sbert_ce_default_activation_function"] = path
    return more


def _rotary(config: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = config.get("rope_parameters")
    if not isinstance(parameters, Mapping):
        return {}
    if (names := NESTED_BASES.get(str(config.get("model_type")))) and set(parameters) == set(LAYERS):
        parts = [parameters[layer] for layer in LAYERS]
        # A scaling of one kind of layers has no former name that all readers share.
        if any(set(part) - {"rope_type", "rope_theta"} or part.get("rope_type") != "default" for part in parts):
            return {}
        return {**{name: part["rope_theta"] for name, part in zip(names, parts, strict=True)}, **_every(config)}
    if "rope_theta" not in parameters:
        return {}
    more: dict[str, Any] = {"rope_theta": parameters["rope_theta"]}
    if "partial_rotary_factor" in parameters:
        more["partial_rotary_factor"] = parameters["partial_rotary_factor"]
    scaling = {name: value for name, value in parameters.items() if name not in more}
    return {**more, "rope_scaling": None if scaling.get("rope_type", "default") == "default" else scaling}


def _every(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """After how many layers of ModernBERT one attends to everything, if that is a number."""
    layers = config.get("layer_types") or []
    full = [number for number, kind in enumerate(layers) if kind == LAYERS[0]]
    every = full[1] if len(full) > 1 else len(layers)
    fits = bool(layers) and full == list(range(0, len(layers), every))
    return {"global_attn_every_n_layers": every} if fits and "modernbert" in str(config.get("model_type")) else {}


# ---- the tokenizer


def _tokenizer(config: Mapping[str, Any]) -> dict[str, Any]:
    value = dict(config)
    if value.get("tokenizer_class") == GENERIC:
        value["tokenizer_class"] = FORMER_GENERIC
        value.setdefault("model_input_names", GENERIC_INPUTS)
    if isinstance(value.get("extra_special_tokens"), list):
        value["additional_special_tokens"] = value.pop("extra_special_tokens")
    return value
