"""Problems of a model folder apart from the values of its weights: code, files, modules, tokenizer.

Each function checks one part of a folder and yields its problems, each with what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import Problem
from harness.models.architecture import DTYPES, Role
from harness.models.folders import OURS, ModelFolder
from harness.models.tensors import tensors_of

FIRST = ("Transformer", "StaticEmbedding")
MASKED = ("Transformer", "MLMTransformer")
"""Modules that give a score to every term of the vocabulary at every token; the second is its name in older models."""
REST = ("Pooling", "Normalize", "Dense", "LayerNorm", "Dropout")
"""Modules of a bi-encoder that all stages support."""
MULTI_VECTOR = ("Dense", "Normalize", "MultiVectorMask", "HierarchicalTokenPooling")
"""Modules that may follow the transformer of a model for late interaction."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZERS = (
    "tokenizer.json", "vocab.txt", "vocab.json", "*.model", "sentencepiece*", "spiece.model", "tokenizer.model",
)  # fmt: skip
KERNEL = "_implementation"
"""In the name of a setting whose value may be a repository of compiled code; those of transformers have no slash."""
LOADED_WITH = ("model_kwargs", "model_args", "processor_kwargs", "tokenizer_args", "config_kwargs", "config_args")
LOADING = frozenset((
    "adapter_kwargs", "allow_all_kernels", "cache_dir", "code_revision", "from_flax", "from_tf", "gguf_file",
    "kernel_config", "local_files_only", "proxies", "quantization_config", "revision", "state_dict", "subfolder",
    "token", "use_auth_token", "use_kernels", "use_safetensors", "variant", "weights_only",
    "added_tokens_file", "merges_file", "name_or_path", "pretrained_model_name_or_path", "sp_model_file",
    "special_tokens_map_file", "spm_file", "tokenizer_file", "vocab_file",
))  # fmt: skip
"""Options by which a configuration could have other files read than those of its folder, or other code run."""
COUNTED = re.compile(r"(^|_)(layers?|experts?|blocks?|labels|depth)$")
"""Names of settings that are a number of parts."""
MOST_PARTS = 2048
RERESAVE = "load it once elsewhere and save it again: save_pretrained writes safetensors"


def refusals(files: ModelFolder, role: Role) -> list[Problem]:
    """Return all problems that keep a folder from being used in a role; raises ConfigError for damaged files."""
    return [*code(files), *weights(files), *sizes(files), *made_of(files, role), *tokens(files)]


def code(files: ModelFolder) -> Iterator[Problem]:
    """Yield a problem if the model needs code that ships with it, or chooses how it is loaded."""
    where = str(files.folder)
    hint = "use a model whose architecture is part of transformers, or serve it elsewhere and name its address"
    for module in files.modules:
        if not module.written.startswith(OURS):
            what = f"needs code that ships with it ({module.written}), which is never run"
            yield Problem(where, what, hint)
            return
    for config in (files.config, files.tokenizer_config):
        classes = config.get("auto_map")
        if classes:
            names = classes.values() if isinstance(classes, Mapping) else classes
            first = next((str(name[0] if isinstance(name, list) else name) for name in names if name), "")
            yield Problem(where, f"needs code that ships with it ({first}), which is never run", hint)
            return
    configs = [files.config, *(files.read(path) for path in sorted(files.root.glob("sentence_*_config.json")))]
    named = (value for config in configs for name, value in _texts(config) if KERNEL in name and "/" in value)
    kernel = next(named, None)
    if kernel is not None:
        what = f"names code on a hub that computes its attention ({kernel!r}), which is never fetched"
        yield Problem(where, what, "take it out of its configuration")
        return
    for config in configs[1:]:
        for section in LOADED_WITH:
            options = config.get(section) if isinstance(config, Mapping) else None
            chosen = sorted(str(name) for name in options if name in LOADING) if isinstance(options, Mapping) else []
            if chosen:
                what = f"chooses how its own files are loaded ({section}.{chosen[0]})"
                yield Problem(where, what, "take it out of its sentence_bert_config.json")
                return


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each text of a configuration, at any depth, with the keys above it."""
    waiting = [("", value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            waiting += [(f"{name}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(name, inner) for inner in value]


def sizes(files: ModelFolder) -> Iterator[Problem]:
    """Yield a problem if the configuration has far more layers or labels than the weights can hold.

    An architecture is built by it, one object a layer, before any weight is read.
    """
    most = max(MOST_PARTS, len(files.tensors))
    waiting: list[Mapping[str, Any]] = [files.config]
    while waiting:
        config = waiting.pop()
        waiting += [value for value in config.values() if isinstance(value, Mapping)]
        for name, value in config.items():
            if isinstance(value, int) and COUNTED.search(name) and value > most:
                what = f"config.json asks for {value:,} parts ({name}), and there are {len(files.tensors):,} weights"
                yield Problem(str(files.folder), what, "restore the config.json that belongs to the weights")
                return


def weights(files: ModelFolder) -> Iterator[Problem]:
    """Yield problems of weights that are missing, not in safetensors, or quantized."""
    root, where = files.root, str(files.folder)
    if (root / "adapter_config.json").is_file():
        hint = "merge it (merge_and_unload) and save the whole model"
        yield Problem(where, "is an adapter (adapter_config.json), not a whole model", hint)
        return
    tensors = files.tensors
    pickled = sorted(path.name for pattern in PICKLED for path in root.glob(pattern))
    if not tensors:
        others = sorted(path.name for path in root.glob("*.safetensors"))
        if others and not (root / "model.safetensors").is_file():
            what = f"its weights are in {others[0]}, not in model.safetensors"
            yield Problem(where, what, "rename the file, or save the model again")
        elif pickled:
            yield Problem(where, f"its weights are pickled ({pickled[0]}), which is never loaded", RERESAVE)
        else:
            yield Problem(where, "has no weights (model.safetensors)", "download or save the model again")
        return
    for module in files.modules[1:]:
        inside = sorted(path.name for pattern in PICKLED for path in module.folder.glob(pattern))
        if inside and not tensors_of(module.folder):
            what = f"the weights of its module {module.folder.name} are pickled ({inside[0]}), which is never loaded"
            yield Problem(where, what, RERESAVE)
        elif module.name in ("Dense", "LayerNorm") and not tensors_of(module.folder):
            what = f"the weights of its module {module.folder.name} are missing"
            yield Problem(where, what, "download or save the model again")
    quantized = files.config.get("quantization_config")
    whole = [tensor for tensor in tensors.values() if tensor.dtype in DTYPES]
    if quantized or len(whole) * 2 < len(tensors):
        how = quantized.get("quant_method", "") if isinstance(quantized, Mapping) else ""
        what = f"its weights are quantized{f' ({how})' if how else ''}, which is not supported"
        yield Problem(where, what, "use the model in bfloat16, float16 or float32")


def made_of(files: ModelFolder, role: Role) -> Iterator[Problem]:
    """Yield problems of modules and architectures that do not fit the role."""
    where = str(files.folder)
    names = [module.name for module in files.modules]
    if role == "multi-vector":
        yield from _token_encoder(files, names)
    elif role == "bi-encoder":
        known = not names or (names[0] in FIRST and set(names[1:]) <= set(REST))
        if files.saved_as != "SentenceTransformer":
            what = f"was saved as a {files.saved_as}, not as a bi-encoder"
            hint = "use a SentenceTransformer"
            yield Problem(where, what, hint + (", or kind: sparse" if "SpladePooling" in names else ""))
        elif not known:
            what = f"is made of {', '.join(names)}, which is not supported"
            yield Problem(where, what, "use a transformer with pooling, or static embeddings")
        elif not names and files.architecture.endswith("ForSequenceClassification"):
            what = f"is a classifier or cross-encoder ({files.architecture}), not a bi-encoder"
            yield Problem(where, what, "use a bi-encoder, or name this one as pipeline.reranker.model")
    elif role == "sparse-encoder":
        yield from _splade(files, names)
    elif names[:1] == ["StaticEmbedding"] or files.kind == "model2vec":
        yield Problem(where, f"is made of static embeddings and is not a {role}", f"use a {role} that is a transformer")
        return
    elif role == "generator" and names:
        yield Problem(
            where, "is a sentence-transformers model, which cannot generate text", "use a causal language model"
        )
        return
    elif role == "cross-encoder" and files.saved_as == "CrossEncoder" and set(names) - {"Transformer"}:
        what = f"is made of {', '.join(names)}; only cross-encoders with a head of one score are supported"
        yield Problem(where, what, "use another cross-encoder")
    elif role == "cross-encoder" and files.architecture.endswith("ForCausalLM"):
        what = f"is a causal language model ({files.architecture}), not a cross-encoder with a head"
        yield Problem(where, what, "use a cross-encoder, or an encoder to tune")
    elif role == "cross-encoder" and files.root != files.folder:
        what = f"keeps its transformer in {files.root.name}, where cross-encoders do not look"
        yield Problem(where, what, f"name the folder {files.root}")
    if names[:1] != ["StaticEmbedding"] and not files.kind:
        what = "has no config.json that names a model_type" if files.root == files.folder else (
            f"has no config.json with a model_type in {files.root.name}"
        )  # fmt: skip
        yield Problem(where, what, "download or save the model again")


def _splade(files: ModelFolder, names: list[str]) -> Iterator[Problem]:
    """Yield a problem of a folder that is no SPLADE model: a masked language model with SpladePooling, or alone."""
    splade = len(names) == 2 and names[0] in MASKED and names[1] == "SpladePooling"
    if splade or (not names and files.architecture.endswith("ForMaskedLM")):
        return
    made = f"is made of {', '.join(names)}" if names else f"is a {files.architecture or 'model of an unnamed class'}"
    hint = "use a SPLADE model, or kind: dense for a bi-encoder"
    yield Problem(str(files.folder), f"{made}, not a masked language model with SpladePooling", hint)


def _token_encoder(files: ModelFolder, names: list[str]) -> Iterator[Problem]:
    """Yield a problem of a folder that gives no vectors of tokens."""
    where = str(files.folder)
    if names[:1] == ["StaticEmbedding"] or files.kind == "model2vec":
        what = "is made of static embeddings: a token has the same vector in every text"
        yield Problem(where, what, "use an encoder that is a transformer")
    elif files.is_multi_vector:
        if names and (names[0] != "Transformer" or not set(names[1:]) <= set(MULTI_VECTOR)):
            what = f"is made of {', '.join(names)}, which is not supported for late interaction"
            yield Problem(where, what, "use a transformer with a projection")
    elif files.saved_as != "SentenceTransformer":
        what = f"was saved as a {files.saved_as}, not as a model for late interaction"
        yield Problem(where, what, "use a multi-vector model, or a bi-encoder")
    elif names and (names[0] != "Transformer" or not set(names[1:]) <= set(REST)):
        yield Problem(where, f"is made of {', '.join(names)}, which is not supported", "use a transformer with pooling")
    elif files.architecture.endswith(("ForSequenceClassification", "ForRetrieval")):
        what = f"is a {files.architecture}, which gives no vectors of the tokens of a text"
        yield Problem(where, what, "use a multi-vector model for texts, or a bi-encoder")


def tokens(files: ModelFolder) -> Iterator[Problem]:
    """Yield a problem if the tokenizer is missing, or has tokens beyond the embedding table."""
    where = str(files.folder)
    if not any(any(files.root.glob(pattern)) for pattern in TOKENIZERS):
        yield Problem(where, "has no tokenizer (tokenizer.json)", "save the tokenizer into the same folder")
        return
    path = files.root / "tokenizer.json"
    rows = files.text_config.get("vocab_size")
    table = files.tensors.get("embedding.weight") if files.modules[:1] else None
    if table is not None and files.modules[0].name == "StaticEmbedding":
        rows = table.shape[0]
    if path.is_file() and isinstance(rows, int):
        vocabulary = files.read(path)
        model = vocabulary.get("model") if isinstance(vocabulary, Mapping) else None
        entries = model.get("vocab") if isinstance(model, Mapping) else None
        if isinstance(entries, dict | list) and len(entries) > rows:
            what = f"its tokenizer has {len(entries):,} tokens and its embedding table {rows:,}"
            yield Problem(where, what, "use the tokenizer that the model was trained with")
