"""Qdrant: its engine in this process (Qdrant Edge), or a server at an address, whose key is in `QDRANT_API_KEY`."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.hashing import digest_of
from harness.indexes.protocol import Built, Neighbours, Vectors, check
from harness.indexes.qdrant_server import BATCH, SMALLEST_KB, ServerSearcher, asked, drop, neighbours, provide
from harness.suite.vector_indexes import VectorIndex
from harness.values.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

FOLDER = "qdrant"


class Qdrant:
    """Builds and opens collections. Only ``hnsw`` has a graph; ``flat`` asks for exact search."""

    def unreachable(self, rule: VectorIndex) -> tuple[str, str] | None:
        if rule.address is None:
            return None
        try:
            asked(rule, lambda client: client.get_collections())
        except ValueError as error:
            what, _, hint = str(error).partition("; ")
            return what, hint
        return None

    def build(self, vectors: Vectors, rule: VectorIndex, folder: Path, progress: Progress) -> Built:
        check(vectors, rule)
        built = Built(vectors.count, vectors.dimensions, vectors.unit_length)
        if rule.address is None:
            return _build_here(vectors, rule, built, folder / FOLDER, progress)
        name = f"harness_{digest_of([vectors.digest, rule.key_settings()])[:40]}"
        built = built._replace(name=name)
        made: Built = asked(rule, lambda client: provide(client, vectors, rule, built, progress))
        return made

    def open(self, folder: Path, rule: VectorIndex, built: Built, vectors: Vectors) -> Any:
        if rule.address is None:
            return EdgeSearcher(folder / FOLDER, rule, built)
        asked(rule, lambda client: provide(client, vectors, rule.as_built, built, lambda done, total: None))
        return ServerSearcher(rule, built)

    def drop(self, rule: VectorIndex, name: str) -> bool:
        return bool(asked(rule, lambda client: drop(client, name)))


class EdgeSearcher:
    """A collection in this process: of a copy, since the engine writes into the folder that it opens."""

    def __init__(self, folder: Path, rule: VectorIndex, built: Built) -> None:
        from qdrant_edge import EdgeShard

        self._rule, self._built = rule, built
        copy = tempfile.mkdtemp(prefix="harness-qdrant-")
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        self._shard = EdgeShard.load(copy)
        weakref.finalize(self, shutil.rmtree, copy, ignore_errors=True)

    def search(self, queries: Floats, count: int) -> Neighbours:
        from qdrant_edge import Query, SearchParams, SearchRequest

        count = min(count, self._built.passages)
        exact = self._rule.method == "flat"
        params = SearchParams(hnsw_ef=None if exact else max(self._rule.ef_search, count), exact=exact)
        found = (
            self._shard.search(SearchRequest(query=Query.Nearest(query.tolist()), limit=count, params=params))
            for query in queries
        )
        return neighbours(found, len(queries), count)


def _build_here(vectors: Vectors, rule: VectorIndex, built: Built, folder: Path, progress: Progress) -> Built:
    from qdrant_edge import (
        Distance,
        EdgeConfig,
        EdgeOptimizersConfig,
        EdgeShard,
        EdgeVectorParams,
        HnswIndexConfig,
        Point,
        UpdateOperation,
    )

    graph = HnswIndexConfig(m=rule.m, ef_construct=rule.ef_construction, full_scan_threshold=SMALLEST_KB)
    distance = Distance.Cosine if built.cosine else Distance.Dot
    folder.mkdir()
    shard = EdgeShard.create(
        str(folder),
        EdgeConfig(
            vectors=EdgeVectorParams(size=built.dimensions, distance=distance),
            hnsw_config=graph,
            # The index is kept whole or not at all: a log of what is written is of no use.
            wal_enabled=False,
            optimizers=EdgeOptimizersConfig(
                default_segment_number=1, indexing_threshold=SMALLEST_KB if rule.method == "hnsw" else 0
            ),
        ),
    )
    for start, part in vectors.parts():
        for first in range(0, len(part), BATCH):
            rows = part[first : first + BATCH].tolist()
            points = [Point(start + first + number, row) for number, row in enumerate(rows)]
            shard.update(UpdateOperation.upsert_points(points))
        progress(start + len(part), vectors.count)
    while shard.optimize():
        pass
    shard.flush()
    shard.close()
    # Files are made large beforehand, and hardly filled.
    size = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    return built._replace(size_bytes=size)
