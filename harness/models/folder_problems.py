"""Problems of a model folder apart from the values of its weights: code, files, modules, tokenizer.

Each function checks one part of a folder and yields its problems, each with what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.errors import Problem
from harness.models.architecture import DTYPES, Role
from harness.models.folders import OURS, ModelFolder
from harness.models.tensors import tensors_of

FIRST = ("Transformer", "StaticEmbedding")
REST = ("Pooling", "Normalize", "Dense", "LayerNorm", "Dropout")
"""Modules of a bi-encoder that all stages support."""
MULTI_VECTOR = ("Dense", "Normalize", "MultiVectorMask", "HierarchicalTokenPooling")
"""Modules that may follow the transformer of a model for late interaction."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZERS = (
    "tokenizer.json", "vocab.txt", "vocab.json", "*.model", "sentencepiece*", "spiece.model", "tokenizer.model",
)  # fmt: skip
RERESAVE = "load it once elsewhere and save it again: save_pretrained writes safetensors"


def refusals(files: ModelFolder, role: Role) -> list[Problem]:
    """Return all problems that keep a folder from being used in a role; raises ConfigError for damaged files."""
    return [*code(files), *weights(files), *made_of(files, role), *tokens(files)]


def code(files: ModelFolder) -> Iterator[Problem]:
    """Yield a problem if the model needs code that ships with it."""
    where, hint = str(files.folder), "use a model whose architecture is part of transformers"
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
            yield Problem(where, what, "use a SentenceTransformer")
        elif not known:
            what = f"is made of {', '.join(names)}, which is not supported"
            yield Problem(where, what, "use a transformer with pooling, or static embeddings")
        elif not names and files.architecture.endswith("ForSequenceClassification"):
            what = f"is a classifier or cross-encoder ({files.architecture}), not a bi-encoder"
            yield Problem(where, what, "use a bi-encoder, or name this one as pipeline.reranker.model")
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
