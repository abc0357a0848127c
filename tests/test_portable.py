"""Exported folders say what they hold in former words, too, and the installed libraries read the same from both.

`test_served_real` has older libraries and a server read such folders.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny

from harness.deploy.portable import write_portable
from harness.models.inspection import inspect
from harness.models.loaders import load_bi_encoder, load_cross_encoder
from harness.stages.shared.common import encode

WORDS = ["what", "is", "the", "pane", "brine", "passages", "question", "answer", "from"]
TEXTS = ["the pane is brine", "a question from a frame", "", "brine " * 90]
PAIRS = [(TEXTS[0], text) for text in TEXTS]


def settings(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def change(folder: Path, name: str, **values: Any) -> None:
    (folder / name).write_text(json.dumps({**settings(folder, name), **values}), encoding="utf-8")


def ported(folder: Path) -> Path:
    out = Path(shutil.copytree(folder, folder.with_name("ported")))
    write_portable(out)
    return out


def with_dense(root: Path) -> Path:
    """A bi-encoder with a projection, as sentence-transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense

    model = SentenceTransformer(str(tiny.bi_encoder(root, WORDS)), device="cpu")
    modules = [model[0], model[1], Dense(32, 8), model[2]]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(root / "dense"), create_model_card=False)
    return root / "dense"


# ---- bi-encoders


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_bi_encoder_is_written_in_former_words_and_gives_the_same_vectors(pooling: str, tmp_path: Path) -> None:
    before = tiny.bi_encoder(tmp_path, WORDS, pooling=pooling)
    assert "max_seq_length" not in settings(before, "sentence_bert_config.json"), "else there was nothing to do"
    after = ported(before)
    assert [row["type"] for row in settings(after, "modules.json")] == [
        f"sentence_transformers.models.{name}" for name in ("Transformer", "Pooling", "Normalize")
    ]
    assert settings(after, "sentence_bert_config.json") == {"max_seq_length": 64, "do_lower_case": False}
    switches = settings(after, "1_Pooling/config.json")
    assert switches.pop("word_embedding_dimension") == 32
    assert switches.pop("include_prompt") is True
    on = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}[pooling]
    assert [name for name, value in switches.items() if value] == [f"pooling_mode_{on}"]
    assert len(switches) == 6
    assert settings(after, "2_Normalize/config.json") == {}
    old, new = load_bi_encoder(before, 64), load_bi_encoder(after, 64)
    for role in ("query", "document"):
        assert (encode(old, TEXTS, role) == encode(new, TEXTS, role)).all()
    found, expected = inspect(after, "bi-encoder"), inspect(before, "bi-encoder")
    assert (found.pooling, found.length, found.modules) == (expected.pooling, expected.length, expected.modules)


def test_writing_it_twice_changes_nothing(tmp_path: Path) -> None:
    once = ported(tiny.bi_encoder(tmp_path, WORDS))
    texts = {path: path.read_bytes() for path in once.rglob("*") if path.is_file()}
    write_portable(once)
    assert {path: path.read_bytes() for path in once.rglob("*") if path.is_file()} == texts


def test_weights_and_vocabulary_are_not_touched(tmp_path: Path) -> None:
    before = tiny.bi_encoder(tmp_path, WORDS)
    after = ported(before)
    for name in ("model.safetensors", "tokenizer.json", "config_sentence_transformers.json"):
        assert (after / name).read_bytes() == (before / name).read_bytes()
    assert {path.name for path in after.rglob("*")} == {path.name for path in before.rglob("*")}


def test_a_projection_keeps_its_settings(tmp_path: Path) -> None:
    before = with_dense(tmp_path)
    after = ported(before)
    assert settings(after, "modules.json")[2]["type"] == "sentence_transformers.models.Dense"
    assert set(settings(after, "2_Dense/config.json")) == {"in_features", "out_features", "bias", "activation_function"}
    vectors = [encode(load_bi_encoder(folder, 64), TEXTS, "query") for folder in (before, after)]
    assert vectors[0].shape == (4, 8)
    assert (vectors[0] == vectors[1]).all()


@pytest.mark.parametrize(
    ("file", "values", "module"),
    [
        ("sentence_bert_config.json", {"processing_kwargs": {"text": {"padding": "max_length"}}}, 0),
        ("sentence_bert_config.json", {"modality_config": {"message": {}}}, 0),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, 0),
        ("sentence_bert_config.json", {"query_length": 12}, 0),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, 1),
        ("1_Pooling/config.json", {"unheard_of": 1}, 1),
        ("2_Normalize/config.json", {"module_input_name": "token_embeddings"}, 2),
    ],
)
def test_what_former_words_cannot_say_stays_as_it_was(
    file: str, values: dict[str, Any], module: int, tmp_path: Path
) -> None:
    before = tiny.bi_encoder(tmp_path, WORDS)
    change(before, file, **values)
    after = ported(before)
    length = {"max_seq_length": 64} if module == 0 else {}
    assert settings(after, file) == {**settings(before, file), **length}
    types = [[row["type"] for row in settings(folder, "modules.json")] for folder in (before, after)]
    assert [old == new for old, new in zip(*types, strict=True)] == [place == module for place in range(3)]


def test_several_modes_of_pooling_are_switches_in_their_order(tmp_path: Path) -> None:
    before = tiny.bi_encoder(tmp_path, WORDS)
    change(before, "1_Pooling/config.json", pooling_mode=["cls", "mean"])
    after = ported(before)
    switches = settings(after, "1_Pooling/config.json")
    assert [name for name, value in switches.items() if value is True and name.startswith("pooling")] == [
        "pooling_mode_cls_token",
        "pooling_mode_mean_tokens",
    ]
    old, new = load_bi_encoder(before, 64), load_bi_encoder(after, 64)
    assert encode(old, TEXTS, "query").shape == (4, 64)
    assert (encode(old, TEXTS, "query") == encode(new, TEXTS, "query")).all()


def test_a_sparse_encoder_says_its_length_and_keeps_the_rest(tmp_path: Path) -> None:
    before = tiny.sparse_encoder(tmp_path, WORDS)
    after = ported(before)
    assert settings(after, "modules.json") == settings(before, "modules.json")
    assert settings(after, "sentence_bert_config.json")["max_seq_length"] == 64
    assert settings(after, "sentence_bert_config.json")["transformer_task"] == "fill-mask"


# ---- cross-encoders


def saved_cross_encoder(root: Path, activation: Any) -> Path:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(tiny.cross_encoder(root, WORDS)), device="cpu", activation_fn=activation)
    model.save_pretrained(str(root / "saved"), create_model_card=False)
    return root / "saved"


@pytest.mark.parametrize("name", ["Sigmoid", "Identity"])
def test_a_cross_encoder_says_its_activation_where_older_libraries_look(name: str, tmp_path: Path) -> None:
    import torch

    before = saved_cross_encoder(tmp_path, getattr(torch.nn, name)())
    after = ported(before)
    config, path = (
        settings(after, "config.json"),
        settings(before, "config_sentence_transformers.json")["activation_fn"],
    )
    assert path.endswith(name)
    assert config["sentence_transformers"]["activation_fn"] == config["sbert_ce_default_activation_function"] == path
    assert settings(after, "sentence_bert_config.json") == {
        **settings(before, "sentence_bert_config.json"),
        "max_seq_length": 64,
    }
    old, new = load_cross_encoder(before, 64), load_cross_encoder(after, 64)
    assert (old.predict(PAIRS) == new.predict(PAIRS)).all()
    assert type(new.activation_fn).__name__ == type(old.activation_fn).__name__


# ---- configurations


ROPES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "another base": (
        "LlamaConfig", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
        {"rope_theta": 5e5, "rope_scaling": None},
    ),
    "a scaling": (
        "LlamaConfig", {
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
            }
        },
        {
            "rope_theta": 5e5,
            "rope_scaling": {
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        },
    ),
    "a part of each head": (
        "StableLmConfig", {"rope_parameters": {"rope_theta": 2e4, "partial_rotary_factor": 0.5}},
        {"rope_theta": 2e4, "rope_scaling": None, "partial_rotary_factor": 0.5},
    ),
    "two bases": (
        "ModernBertConfig", {
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 9e4},
                "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
            },
            "num_hidden_layers": 7,
        },
        {"global_rope_theta": 9e4, "local_rope_theta": 2e4, "global_attn_every_n_layers": 3},
    ),
    "two bases of Gemma": (
        "Gemma3TextConfig", {
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 9e5},
                "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
            },
        },
        {"rope_theta": 9e5, "rope_local_base_freq": 2e4},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROPES)
def test_rotary_positions_have_their_former_names_and_are_read_the_same(name: str, tmp_path: Path) -> None:
    import transformers

    kind, given, former = ROPES[name]
    config = getattr(transformers, kind)(**given)
    before = tmp_path / "before"
    config.save_pretrained(before)
    assert not set(former) & set(settings(before, "config.json")), "else there was nothing to do"
    after = ported(before)
    found = settings(after, "config.json")
    assert {key: found[key] for key in former} == former
    old, new = (transformers.AutoConfig.from_pretrained(folder) for folder in (before, after))
    assert new.rope_parameters == old.rope_parameters == config.rope_parameters
    read = [{key: value for key, value in one.to_dict().items() if key != "_name_or_path"} for one in (old, new)]
    added = set(former) - set(read[0])
    assert {key: value for key, value in read[1].items() if key not in added} == read[0]


def test_a_scaling_of_one_kind_of_layers_has_no_former_name(tmp_path: Path) -> None:
    config = {
        "model_type": "gemma3_text",
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "rope_theta": 9e5, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_portable(tmp_path)
    assert settings(tmp_path, "config.json") == config


def test_layers_without_a_regular_order_have_no_number(tmp_path: Path) -> None:
    bases = {"full_attention": 9e4, "sliding_attention": 2e4}
    config = {
        "model_type": "modernbert",
        "rope_parameters": {name: {"rope_type": "default", "rope_theta": base} for name, base in bases.items()},
        "layer_types": ["full_attention", "full_attention", "sliding_attention"],
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_portable(tmp_path)
    assert "global_attn_every_n_layers" not in settings(tmp_path, "config.json")
    assert settings(tmp_path, "config.json")["local_rope_theta"] == 2e4


def test_a_type_of_numbers_has_its_former_name(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    before = tiny.generator(tmp_path / "before", WORDS)
    AutoModelForCausalLM.from_pretrained(before).to(torch.bfloat16).save_pretrained(before)
    after = ported(before)
    assert settings(after, "config.json")["torch_dtype"] == settings(after, "config.json")["dtype"] == "bfloat16"
    assert AutoModelForCausalLM.from_pretrained(after).dtype == torch.bfloat16


# ---- tokenizers


def test_a_generic_tokenizer_has_its_former_class_and_reads_the_same(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    before = tiny.generator(tmp_path / "before", WORDS)
    tokenizer = AutoTokenizer.from_pretrained(before)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.save_pretrained(before)
    was = settings(before, "tokenizer_config.json")
    assert was["tokenizer_class"] == "TokenizersBackend"
    assert isinstance(was["extra_special_tokens"], list)
    after = ported(before)
    found = settings(after, "tokenizer_config.json")
    assert found["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert found["additional_special_tokens"] == was["extra_special_tokens"]
    assert "extra_special_tokens" not in found
    old, new = (AutoTokenizer.from_pretrained(folder) for folder in (before, after))
    assert type(old) is type(new)
    assert old.all_special_tokens == new.all_special_tokens
    assert old.model_input_names == new.model_input_names == found["model_input_names"]
    for text in (*TEXTS, "<|im_start|>what<|im_end|>"):
        assert old(text) == new(text)
        assert old.decode(old(text).input_ids, skip_special_tokens=True) == new.decode(
            new(text).input_ids, skip_special_tokens=True
        )


def test_inputs_that_a_folder_names_are_kept(tmp_path: Path) -> None:
    values = {"tokenizer_class": "TokenizersBackend", "model_input_names": ["input_ids"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(values), encoding="utf-8")
    write_portable(tmp_path)
    assert settings(tmp_path, "tokenizer_config.json")["model_input_names"] == ["input_ids"]


def test_a_tokenizer_of_a_model_keeps_its_class(tmp_path: Path) -> None:
    values = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "extra_special_tokens": {"image": "<i>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(values), encoding="utf-8")
    write_portable(tmp_path)
    assert settings(tmp_path, "tokenizer_config.json") == values
