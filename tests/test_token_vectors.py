"""MaxSim against brute force, stored token vectors against those computed, and search in them with trec_eval's ties."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.models import token_vectors
from harness.models.search import Hits
from harness.models.token_vectors import Precision, TokenIndex, TokenWriter, max_sim

many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
ids = st.text("abz019-", min_size=1, max_size=3)
FLOAT16_TOLERANCE = 2**-11
"""Of a number below 1: half of the distance between two neighbours in float16."""
INT8_TOLERANCE = 1 / 254
"""Of a number below 1: half of a step, where the largest magnitude of the vector is 127 steps."""


def unit(rng: np.random.Generator, tokens: int, dim: int) -> np.ndarray:
    vectors = rng.standard_normal((tokens, dim)).astype(np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute_force(query: np.ndarray, document: np.ndarray) -> float:
    """The definition, in loops and double precision."""
    total = 0.0
    for token in query.astype(np.float64):
        total += max(float(token @ other) for other in document.astype(np.float64))
    return total / len(query)


def stored(
    folder: Path, doc_ids: Sequence[str], vectors: Sequence[np.ndarray], precision: Precision = "float16"
) -> TokenIndex:
    with TokenWriter(folder, precision) as writer:
        for doc_id, array in zip(doc_ids, vectors, strict=True):
            writer.add(doc_id, array)
    return TokenIndex(folder)


lengths = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@many
@given(query=st.integers(1, 6), documents=lengths, dim=st.integers(1, 17), seed=st.integers(0, 2**32 - 1))
def test_max_sim_is_the_definition(query: int, documents: list[int], dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked, others = unit(rng, query, dim), [unit(rng, size, dim) for size in documents]
    right = [brute_force(asked, other) for other in others]
    assert max_sim(asked, others) == pytest.approx(right, abs=1e-6)


@many
@given(queries=lengths, documents=lengths, block=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_search_in_blocks_is_max_sim_over_all_documents(
    queries: list[int], documents: list[int], block: int, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_vectors, "BLOCK_TOKENS", block)
    monkeypatch.setattr(token_vectors, "QUERY_TOKENS", block // 2)
    rng = np.random.default_rng(seed)
    doc_ids = [f"d{number}" for number in range(len(documents))]
    index = stored(tmp_path, doc_ids, [unit(rng, size, 8) for size in documents])
    asked = [unit(rng, size, 8) for size in queries]
    for query, hits in zip(asked, index.search(asked, len(documents)), strict=True):
        right = {doc_id: brute_force(query, index.vectors(doc_id)) for doc_id in doc_ids}
        assert dict(hits) == pytest.approx(right, abs=1e-6)
        assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)


@many
@given(
    data=st.data(),
    doc_ids=st.lists(ids, min_size=1, max_size=20, unique=True),
    depth=st.integers(1, 25),
)
def test_ties_go_by_id_descending(data: st.DataObject, doc_ids: list[str], depth: int, tmp_path: Path) -> None:
    """Numbers are small and whole, so that most scores tie and no rounding blurs it."""
    row = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
    drawn = [data.draw(st.lists(row, min_size=1, max_size=3)) for _ in doc_ids]
    vectors = [np.array(rows, np.float32) for rows in drawn]
    query = np.array(data.draw(st.lists(row, min_size=1, max_size=2)), np.float32)
    hits: Hits = list(zip(doc_ids, max_sim(query, vectors), strict=True))
    right = sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)[:depth]
    assert stored(tmp_path, doc_ids, vectors).search([query], depth) == [right]


@many
@given(sizes=lengths, dim=st.integers(1, 33), seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize(("precision", "tolerance"), [("float16", FLOAT16_TOLERANCE), ("int8", INT8_TOLERANCE)])
def test_stored_vectors_are_those_written_up_to_rounding(
    precision: Precision, tolerance: float, sizes: list[int], dim: int, seed: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    written = {f"d{number}": unit(rng, size, dim) for number, size in enumerate(sizes)}
    index = stored(tmp_path, list(written), list(written.values()), precision)
    for doc_id, vectors in written.items():
        assert index.vectors(doc_id).dtype == np.float32
        assert index.vectors(doc_id) == pytest.approx(vectors, abs=tolerance * 1.001)


def test_sizes_are_those_of_the_precision(tmp_path: Path) -> None:
    vectors = [np.ones((tokens, 16), np.float32) for tokens in (3, 5)]
    for precision, size in (("float16", 8 * 16 * 2), ("int8", 8 * (16 + 4))):
        folder = tmp_path / precision
        folder.mkdir()
        assert stored(folder, ["a", "b"], vectors, precision).size_bytes == size  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_document_without_tokens_scores_zero(precision: Precision, tmp_path: Path) -> None:
    index = stored(tmp_path, ["a", "b"], [np.zeros((1, 4), np.float32), -np.eye(4, dtype=np.float32)[:1]], precision)
    hits = index.search([np.eye(4, dtype=np.float32)[:1]], 2)[0]
    assert hits == [("a", 0.0), ("b", pytest.approx(-1, abs=1e-6))]


def test_an_unknown_document_and_an_empty_pool(tmp_path: Path) -> None:
    index = stored(tmp_path, ["a"], [np.ones((1, 4), np.float32)])
    with pytest.raises(KeyError):
        index.vectors("b")
    assert max_sim(np.ones((1, 4), np.float32), []) == []
    assert index.search([], 5) == []


def test_an_empty_corpus_is_an_index_without_hits(tmp_path: Path) -> None:
    assert stored(tmp_path, [], []).search([np.ones((1, 4), np.float32)], 5) == [[]]


def test_writing_that_fails_leaves_no_index(tmp_path: Path) -> None:
    with pytest.raises(AttributeError), TokenWriter(tmp_path, "float16") as writer:
        writer.add("a", None)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        TokenIndex(tmp_path)
