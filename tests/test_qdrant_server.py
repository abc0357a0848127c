"""What a Qdrant server is asked, answered by the implementation of its interface in the client's own local mode.

That one searches exactly and has no index, so nothing here speaks of recall or of times.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from loopback import running
from test_stored_vectors import index_of, random_units
from test_vector_indexes import exact_lists, silent

from harness.indexes import qdrant_server, registry
from harness.indexes.protocol import Vectors
from harness.indexes.searching import IndexedSearch
from harness.models.search import DenseIndex
from harness.suite.vector_indexes import VectorIndex

qdrant_client = pytest.importorskip("qdrant_client")
pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning")
RULE = VectorIndex(kind="qdrant", address="http://localhost:6333")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    client = qdrant_client.QdrantClient(":memory:")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "close", lambda: None)
        monkeypatch.setattr(qdrant_server, "client_of", lambda rule: client)
        yield client
    client.close()


@pytest.fixture
def dense(tmp_path: Path) -> DenseIndex:
    return index_of(tmp_path / "vectors", random_units(300, 8), "float32")


def build(dense: DenseIndex, folder: Path, asked: list[int] | None = None) -> str:
    folder.mkdir(exist_ok=True)
    seen = asked if asked is not None else []
    return registry.build(Vectors(dense.stored, 300), RULE, folder, lambda done, total: seen.append(done)).name


def names(server: Any) -> list[str]:
    return [one.name for one in server.get_collections().collections]


def test_neighbours_come_from_the_collection(server: Any, dense: DenseIndex, tmp_path: Path) -> None:
    build(dense, tmp_path / "built")
    queries = random_units(4, 8, seed=2)
    found = IndexedSearch(dense, tmp_path / "built", RULE).search(queries, 20)
    for hits, expected in zip(found, exact_lists(dense, queries, 20), strict=True):
        assert dict(hits) == pytest.approx(dict(expected), abs=1e-5)


def test_a_collection_is_made_once_and_named_last(server: Any, dense: DenseIndex, tmp_path: Path) -> None:
    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.library("qdrant").build(Vectors(dense.stored, 300), RULE, tmp_path, interrupted)
    assert names(server) == [], "what is half made is removed"
    assert server.get_aliases().aliases == []
    asked: list[int] = []
    name = build(dense, tmp_path / "built", asked)
    assert build(dense, tmp_path / "built", asked) == name
    assert asked == [300]
    assert [one.alias_name for one in server.get_aliases().aliases] == [name]
    assert len(names(server)) == 1


def test_what_a_killed_process_left_is_removed_and_what_another_makes_is_not(
    server: Any, dense: DenseIndex, tmp_path: Path
) -> None:
    from qdrant_client import models

    def left(name: str, points: int) -> None:
        server.create_collection(name, models.VectorParams(size=8, distance=models.Distance.COSINE))
        grown(name, range(points))

    def grown(name: str, numbers: Any) -> None:
        rows = [models.PointStruct(id=number, vector=[1.0] * 8) for number in numbers]
        server.upsert(name, points=rows)

    name = build(dense, tmp_path / "built")
    assert registry.drop(RULE, name)
    dead, living, strange = f"{name}_{'0' * 8}", f"{name}_{'1' * 8}", f"{name}_of_mine"
    for other in (dead, living, strange):
        left(other, 3)
    registry.library("qdrant").build(
        Vectors(dense.stored, 300), RULE, tmp_path, lambda done, total: grown(living, [done + 1])
    )
    assert dead not in names(server)
    assert {living, strange} < {*names(server)}
    assert registry.drop(RULE, name)
    assert names(server) == [strange]


def test_what_the_server_has_already_says_so(server: Any, dense: DenseIndex, tmp_path: Path) -> None:
    made = [registry.library("qdrant").build(Vectors(dense.stored, 300), RULE, tmp_path, silent) for _ in range(2)]
    assert [(one.found, one.before) for one in made] == [(False, 0.0), (True, 0.0)]


def test_a_build_that_is_asked_to_end_leaves_nothing(server: Any, dense: DenseIndex, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        registry.library("qdrant").build(
            Vectors(dense.stored, 300), RULE, tmp_path, lambda done, total: os.kill(os.getpid(), signal.SIGTERM)
        )
    assert names(server) == []
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("damage", ["gone", "fewer", "changed"])
def test_a_collection_that_is_gone_or_changed_is_made_again(
    damage: str, server: Any, dense: DenseIndex, tmp_path: Path
) -> None:
    from qdrant_client import models

    name = build(dense, tmp_path / "built")
    if damage == "gone":
        server.delete_collection(names(server)[0])
    elif damage == "fewer":
        server.delete(name, points_selector=models.PointIdsList(points=[5]))
    else:
        server.upsert(name, points=[models.PointStruct(id=0, vector=random_units(1, 8, seed=9)[0].tolist())])
    queries = random_units(4, 8, seed=2)
    found = IndexedSearch(dense, tmp_path / "built", RULE).search(queries, 300)
    exact = exact_lists(dense, queries, 300)
    for hits, expected in zip(found, exact, strict=True):
        assert dict(hits) == pytest.approx(dict(expected), abs=1e-5)
    assert len(names(server)) == 1, "the changed one is removed"


def test_a_collection_is_dropped(server: Any, dense: DenseIndex, tmp_path: Path) -> None:
    name = build(dense, tmp_path / "built")
    assert registry.drop(RULE, name)
    assert names(server) == []
    assert server.get_aliases().aliases == []
    assert not registry.drop(RULE, name)


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401, "Unauthorized")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""


def test_a_server_that_is_away_or_refuses_is_said_in_a_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    away = registry.unusable(RULE.model_copy(update={"address": f"http://127.0.0.1:{port}"}), 8)
    assert away is not None
    assert away[0].startswith(f"Qdrant at http://127.0.0.1:{port} cannot be used (")
    assert "refused" in away[0]
    assert away[1] == "start it, or correct 'address'"
    with running(HTTPServer(("127.0.0.1", 0), _Refusing)) as server:
        refused = registry.unusable(RULE.model_copy(update={"address": f"http://127.0.0.1:{server.server_port}"}), 8)
    assert refused is not None
    assert refused[0].endswith("refuses (401 Unauthorized)")
    assert refused[1] == "set QDRANT_API_KEY in the environment"
