"""Compare the weights of a folder with its architecture, by name and shape; no weight is loaded.

transformers itself loads a model of empty tensors, so that it handles prefixes, renamed and tied weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.errors import Problem
from harness.models.tensors import Tensor

Role = Literal["bi-encoder", "multi-vector", "cross-encoder", "generator"]
ENCODERS: tuple[Role, ...] = ("bi-encoder", "multi-vector")

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
UNUSED = re.compile(r"(^|\.)(pooler|position_ids|token_type_ids|inv_freq|masked_bias)(\.|$)|\.attn\.bias$")
"""Weights of a bi-encoder that may be missing: vectors do not depend on them, or they are constants."""
HEADS = re.compile(
    r"(^|\.)(cls|lm_head|mlm|lm_loss|qa_outputs|classifier|classification_head|score|decoder|seq_relationship|pooler|"
    r"discriminator_predictions|generator_predictions|generator_lm_head|vocab_projector|vocab_transform|"
    r"vocab_layer_norm|pre_classifier|predictions|sop_classifier|mask_predictions|position_ids|inv_freq|head|"
    r"token_type_ids|masked_bias|rotary_emb|num_batches_tracked|visual|vision_tower|vision_model|mtp)(\.|$)|\.attn\.bias$"
)
"""Weights of a checkpoint that may be unused: heads of its training, and constants."""
NEW_HEAD = re.compile(
    r"(^|\.)(classifier|classification_head|score|pooler|pre_classifier|head|logits_proj|position_ids|inv_freq)(\.|$)"
)
"""Weights that a cross-encoder may lack if it is going to be trained."""
ADAPTER = re.compile(r"lora_[AB]|\.base_layer\.|^base_model\.")


class Fit(NamedTuple):
    """Problems that keep the weights from being used, and remarks for the readers of results."""

    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()


def fit(root: Path, role: Role, tensors: Mapping[str, Tensor], headless_ok: bool = False) -> Fit:
    """Compare the weights of a folder with what the architecture of its config.json needs in a role.

    With `headless_ok` the head of a cross-encoder may be missing, as it will be trained.
    """
    try:
        name, info = _loaded(root, role, tensors)
    except Exception as error:
        what = f"transformers cannot load it as a {role}: {_sentence(error)}"
        return Fit((Problem(str(root), what, "use a model type that transformers has, with a complete config.json"),))
    return Fit(tuple(_problems(root, role, name, info, headless_ok)), tuple(_remarks(info)))


def _loaded(root: Path, role: Role, tensors: Mapping[str, Tensor]) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the class, and the report of transformers on names and shapes of the weights."""
    import torch
    from transformers import AutoConfig

    options = {"num_labels": 1} if role == "cross-encoder" else {}
    config = AutoConfig.from_pretrained(root, local_files_only=True, trust_remote_code=False, **options)
    # A quantized model would be wrapped; the one that is asked about is the plain one.
    with torch.device("meta"):
        kind = type(_auto_class(role, config).from_config(config, trust_remote_code=False))
    state = {
        name: torch.empty(tensor.shape, dtype=getattr(torch, DTYPES.get(tensor.dtype, "float32")), device="meta")
        for name, tensor in tensors.items()
    }
    _, info = kind.from_pretrained(
        None, config=config, state_dict=state, output_loading_info=True, device_map="meta", dtype="float32",
        ignore_mismatched_sizes=True,
    )  # fmt: skip
    return kind.__name__, info


def _auto_class(role: Role, config: Any) -> Any:
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_TEXT_ENCODING_MAPPING,
        MODEL_MAPPING,
    )

    if role == "cross-encoder":
        return transformers.AutoModelForSequenceClassification
    if role in ENCODERS:
        # Of T5 and its like the encoder alone makes vectors.
        encoder = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
        whole = MODEL_MAPPING.get(type(config), None)
        return transformers.AutoModelForTextEncoding if encoder not in (None, whole) else transformers.AutoModel
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(f"{config.model_type!r} is not a causal language model")
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False):
        raise ValueError(f"{config.model_type!r} is an encoder, which cannot generate text")
    return transformers.AutoModelForCausalLM


def _problems(root: Path, role: Role, name: str, info: Mapping[str, Any], headless_ok: bool) -> Iterable[Problem]:
    missing, unknown = set(info["missing_keys"]), set(info["unexpected_keys"])
    where, again = str(root), "save it again with save_pretrained of its own class"
    adapted = sorted(key for key in unknown if ADAPTER.search(key))
    if adapted:
        hint = "merge it (merge_and_unload) and save the whole model"
        yield Problem(where, f"holds an adapter that is not merged into the weights ({adapted[0]})", hint)
        return
    for key, found, wanted in sorted(info["mismatched_keys"], key=str):
        shapes = " and ".join("x".join(map(str, shape)) for shape in (found, wanted))
        if not (role == "cross-encoder" and headless_ok and NEW_HEAD.search(key)):
            what = f"{key} has a different shape from config.json ({shapes.replace(' and ', ', not ')})"
            yield Problem(where, what, "restore the config.json that belongs to the weights")
            return
    free = UNUSED if role in ENCODERS else NEW_HEAD if headless_ok else re.compile(r"position_ids|inv_freq")
    lost = sorted(key for key in missing if not free.search(key))
    if lost:
        what = (
            f"{_count(lost, 'weight')} that a {name} needs {'is' if len(lost) == 1 else 'are'} missing ({lost[0]}, ...)"
        )
        strange = sorted(unknown)
        what += f"; {_count(strange, 'weight')} it does not know ({strange[0]}, ...)" if strange else ""
        yield Problem(where, f"{what}: random numbers would be used", again)
        return
    deeper = _like_known(unknown, info)
    if deeper:
        what = f"has weights of more layers than config.json says ({deeper[0]}, ...), which would be left out"
        yield Problem(where, what, "restore the config.json that belongs to the weights")


def _like_known(unknown: Iterable[str], info: Mapping[str, Any]) -> list[str]:
    """Unknown weights of a numbered layer: those that a checkpoint has beyond the layers of its configuration."""
    return sorted(key for key in unknown if re.search(r"\b(layers?|blocks?|h)\.\d+\.", key) and not HEADS.search(key))


def _remarks(info: Mapping[str, Any]) -> Iterable[str]:
    left = sorted(key for key in info["unexpected_keys"] if not HEADS.search(key))
    if left:
        yield f"{_count(left, 'weight')} that the architecture does not have: not loaded ({left[0]}, ...)"


def _count(keys: list[str], noun: str) -> str:
    return f"{len(keys)} {noun}{'' if len(keys) == 1 else 's'}"


def _sentence(error: Exception) -> str:
    """What was raised, in one line, without the advice that libraries add."""
    text = " ".join(str(error).split())
    return (
        re.split(r"(?<=[^.])\. (?=[A-Z])|\. Please|\. You can|\. If ", text)[0][:200].rstrip(".")
        or type(error).__name__
    )
