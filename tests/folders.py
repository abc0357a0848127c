"""Twenty-odd tiny model folders as people have them on their disks: what each is, and how it should be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import smallsuite
import tiny

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer(length: int = 64) -> Any:
    """A tokenizer of words in the form of BERT's, that says how many tokens are read."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    plain = tiny.words_tokenizer(smallsuite.vocabulary(), SPECIAL, "[UNK]")
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    plain.post_processor = TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=length, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


def plain(folder: Path, kind: str = "Bert", length: int = 64, task: str = "Model", **more: Any) -> Path:
    """A folder as transformers saves it, without sentence-transformers' files."""
    import torch
    import transformers

    words = tokenizer(length)
    config = getattr(transformers, f"{kind}Config")(
        **{"vocab_size": len(words), "max_position_embeddings": 64, "pad_token_id": 0, **SMALL, **more}
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}{task}")(config)
    with torch.no_grad():
        for weight in model.parameters():
            # Larger than at the start of a training, so that vectors differ and so do lists.
            weight.add_(torch.randn_like(weight) * 0.1)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def t5(folder: Path) -> Path:
    import torch
    from transformers import T5Config, T5EncoderModel

    words = tokenizer()
    torch.manual_seed(0)
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    T5EncoderModel(T5Config(vocab_size=len(words), **sizes)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def modules(folder: Path, source: Path, *more: Any, pooling: Any = "mean", **options: Any) -> Path:
    """A SentenceTransformer of a plain folder, pooling, and more modules; `options` go into its constructor."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    first = Transformer(str(source))
    made = [first, Pooling(first.get_embedding_dimension(), pooling_mode=pooling), *more]
    model = SentenceTransformer(modules=made, device="cpu", **options)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def bert(folder: Path, **options: Any) -> Path:
    return modules(folder, plain(folder / ".." / f"{folder.name}-bert"), **options)


def static(folder: Path) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(0)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer(), embedding_dim=32)], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def dense(folder: Path) -> Path:
    from sentence_transformers.base.modules import Dense

    return modules(folder, plain(folder / ".." / "dense-bert"), Dense(32, 16))


def normalized(folder: Path, **options: Any) -> Path:
    from sentence_transformers.sentence_transformer.modules import Normalize

    return modules(folder, plain(folder / ".." / f"{folder.name}-bert"), Normalize(), **options)


def edited(folder: Path, file: str, change: Callable[[Any], Any]) -> Path:
    """The folder, with a JSON file changed."""
    path = folder / file
    value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(change(value)), encoding="utf-8")
    return folder


def stored_as(folder: Path, dtype: str) -> Path:
    """The folder, with its weights in another precision."""
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    kind = getattr(torch, dtype)
    found = {name: value.to(kind) if value.is_floating_point() else value for name, value in load_file(path).items()}
    save_file(found, path, metadata={"format": "pt"})
    return edited(folder, "config.json", lambda config: {**config, "dtype": dtype})


def renamed(folder: Path, rename: Callable[[str], str | None]) -> Path:
    """The folder, with its weights under other names; those that get none are left out."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    found = {new: value for name, value in load_file(path).items() if (new := rename(name)) is not None}
    save_file(found, path, metadata={"format": "pt"})
    return folder


def pickled(folder: Path) -> Path:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def sharded(folder: Path, lose: bool) -> Path:
    """The folder, with its weights in two files, of which the second may be lost."""
    from safetensors.torch import load_file, save_file

    whole = load_file(folder / "model.safetensors")
    names = sorted(whole)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: whole[name] for name in own}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "model.safetensors").unlink()
    if lose:
        (folder / "model-00002-of-00002.safetensors").unlink()
    return folder


def own_code(folder: Path, kind: str) -> Path:
    maps = {"AutoConfig": "configuration_x.XConfig", "AutoModel": "modeling_x.XModel"}
    return edited(folder, "config.json", lambda config: {**config, "auto_map": maps, "model_type": kind})


def cut_short(folder: Path) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return folder


def emptied(folder: Path) -> Path:
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def without(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).unlink(missing_ok=True)
    return folder


def roberta(folder: Path) -> Path:
    """66 positions, of which RoBERTa uses 64; its tokenizer says nothing of a limit."""
    source = plain(
        folder / ".." / f"{folder.name}-plain", "Roberta", 10**30, max_position_embeddings=66, pad_token_id=0
    )
    # The padding token of RoBERTa has the number 1; here the first is, so 65 positions are left.
    return modules(folder, source)


def st(change: Callable[[Any], Any]) -> Callable[[Path], Path]:
    return lambda folder: edited(bert(folder), "config_sentence_transformers.json", change)


def prompted(**given: str) -> Callable[[Path], Path]:
    return st(lambda config: {**config, "prompts": given, "default_prompt_name": None})


GOOD: dict[str, Callable[[Path], Path]] = {
    "plain BERT with mean pooling": bert,
    "normalized": normalized,
    "bfloat16": lambda folder: stored_as(bert(folder), "bfloat16"),
    "float16": lambda folder: stored_as(bert(folder), "float16"),
    "no pooling configured": plain,
    "CLS pooling": lambda folder: bert(folder, pooling="cls"),
    "last token pooling": lambda folder: bert(folder, pooling="lasttoken"),
    "max pooling": lambda folder: bert(folder, pooling="max"),
    "two poolings": lambda folder: bert(folder, pooling=("cls", "mean")),
    "dot product": st(lambda config: {**config, "similarity_fn_name": "dot"}),
    "euclid of unit vectors": lambda folder: normalized(folder, similarity_fn_name="euclidean"),
    "prompts query and passage": prompted(query="what is ", passage="it is "),
    "prompts search_query and search_document": prompted(search_query="what is ", search_document="it is "),
    "prompts Retrieval-query and corpus": prompted(**{"Retrieval-query": "what is ", "corpus": "it is "}),
    "a default prompt": st(
        lambda config: {**config, "prompts": {"retrieval": "it is "}, "default_prompt_name": "retrieval"}
    ),
    "RoBERTa": roberta,
    "MPNet": lambda folder: modules(
        folder, plain(folder / ".." / "mpnet", "MPNet", 10**30, max_position_embeddings=66, pad_token_id=1)
    ),
    "DistilBERT": lambda folder: modules(
        folder, plain(folder / ".." / "distil", "DistilBert", dim=32, n_layers=1, n_heads=2, hidden_dim=64)
    ),
    "T5": lambda folder: modules(folder, t5(folder / ".." / "t5")),
    "static": static,
    "Dense": dense,
    "two shards": lambda folder: sharded(bert(folder), lose=False),
    "weights of a task": lambda folder: plain(folder, task="ForMaskedLM"),
    "a prefix of a task": lambda folder: renamed(bert(folder), lambda name: f"bert.{name}"),
    "no pooler": lambda folder: renamed(bert(folder), lambda name: None if "pooler" in name else name),
    "less than it takes": lambda folder: edited(
        bert(folder), "sentence_bert_config.json", lambda config: {**config, "max_seq_length": 16}
    ),
}
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "own code, known type": (
        lambda folder: own_code(bert(folder), "bert"),
        "needs code that ships with it (configuration_x.XConfig), which is never run",
    ),
    "own code, unknown type": (
        lambda folder: own_code(bert(folder), "grommet_bert"),
        "needs code that ships with it (configuration_x.XConfig), which is never run",
    ),
    "a module of its own": (
        lambda folder: edited(
            bert(folder), "modules.json",
            lambda rows: [{**rows[0], "type": "custom_st.Transformer"}, *rows[1:]],
        ),
        "needs code that ships with it (custom_st.Transformer), which is never run",
    ),
    "unknown type": (
        lambda folder: edited(bert(folder), "config.json", lambda config: {**config, "model_type": "grommet_bert"}),
        "transformers cannot load it as a bi-encoder",
    ),
    "lost weights": (
        lambda folder: renamed(bert(folder), lambda name: f"student.encoder_q.{name}"),
        "that a BertModel needs are missing",
    ),
    "one lost weight": (
        lambda folder: renamed(bert(folder), lambda name: None if name.endswith("0.output.dense.weight") else name),
        "1 weight that a BertModel needs is missing (encoder.layer.0.output.dense.weight",
    ),
    "fewer layers in the configuration": (
        lambda folder: edited(
            modules(folder, plain(folder / ".." / "two", num_hidden_layers=2)), "config.json",
            lambda config: {**config, "num_hidden_layers": 1},
        ),
        "has weights of more layers than config.json says",
    ),
    "another width in the configuration": (
        lambda folder: edited(bert(folder), "config.json", lambda config: {**config, "intermediate_size": 32}),
        "has a different shape from config.json",
    ),
    "pickled": (lambda folder: pickled(bert(folder)), "its weights are pickled (pytorch_model.bin)"),
    "a lost shard": (
        lambda folder: sharded(bert(folder), lose=True),
        "1 of 2 files of weights are missing: model-00002-of-00002.safetensors",
    ),
    "cut short": (lambda folder: cut_short(bert(folder)), "is cut short: some of its weights are missing"),
    "empty": (lambda folder: emptied(bert(folder)), "model.safetensors: is empty"),
    "no tokenizer": (
        lambda folder: without(bert(folder), "tokenizer.json", "tokenizer_config.json"),
        "has no tokenizer (tokenizer.json)",
    ),
    "manhattan": (
        st(lambda config: {**config, "similarity_fn_name": "manhattan"}),
        "ranks by 'manhattan' (similarity_fn_name), and only 'cosine' and 'dot' are supported",
    ),
    "a sparse encoder": (
        st(lambda config: {**config, "model_type": "SparseEncoder"}),
        "was saved as a SparseEncoder, not as a bi-encoder",
    ),
    "a router": (
        lambda folder: edited(
            bert(folder), "modules.json",
            lambda rows: [{**rows[0], "type": "sentence_transformers.models.Router"}, *rows[1:]],
        ),
        "is made of Router, Pooling, which is not supported",
    ),
    "a cross-encoder": (
        lambda folder: plain(folder, task="ForSequenceClassification"),
        "is a classifier or cross-encoder (BertForSequenceClassification), not a bi-encoder",
    ),
    "quantized": (
        lambda folder: edited(
            bert(folder), "config.json", lambda config: {**config, "quantization_config": {"quant_method": "awq"}}
        ),
        "its weights are quantized (awq), which is not supported",
    ),
    "an adapter": (
        lambda folder: edited(bert(folder), "adapter_config.json", lambda config: {"peft_type": "LORA"}),
        "is an adapter (adapter_config.json), not a whole model",
    ),
}  # fmt: skip
