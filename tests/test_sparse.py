"""Learned sparse retrieval: the inverted file against brute force, models as sentence-transformers itself uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
import smallsuite
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from test_search import brute_force

from harness.errors import ConfigError
from harness.models.inspection import inspect
from harness.models.search import SEARCH_CHUNK
from harness.models.sparse_encoder import encode_sparse, load_sparse_encoder
from harness.models.sparse_index import SparseIndex

many = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = [*(f"the {topic} is old and it is red" for topic in smallsuite.TOPICS), "lime kiln " * 50, "ferry", ""]
small_weights = st.lists(st.integers(0, 2), min_size=4, max_size=4)


@many
@given(
    rows=st.lists(small_weights, min_size=1, max_size=30),
    asked=st.lists(small_weights, max_size=3),
    depth=st.integers(1, 35),
)
def test_search_is_brute_force_without_documents_that_share_no_term(
    rows: list[list[int]], asked: list[list[int]], depth: int, tmp_path: Path
) -> None:
    """Weights are small and whole, so that most scores tie and no rounding blurs it."""
    vectors, queries = np.array(rows, np.float32), np.array(asked, np.float32).reshape(-1, 4)
    doc_ids = [f"d{number}" for number in range(len(rows))]
    SparseIndex.save(tmp_path, doc_ids, csr_array(vectors))
    exact = [brute_force(doc_ids, vectors, query, len(rows)) for query in queries]
    positive = [[hit for hit in hits if hit[1] > 0][:depth] for hits in exact]
    assert SparseIndex(tmp_path).search(csr_array(queries), depth) == positive


def test_search_in_chunks_loses_no_query(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 3, (30, 6)).astype(np.float32)
    queries = rng.integers(0, 3, (SEARCH_CHUNK * 2 + 3, 6)).astype(np.float32)
    doc_ids = [f"d{number}" for number in range(30)]
    SparseIndex.save(tmp_path, doc_ids, csr_array(vectors))
    found = SparseIndex(tmp_path).search(csr_array(queries), 5)
    exact = [brute_force(doc_ids, vectors, query, 30) for query in queries]
    assert found == [[hit for hit in hits if hit[1] > 0][:5] for hits in exact]


def test_terms_of_another_model_are_refused(tmp_path: Path) -> None:
    SparseIndex.save(tmp_path, ["a", "b"], csr_array(np.ones((2, 5), np.float32)))
    with pytest.raises(ValueError, match="queries have 4 terms and the index 5"):
        SparseIndex(tmp_path).search(csr_array(np.ones((1, 4), np.float32)), 2)


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sparse_encoder(tmp_path_factory.mktemp("splade"), smallsuite.vocabulary())


def own_scores(folder: Path, queries: list[str], texts: list[str]) -> Any:
    """Scores of shape (queries, texts), as sentence-transformers itself gives them."""
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(folder), device="cpu")
    model.max_seq_length = 64
    return model.similarity(*(model.encode(one, convert_to_sparse_tensor=False) for one in (queries, texts))).numpy()


def similarity(name: str) -> Callable[[Path], Path]:
    def changed(folder: Path) -> Path:
        return folders.edited(
            folder, "config_sentence_transformers.json", lambda config: {**config, "similarity_fn_name": name}
        )

    return changed


@pytest.mark.parametrize("measure", ["dot", "cosine"])
def test_a_model_ranks_as_it_does_by_itself(measure: str, tmp_path: Path) -> None:
    folder = similarity(measure)(tiny.sparse_encoder(tmp_path, smallsuite.vocabulary()))
    model = load_sparse_encoder(folder, 256)
    queries = [f"what is the {topic}?" for topic in smallsuite.TOPICS]
    documents = encode_sparse(model, TEXTS, "document")
    assert 0.02 < documents.nnz / np.prod(documents.shape) < 0.9, "neither all terms nor none have weights"
    scores = own_scores(folder, queries, TEXTS)
    assert (encode_sparse(model, queries, "query") @ documents.T).toarray() == pytest.approx(scores, rel=1e-4)
    (tmp_path / "index").mkdir()
    SparseIndex.save(tmp_path / "index", [f"d{number}" for number in range(len(TEXTS))], documents)
    found = SparseIndex(tmp_path / "index").search(encode_sparse(model, queries, "query"), 4)
    for hits, row in zip(found, scores, strict=True):
        assert [score for _, score in hits] == pytest.approx(sorted(row, reverse=True)[:4], rel=1e-4)


def test_texts_are_encoded_in_their_order_and_in_batches(splade: Path) -> None:
    model, told = load_sparse_encoder(splade, 64), []
    texts = [TEXTS[number % len(TEXTS)] for number in range(137)]
    weights = encode_sparse(model, texts, "document", lambda done, total: told.append((done, total)))
    single = encode_sparse(model, TEXTS, "document")
    assert weights.shape == (len(texts), len(model.tokenizer))
    for number, row in enumerate(weights.toarray()):
        assert row == pytest.approx(single.toarray()[number % len(TEXTS)], abs=1e-5)
    assert told == sorted(set(told))
    assert told[-1] == (len(texts), len(texts))
    assert encode_sparse(model, [], "query").shape == (0, len(model.tokenizer))


def test_prompts_are_put_before_texts(splade: Path) -> None:
    model, plain = load_sparse_encoder(splade, 64, query_prompt="what is "), load_sparse_encoder(splade, 64)
    assert model.prompts["document"] == ""
    prompted = encode_sparse(model, ["ferry"], "query").toarray()
    assert prompted == pytest.approx(encode_sparse(plain, ["what is ferry"], "query").toarray(), abs=1e-6)
    assert (encode_sparse(model, ["ferry"], "document") != encode_sparse(model, ["ferry"], "query")).nnz


GOOD: dict[str, Callable[[Path], Path]] = {
    "SPLADE": lambda folder: tiny.sparse_encoder(folder, smallsuite.vocabulary()),
    "a masked language model": lambda folder: folders.plain(folder, task="ForMaskedLM"),
    "cosine": lambda folder: similarity("cosine")(tiny.sparse_encoder(folder, smallsuite.vocabulary())),
    "bfloat16": lambda folder: folders.stored_as(tiny.sparse_encoder(folder, smallsuite.vocabulary()), "bfloat16"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_accepted_is_used(name: str, tmp_path: Path) -> None:
    folder = GOOD[name](tmp_path / "model")
    seen = inspect(folder, "sparse-encoder", deep=True)
    assert seen.problems == ()
    assert (seen.modules[1], seen.pooling, seen.length) == ("SpladePooling", ("max",), 64)
    assert seen.similarity == ("cosine" if name == "cosine" else "dot")
    weights = encode_sparse(load_sparse_encoder(folder, 64), ["the kiln", "ferry"], "query")
    assert weights.nnz > 0
    assert weights.dtype == np.float32
    assert (weights.data > 0).all()


NO_SPLADE = "not a masked language model with SpladePooling; use a SPLADE model, or kind: dense"
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a bi-encoder": (folders.bert, f"is made of Transformer, Pooling, {NO_SPLADE}"),
    "a plain encoder": (folders.plain, f"is a BertModel, {NO_SPLADE}"),
    "static": (folders.static, f"is made of StaticEmbedding, {NO_SPLADE}"),
    "no head": (
        lambda folder: folders.renamed(
            tiny.sparse_encoder(folder, smallsuite.vocabulary()),
            lambda name: None if "transform" in name else name,
        ),
        "that a BertForMaskedLM needs are missing (cls.predictions.transform",
    ),
    "manhattan": (
        lambda folder: similarity("manhattan")(tiny.sparse_encoder(folder, smallsuite.vocabulary())),
        "ranks by 'manhattan'",
    ),
    "pickled": (
        lambda folder: folders.pickled(tiny.sparse_encoder(folder, smallsuite.vocabulary())),
        "its weights are pickled",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_sparse_encoder_is_refused(name: str, tmp_path: Path) -> None:
    make, said = BAD[name]
    folder = make(tmp_path / "model")
    (problem,) = inspect(folder, "sparse-encoder", deep=True).problems
    assert said in str(problem)


def test_a_sparse_encoder_is_no_bi_encoder_and_the_kind_is_named(splade: Path) -> None:
    (problem,) = inspect(splade, "bi-encoder").problems
    assert "was saved as a SparseEncoder, not as a bi-encoder; use a SentenceTransformer, or kind: sparse" in str(
        problem
    )
    with pytest.raises(ConfigError, match="SparseEncoder"):
        inspect(splade, "bi-encoder").check()
