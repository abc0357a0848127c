"""Indexes of other libraries against exact search over the same vectors, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_search import brute_force
from test_stored_vectors import index_of, random_units

from harness.errors import ConfigError
from harness.indexes import registry
from harness.indexes.faiss_index import INDEX_FILE
from harness.indexes.protocol import ABSENT, Built, Vectors, wrong_dimensions
from harness.indexes.searching import IndexedSearch
from harness.models.search import DenseIndex, Hits
from harness.scoring.neighbours import neighbour_recall
from harness.suite.vector_indexes import METHODS, VectorIndex

COUNT, DIMENSIONS, DEPTH = 900, 32, 20
LOCAL = [(kind, method) for kind in ("faiss", "lancedb", "qdrant") for method in METHODS[kind]]
LEAST: dict[str, float] = {"flat": 1.0, "flat-int8": 0.9, "hnsw": 0.95, "ivf-flat": 0.4, "ivf-pq": 0.25}
"""Recall of random vectors, which have no clusters: the hardest case for lists."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


def searched(dense: DenseIndex, folder: Path, rule: VectorIndex) -> IndexedSearch:
    folder.mkdir(parents=True, exist_ok=True)
    registry.build(Vectors(dense.stored, len(dense.doc_ids)), rule.as_built, folder, silent)
    return IndexedSearch(dense, folder, rule)


def recall(exact: list[Hits], found: list[Hits], depth: int = DEPTH) -> float:
    runs = [{str(number): hits for number, hits in enumerate(lists)} for lists in (exact, found)]
    value = neighbour_recall(*runs, depth)
    assert value is not None
    return value


@pytest.fixture(scope="module", params=["unit", "long"])
def dense(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DenseIndex:
    """Vectors of length 1, and of other lengths, as models have them that rank by dot product."""
    vectors = random_units(COUNT, DIMENSIONS)
    if request.param == "long":
        vectors *= np.random.default_rng(1).uniform(0.5, 2, (COUNT, 1)).astype(np.float32)
    return index_of(tmp_path_factory.mktemp(request.param), vectors, "float32")


def exact_lists(dense: DenseIndex, queries: np.ndarray, depth: int = DEPTH) -> list[Hits]:
    return [brute_force(dense.doc_ids, dense.vectors, query, depth) for query in queries]


@pytest.mark.parametrize(("kind", "method"), LOCAL)
def test_neighbours_are_those_of_exact_search(kind: Any, method: Any, dense: DenseIndex, tmp_path: Path) -> None:
    """Scores are inner products, whatever the library calls its distance; only codes round them."""
    pytest.importorskip(registry.LIBRARIES[kind].module)
    queries = random_units(12, DIMENSIONS, seed=5)
    exact = exact_lists(dense, queries)
    found = searched(dense, tmp_path, VectorIndex(kind=kind, method=method)).search(queries, DEPTH)
    assert recall(exact, found) >= LEAST[method]
    if method == "flat":
        assert [[doc_id for doc_id, _ in hits] for hits in found] == [[key for key, _ in hits] for hits in exact]
    if method in ("flat", "hnsw", "ivf-flat"):
        scores = {doc_id: dense.vectors[place] @ queries[0] for place, doc_id in enumerate(dense.doc_ids)}
        assert [score for _, score in found[0]] == pytest.approx([scores[key] for key, _ in found[0]], abs=1e-4)


@pytest.mark.parametrize("kind", ["faiss", "lancedb"])
def test_more_probes_find_more_and_all_lists_find_everything(kind: Any, dense: DenseIndex, tmp_path: Path) -> None:
    """A library's own default may be a single list; ours grows with the number of lists."""
    pytest.importorskip(registry.LIBRARIES[kind].module)
    queries = random_units(12, DIMENSIONS, seed=6)
    exact = exact_lists(dense, queries)
    rule = VectorIndex(kind=kind, method="ivf-flat", lists=25)
    registry.build(Vectors(dense.stored, COUNT), rule, tmp_path, silent)
    recalls = [
        recall(exact, IndexedSearch(dense, tmp_path, rule.model_copy(update={"probes": probes})).search(queries, DEPTH))
        for probes in (1, None, 25)
    ]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[1] < recalls[2] == 1.0


def test_lists_that_hold_too_few_give_short_lists(dense: DenseIndex, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    rule = VectorIndex(kind="faiss", method="ivf-flat", lists=300, probes=1)
    found = searched(dense, tmp_path, rule).search(random_units(12, DIMENSIONS, seed=7), DEPTH)
    assert all(0 < len(hits) < DEPTH for hits in found)
    assert all(len({doc_id for doc_id, _ in hits}) == len(hits) for hits in found)


def test_refining_scores_with_the_stored_vectors(dense: DenseIndex, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    queries = random_units(12, DIMENSIONS, seed=8)
    exact, rule = exact_lists(dense, queries), VectorIndex(kind="faiss", method="ivf-pq", lists=4, probes=4)
    plain = searched(dense, tmp_path, rule).search(queries, DEPTH)
    refined = IndexedSearch(dense, tmp_path, rule.model_copy(update={"refine": 45})).search(queries, DEPTH)
    assert recall(exact, plain) < recall(exact, refined) == 1.0
    assert refined[0][0][1] == pytest.approx(exact[0][0][1])


def test_depth_beyond_ef_search_is_reached(dense: DenseIndex, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    rule = VectorIndex(kind="faiss", ef_search=1)
    queries = random_units(3, DIMENSIONS, seed=9)
    found = searched(dense, tmp_path, rule).search(queries, 150)
    assert [len(hits) for hits in found] == [150, 150, 150]
    assert recall(exact_lists(dense, queries, 150), found, 150) > 0.8


@pytest.mark.parametrize("precision", ["float16", "int8", "binary"])
def test_vectors_are_indexed_as_they_are_stored(precision: Any, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    dense = index_of(tmp_path / "vectors", random_units(200, DIMENSIONS), precision)
    queries = random_units(5, DIMENSIONS, seed=10)
    found = searched(dense, tmp_path / "built", VectorIndex(kind="faiss", method="flat")).search(queries, 200)
    exact = exact_lists(dense, queries, 200)
    for hits, expected in zip(found, exact, strict=True):
        assert dict(hits) == pytest.approx(dict(expected), abs=1e-5)


def test_what_is_known_of_an_index_can_be_read_again(tmp_path: Path) -> None:
    built = Built(3, 8, True, 2, "name", 5, None)
    built.write(tmp_path)
    assert Built.read(tmp_path) == built
    assert json.loads((tmp_path / "built.json").read_text(encoding="utf-8"))["memory_bytes"] is None
    assert ABSENT < 0


@pytest.mark.parametrize(
    ("settings", "count", "said"),
    [
        ({"method": "ivf-pq"}, 100, "ivf-pq is trained on at least 256 vectors, and there are 100 passages; use"),
        ({"method": "ivf-flat", "lists": 200}, 100, "'lists' is 200, and there are 100 passages; ask for fewer"),
        ({"method": "ivf-pq", "subvectors": 5}, 300, "'subvectors' is 5, which does not divide the 32 dimensions"),
        ({}, 0, "nothing to index"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(
    settings: dict[str, Any], count: int, said: str, tmp_path: Path
) -> None:
    pytest.importorskip("faiss")
    dense = index_of(tmp_path / "vectors", random_units(max(count, 1), DIMENSIONS)[:count], "float32")
    with pytest.raises(ValueError, match=said):
        searched(dense, tmp_path / "built", VectorIndex(kind="faiss", **settings))
    assert not (tmp_path / "built" / INDEX_FILE).exists()


def test_queries_of_other_dimensions_are_refused(dense: DenseIndex, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    index = searched(dense, tmp_path, VectorIndex(kind="faiss", method="flat"))
    with pytest.raises(ValueError, match="queries have 16 dimensions and the index 32; index the corpus with the same"):
        index.search(random_units(1, 16), 3)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = registry.unusable(VectorIndex(kind="lancedb"), 384)
    assert found is not None
    assert found == (
        "kind lancedb needs the package lancedb, which is not installed",
        "run: pip install 'rag-tuning-harness[lancedb]'",
    )


def test_more_dimensions_than_pgvector_indexes_are_refused() -> None:
    rule = VectorIndex(kind="pgvector", address="postgresql://localhost/x")
    assert wrong_dimensions(rule, 2000) is None
    found = wrong_dimensions(rule, 3072)
    assert found is not None
    assert "up to 2,000 dimensions, and the vectors have 3,072" in found[0]
    assert wrong_dimensions(rule.model_copy(update={"method": "flat"}), 3072) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "pgvector"}, "needs 'address'"),
        ({"kind": "faiss", "address": "http://x"}, "'address' has no meaning for kind faiss"),
        ({"kind": "pgvector", "method": "ivf-pq", "address": "x"}, "'method' may be flat or hnsw or ivf-flat"),
        ({"kind": "faiss", "method": "ivf-flat", "m": 8}, "'m' has no meaning for method ivf-flat"),
        ({"kind": "faiss", "refine": 4}, "'refine' has no meaning for method hnsw"),
        ({"kind": "faiss", "m": 64}, "at least twice 'm', which is 64"),
        ({"kind": "faiss", "method": "ivf-flat", "lists": 4, "probes": 5}, "at most 'lists', which is 4"),
        ({"kind": "pgvector", "address": "postgresql://me:secret@host/x"}, "holds a user or a password"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        VectorIndex.model_validate(settings)


def test_a_suite_with_an_index_of_another_kind_of_retriever_is_refused() -> None:
    import pocket

    with pytest.raises(ConfigError, match="'index' holds dense vectors, and the kind is sparse"):
        pocket.suite({"pipeline.retriever": {"kind": "sparse", "model": "x", "index": {"kind": "faiss"}}})


def test_the_address_of_a_server_is_in_no_key() -> None:
    here, there = (VectorIndex(kind="pgvector", address=f"postgresql://{host}/x") for host in ("one", "two"))
    assert here.key_settings() == there.key_settings() == {"kind": "pgvector"}


@pytest.mark.parametrize("kind", ["lancedb", "qdrant"])
def test_a_search_leaves_the_artifact_as_it_is(kind: Any, dense: DenseIndex, tmp_path: Path) -> None:
    """The store would take a changed file for damage."""
    pytest.importorskip(registry.LIBRARIES[kind].module)
    index = searched(dense, tmp_path, VectorIndex(kind=kind))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    index.search(random_units(2, DIMENSIONS), 5)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_few_vectors_are_searched_by_the_graph_of_qdrant(dense: DenseIndex, tmp_path: Path) -> None:
    """By its own bounds Qdrant searches small collections exactly, and a graph as poor as this would lose nothing."""
    pytest.importorskip("qdrant_edge")
    queries = random_units(12, DIMENSIONS, seed=11)
    poor = VectorIndex(kind="qdrant", m=2, ef_construction=4, ef_search=20)
    assert recall(exact_lists(dense, queries), searched(dense, tmp_path, poor).search(queries, DEPTH)) < 0.9
