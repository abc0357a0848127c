"""Token vectors are those of the tokens that a text has; models for late interaction load as they were saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from harness.errors import ConfigError
from harness.models.inspection import inspect
from harness.models.loaders import load_bi_encoder
from harness.models.token_encoders import encode_tokens, load_token_encoder, token_view

WORDS = ["lime", "kiln", "ferry", "mail", "slate", "roof", "query"]


def unit(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths


def states(folder: Path, tokens: list[str]) -> np.ndarray:
    """The states of tokens by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(tokens)
    with torch.no_grad():
        found: np.ndarray = AutoModel.from_pretrained(folder)(torch.tensor([ids])).last_hidden_state[0].numpy()
    return found


def inner_states(folder: Path, words: list[str]) -> np.ndarray:
    """The states of the words of a text, between the tokens that the tokenizer adds."""
    return states(folder, ["[CLS]", *words, "[SEP]"])[1:-1]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_bi_encoder_gives_its_token_states_without_added_tokens(pooling: str, tmp_path: Path) -> None:
    folder = tiny.bi_encoder(tmp_path, WORDS, pooling=pooling)
    texts = {
        "lime kiln": ["lime", "kiln"], "Ferry": ["ferry"], "lime zzz mail": ["lime", "z", "##z", "##z", "mail"]
    }  # fmt: skip
    vectors = encode_tokens(load_token_encoder(folder, 64), list(texts), "document")
    assert [array.dtype for array in vectors] == [np.float32] * 3
    for pieces, array in zip(texts.values(), vectors, strict=True):
        assert array == pytest.approx(unit(inner_states(folder, pieces)), abs=1e-5)


def test_prompts_stand_before_texts_of_their_role(tmp_path: Path) -> None:
    folder = tiny.bi_encoder(tmp_path, WORDS)
    model = load_token_encoder(folder, 64, query_prompt="query: ")
    plain = load_token_encoder(folder, 64)
    (asked,) = encode_tokens(model, ["lime"], "query")
    assert asked == pytest.approx(encode_tokens(plain, ["query: lime"], "document")[0], abs=1e-6)
    assert encode_tokens(model, ["lime"], "document")[0].shape == (1, 32)


def test_texts_are_cut_at_max_length(tmp_path: Path) -> None:
    model = load_token_encoder(tiny.bi_encoder(tmp_path, WORDS), 5)
    assert [len(array) for array in encode_tokens(model, ["lime", "lime kiln mail ferry roof"], "query")] == [1, 3]


def test_a_text_without_tokens_has_one_vector_of_zeros(tmp_path: Path) -> None:
    model = load_token_encoder(tiny.bi_encoder(tmp_path, WORDS), 64)
    empty, other = encode_tokens(model, ["", "lime"], "query")
    assert empty.shape == (1, 32)
    assert not empty.any()
    assert other.any()
    assert encode_tokens(model, [], "query") == []


def test_many_texts_keep_their_order_and_show_progress(tmp_path: Path) -> None:
    model = load_token_encoder(tiny.bi_encoder(tmp_path, WORDS), 64)
    texts = [" ".join(["lime"] * (1 + number % 7)) for number in range(261)]
    progress: list[tuple[int, int]] = []
    vectors = encode_tokens(model, texts, "document", lambda *at: progress.append(at))
    assert [len(array) for array in vectors] == [1 + number % 7 for number in range(len(texts))]
    assert progress == sorted(set(progress))
    assert progress[-1] == (len(texts), len(texts))


def test_a_view_of_a_bi_encoder_shares_its_weights_and_leaves_its_vectors_alone(tmp_path: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    plain = SentenceTransformer(str(tiny.bi_encoder(tmp_path / "plain", WORDS)), device="cpu")
    torch.manual_seed(0)
    modules = [plain[0], plain[1], Dense(32, 4, activation_function=torch.nn.Identity()), plain[2]]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(tmp_path / "dense"), create_model_card=False)
    model = load_bi_encoder(tmp_path / "dense", 64)
    before = model.encode(["lime kiln"])
    view = token_view(model)
    (array,) = encode_tokens(view, ["lime kiln"], "document")
    weight, bias = (value.numpy(force=True) for value in (model[2].linear.weight, model[2].linear.bias))
    assert array == pytest.approx(unit(inner_states(tmp_path / "dense", ["lime", "kiln"]) @ weight.T + bias), abs=1e-5)
    assert model.encode(["lime kiln"]) == pytest.approx(before, abs=1e-6)
    assert view[0].auto_model is model[0].auto_model


def test_a_view_that_was_saved_loads_as_it_was(tmp_path: Path) -> None:
    folder = tiny.bi_encoder(tmp_path / "start", WORDS)
    model = load_token_encoder(folder, 64, query_prompt="query: ")
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False, safe_serialization=True)
    again = load_token_encoder(tmp_path / "saved", 64)
    for role in ("query", "document"):
        first, second = (encode_tokens(one, ["lime, kiln.", ""], role) for one in (model, again))
        assert [array.tolist() for array in first] == [array.tolist() for array in second]


# models for late interaction


def test_a_colbert_of_pylate_loads_by_name_with_markers_expansion_and_skipped_tokens(tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    folder = tiny.colbert(tmp_path, WORDS)
    model = load_token_encoder(folder, 64)
    assert model.prompts == {"query": "[unused0] ", "document": "[unused1] "}
    (query,), (document,) = (encode_tokens(model, ["lime, kiln."], role) for role in ("query", "document"))
    # Queries are filled up to 12 tokens; documents lose what is on the skip list, and keep [CLS], marker and [SEP].
    assert query.shape == (12, 8)
    assert document.shape == (3 + 2, 8)
    assert np.linalg.norm(query, axis=1) == pytest.approx(np.ones(12), abs=1e-5)
    own = MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)
    assert query == pytest.approx(own.encode_query(["lime, kiln."], convert_to_numpy=True)[0], abs=1e-6)
    assert document == pytest.approx(own.encode_document(["lime, kiln."], convert_to_numpy=True)[0], abs=1e-6)


def test_a_colbert_of_the_first_pylate_is_known_by_its_markers(tmp_path: Path) -> None:
    folder = tiny.colbert(tmp_path, WORDS)
    new = encode_tokens(load_token_encoder(folder, 64), ["lime, kiln."], "query")
    path = folder / "config_sentence_transformers.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"model_type": "ColBERT", ', ""), encoding="utf-8")
    (query,) = encode_tokens(load_token_encoder(folder, 64), ["lime, kiln."], "query")
    assert query == pytest.approx(new[0], abs=1e-6)


def test_a_folder_of_the_first_colbert_code_loads_with_its_projection(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tiny.colbert(tmp_path, WORDS)
    projection = load_file(folder / "1_Dense" / "model.safetensors")
    weights = load_file(folder / "model.safetensors")
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / name).unlink()
    save_file({f"bert.{name}": value for name, value in weights.items()} | projection, folder / "model.safetensors")
    change(folder, "config.json", architectures=["HF_ColBERT"])
    inspection = inspect(folder, "multi-vector", deep=True)
    assert (inspection.problems, inspection.remarks) == ((), ())
    (document,) = encode_tokens(load_token_encoder(folder, 64), ["lime kiln"], "document")
    right = states(folder, ["[CLS]", "[unused1]", "lime", "kiln", "[SEP]"]) @ projection["linear.weight"].T
    assert document.shape == (5, 8)
    assert document == pytest.approx(unit(right), abs=1e-5)


def test_a_colbert_keeps_its_limit_where_that_is_lower(tmp_path: Path) -> None:
    folder = tiny.colbert(tmp_path, WORDS)
    text = " ".join(["lime"] * 40)
    assert [len(encode_tokens(load_token_encoder(folder, limit), [text], "document")[0]) for limit in (64, 10)] == [
        24,
        10,
    ]
    assert len(encode_tokens(load_token_encoder(folder, 10), ["lime"], "query")[0]) == 12


def test_a_prompt_that_is_given_replaces_the_marker(tmp_path: Path) -> None:
    model = load_token_encoder(tiny.colbert(tmp_path, WORDS), 64, document_prompt="mail ")
    assert model.prompts == {"query": "[unused0] ", "document": "mail "}


# refusals


def change(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(config | changes), encoding="utf-8")


def test_what_gives_no_token_vectors_is_refused(tmp_path: Path) -> None:
    cross = tiny.cross_encoder(tmp_path / "cross", WORDS)
    with pytest.raises(ConfigError, match="is a BertForSequenceClassification, which gives no vectors of the tokens"):
        load_token_encoder(cross, 64)
    saved = tiny.bi_encoder(tmp_path / "sparse", WORDS)
    change(saved, "config_sentence_transformers.json", model_type="SparseEncoder")
    with pytest.raises(ConfigError, match="was saved as a SparseEncoder, not as a model for late interaction"):
        load_token_encoder(saved, 64)


def test_static_embeddings_are_refused(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny.bi_encoder(tmp_path / "start", WORDS) / "tokenizer.json"))
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu")
    static.save_pretrained(str(tmp_path / "static"), create_model_card=False)
    with pytest.raises(ConfigError, match="static embeddings: a token has the same vector in every text"):
        load_token_encoder(tmp_path / "static", 64)


def test_a_multi_vector_model_is_no_bi_encoder_and_inspects_well(tmp_path: Path) -> None:
    folder = tiny.colbert(tmp_path / "colbert", WORDS)
    inspection = inspect(folder, "multi-vector", deep=True)
    assert (inspection.problems, inspection.modules, inspection.length) == ((), ("Transformer", "Dense"), 64)
    assert inspect(tiny.bi_encoder(tmp_path / "bi", WORDS), "multi-vector", deep=True).problems == ()
    model = load_token_encoder(tiny.bi_encoder(tmp_path / "other", WORDS), 64)
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False, safe_serialization=True)
    with pytest.raises(ConfigError, match="was saved as a MultiVectorEncoder, not as a bi-encoder"):
        load_bi_encoder(tmp_path / "saved", 64)


def test_vectors_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    import torch

    model = load_token_encoder(tiny.bi_encoder(tmp_path, WORDS), 64)
    with torch.no_grad():
        next(iter(model.parameters())).fill_(float("nan"))
    with pytest.raises(ValueError, match="no numbers"):
        encode_tokens(model, ["lime"], "query")
