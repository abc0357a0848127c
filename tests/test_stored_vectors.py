"""Vectors with fewer dimensions and in lower precision: what is stored, and what search and rescoring make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_search import brute_force

from harness.models import search, stored_vectors
from harness.models.search import SEARCH_CHUNK, DenseIndex, Hits
from harness.models.stored_vectors import Precision, shortened
from harness.stages.index import size_of

many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHOLE = st.integers(0, 255)
"""With 0 and 255 in every dimension the steps of int8 are 1, so that all sums are exact and ties are ties."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def random_units(count: int, dimensions: int = 48, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def index_of(folder: Path, vectors: np.ndarray, precision: Precision, doc_ids: list[str] | None = None) -> DenseIndex:
    folder.mkdir(parents=True, exist_ok=True)
    DenseIndex.save(folder, doc_ids or [f"d{number}" for number in range(len(vectors))], vectors, precision)
    return DenseIndex(folder)


@st.composite
def whole_numbers(draw: Any) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Documents of whole numbers from 0 to 255 in three dimensions, queries, and ids in no order."""
    rows = [(0, 0, 0), (255, 255, 255), *draw(st.lists(st.tuples(WHOLE, WHOLE, WHOLE), max_size=12))]
    rows += draw(st.lists(st.sampled_from(rows), max_size=4))
    asked = draw(st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=3))
    doc_ids = draw(st.permutations([f"d{number}" for number in range(len(rows))]))
    return np.array(rows, np.float32), np.array(asked, np.float32), doc_ids


@many
@given(drawn=whole_numbers(), depth=st.integers(1, 20), rescore=st.integers(1, 20))
def test_int8_with_all_documents_rescored_is_exact_search_over_the_stored_vectors(
    drawn: tuple[np.ndarray, np.ndarray, list[str]], depth: int, rescore: int, tmp_path: Path
) -> None:
    """Whatever is rescored first, once `rescore` x `depth` reaches every document; scores and ties are equal."""
    vectors, queries, doc_ids = drawn
    index = index_of(tmp_path, vectors, "int8", doc_ids)
    assert (index.vectors == vectors).all(), "these numbers are stored as they are"
    rescore = max(rescore, -(-len(doc_ids) // depth))
    exact = [brute_force(doc_ids, index.vectors, query, depth) for query in queries]
    assert index.search(queries, depth, rescore) == exact


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_exact_search_in_quantized_vectors_holds_one_part_at_a_time(
    precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, doc_ids = np.random.default_rng(0), [f"d{number}" for number in range(50)]
    vectors = rng.standard_normal((50, 16)).astype(np.float32)
    index = index_of(tmp_path, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), precision, doc_ids)
    queries = rng.standard_normal((5, 16)).astype(np.float32)
    exact = [brute_force(doc_ids, index.vectors, query, 7) for query in queries]
    read, restored = list[int](), index.stored.restored

    def counted(places: Any = slice(None)) -> Any:
        read.append(len(found := restored(places)))
        return found

    monkeypatch.setattr(search, "SEARCH_PART", 16)
    monkeypatch.setattr(index.stored, "restored", counted)
    for hits, best in zip(index.search(queries, 7, 1_000_000), exact, strict=True):
        assert [doc_id for doc_id, _ in hits] == [doc_id for doc_id, _ in best]
        assert [score for _, score in hits] == pytest.approx([score for _, score in best], abs=1e-5)
    assert read == [16, 16, 16, 2]


def pool_of(scores: np.ndarray, doc_ids: list[str], size: int) -> set[str]:
    hits = sorted(zip(scores.tolist(), doc_ids, strict=True), reverse=True)
    return {doc_id for _, doc_id in hits[:size]}


@many
@given(data=st.data(), count=st.integers(2, 30), depth=st.integers(1, 6), rescore=st.integers(1, 4))
def test_binary_candidates_are_the_nearest_by_hamming_distance(
    data: st.DataObject, count: int, depth: int, rescore: int, tmp_path: Path
) -> None:
    """Ties at the border of the candidates go by id, as everywhere; the rest is never in a list."""
    signs = data.draw(
        st.lists(st.lists(st.sampled_from((-1, 1)), min_size=5, max_size=5), min_size=count, max_size=count)
    )
    query = np.array([data.draw(st.lists(st.sampled_from((-2, -1, 1, 2)), min_size=5, max_size=5))], np.float32)
    vectors, doc_ids = np.array(signs, np.float32), [f"d{number}" for number in range(count)]
    index = index_of(tmp_path, vectors, "binary", doc_ids)
    equal_signs = (np.sign(query) * vectors).sum(axis=1)
    pool = pool_of(equal_signs, doc_ids, depth * rescore)
    (plain,) = index.search(query, depth)
    assert [doc_id for doc_id, _ in plain] == [
        doc_id for doc_id, _ in brute_force(doc_ids, vectors, np.sign(query[0]), depth)
    ]
    assert [score for _, score in plain] == pytest.approx(sorted(equal_signs / 5, reverse=True)[:depth])
    (rescored,) = index.search(query, depth, rescore)
    assert {doc_id for doc_id, _ in rescored} <= pool
    own = dict(zip(doc_ids, vectors @ query[0] / np.sqrt(5), strict=True))
    assert [score for _, score in rescored] == pytest.approx(
        sorted((own[key] for key in pool), reverse=True)[:depth], abs=1e-6
    )
    assert rescored == sorted(rescored, key=lambda hit: (hit[1], hit[0]), reverse=True)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_restored_vectors_are_near_the_ones_that_were_stored(precision: Precision, tmp_path: Path) -> None:
    vectors = random_units(300)
    index = index_of(tmp_path, vectors, precision)
    steps = (vectors.max(axis=0) - vectors.min(axis=0)) / 255
    bounds: dict[str, Any] = {"float32": 0, "float16": 2.0**-11, "int8": steps * 1.01, "binary": np.inf}
    assert (np.abs(index.vectors - vectors) <= bounds[precision]).all()
    if precision == "binary":
        assert (np.sign(index.vectors) == np.sign(vectors)).all()
        assert np.linalg.norm(index.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    some = np.array([7, 3, 7])
    assert (index.stored.restored(some) == index.vectors[some]).all()


def test_float16_is_exact_search_over_its_rounded_vectors(tmp_path: Path) -> None:
    vectors, queries = random_units(80), random_units(5, seed=1)
    rounded = vectors.astype(np.float16).astype(np.float32)
    index = index_of(tmp_path / "half", vectors, "float16")
    assert index.search(queries, 10) == index_of(tmp_path / "whole", rounded, "float32").search(queries, 10)
    assert index.search(queries, 10, rescore=4) == index.search(queries, 10), "nothing to rescore with"


def test_the_default_writes_what_it_always_wrote(tmp_path: Path) -> None:
    vectors, queries = random_units(30), random_units(3, seed=1)
    index = index_of(tmp_path, vectors, "float32")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["doc_ids.json", "vectors.npy"]
    assert (np.load(tmp_path / "vectors.npy") == vectors).all()
    assert json.loads((tmp_path / "doc_ids.json").read_text(encoding="utf-8")) == index.doc_ids
    assert index.search(queries, 4, rescore=4) == index.search(queries, 4)


@pytest.mark.parametrize(("precision", "size"), [
    ("float32", 4 * 48 * 100), ("float16", 2 * 48 * 100), ("int8", 48 * 100 + 2 * 4 * 48), ("binary", 6 * 100),
])  # fmt: skip
def test_all_that_is_stored_is_as_large_as_the_precision_says(precision: Precision, size: int, tmp_path: Path) -> None:
    """Nothing is kept for rescoring: the files hold no more than this, their headers, and the ids."""
    index_of(tmp_path, random_units(100), precision)
    files = len(list(tmp_path.iterdir())) - 1
    assert size < size_of(tmp_path) < size + files * 256


def kept(found: list[Hits], exact: list[Hits]) -> float:
    """The mean share of the exact lists that was found."""
    pairs = zip(found, exact, strict=True)
    return float(np.mean([len({d for d, _ in one} & {d for d, _ in own}) / len(own) for one, own in pairs]))


def test_rescoring_and_precision_lose_in_the_order_that_is_expected(tmp_path: Path) -> None:
    vectors, queries = random_units(SEARCH_CHUNK * 2, 128), random_units(SEARCH_CHUNK + 5, 128, seed=1)
    exact = index_of(tmp_path / "float32", vectors, "float32").search(queries, 10)
    shares = {
        (precision, rescore): kept(
            index_of(tmp_path / precision, vectors, precision).search(queries, 10, rescore), exact
        )
        for precision in ("int8", "binary")
        for rescore in (0, 4)
    }
    assert shares["int8", 4] > 0.97
    assert shares["int8", 0] > 0.94
    assert shares["int8", 4] > shares["int8", 0] > shares["binary", 4] > shares["binary", 0] > 0.1


@many
@given(dimensions=st.integers(1, 48), seed=st.integers(0, 9))
def test_fewer_dimensions_are_slicing_and_renormalising(dimensions: int, seed: int) -> None:
    vectors = random_units(7, seed=seed)
    found = shortened(vectors, dimensions, unit_length=True)
    cut = vectors[:, :dimensions].astype(np.float64)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, cut / np.linalg.norm(cut, axis=1, keepdims=True), rtol=1e-5)
    assert (shortened(vectors, dimensions, unit_length=False) == vectors[:, :dimensions]).all()
    assert shortened(vectors, None, unit_length=True) is vectors


def test_more_dimensions_than_the_model_has_are_refused() -> None:
    with pytest.raises(ValueError, match="dimensions: 49 are asked for, and the model has 48; ask for fewer"):
        shortened(random_units(2), 49, unit_length=True)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_queries_of_another_width_are_refused(precision: Precision, tmp_path: Path) -> None:
    index = index_of(tmp_path, random_units(9), precision)
    with pytest.raises(ValueError, match="queries have 47 dimensions and the index 48"):
        index.search(random_units(2)[:, :47], 3)


def one_document(vectors: np.ndarray) -> np.ndarray:
    return vectors[:1]


def constant(vectors: np.ndarray) -> np.ndarray:
    return np.repeat(vectors[:1], 4, axis=0)


@pytest.mark.parametrize("made", [one_document, constant])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_corpus_without_any_range_is_searched(
    precision: Precision, made: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    vectors = made(random_units(4))
    index = index_of(tmp_path, vectors, precision)
    for rescore in (0, 2):
        (found,) = index.search(vectors[:1], 9, rescore)
        assert [doc_id for doc_id, _ in found] == [f"d{number}" for number in reversed(range(len(vectors)))]
        assert all(score > 0.5 for _, score in found)


def test_a_query_of_zeros_ranks_by_id(tmp_path: Path) -> None:
    index = index_of(tmp_path, random_units(9), "int8")
    (found,) = index.search(np.zeros((1, 48), np.float32), 3)
    assert found == [("d8", 0.0), ("d7", 0.0), ("d6", 0.0)]


def test_what_is_loaded_is_of_its_kind(tmp_path: Path) -> None:
    kinds = {
        precision: type(index_of(tmp_path / precision, random_units(9), precision).stored) for precision in PRECISIONS
    }
    assert kinds["int8"] is stored_vectors.Int8Vectors
    assert kinds["binary"] is stored_vectors.BinaryVectors
    assert kinds["float16"] is kinds["float32"] is stored_vectors.FloatVectors


def test_numbers_that_a_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    """A dot-product model may have long vectors; as float16 they would be infinite, and their scores NaN."""
    vectors = np.array([[1e5, 0.0], [0.0, -2e5]], dtype=np.float32)
    with pytest.raises(
        ValueError, match=r"^precision: float16 holds no number as large as 2e\+05; use float32 or int8$"
    ):
        stored_vectors.save(tmp_path, vectors, "float16")
    stored_vectors.save(tmp_path, vectors, "int8")
    assert stored_vectors.load(tmp_path).scores(vectors).argmax(axis=1).tolist() == [0, 1]


def test_rescoring_gives_each_dimension_its_own_scale(tmp_path: Path) -> None:
    """Codes alone would rank the second document first: dimensions have ranges of very different width."""
    vectors = np.array([[4, 0, 2], [0, 1, 2], [-10, -10, 2], [245, 117.5, 2]], dtype=np.float32)
    query = np.array([[1, 3, 2]], dtype=np.float32)
    stored_vectors.save(tmp_path, vectors, "int8")
    assert (query @ stored_vectors.load(tmp_path).restored().T)[0].tolist() == pytest.approx([8, 7, -36, 601.5])
