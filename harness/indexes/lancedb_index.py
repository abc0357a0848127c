"""LanceDB: a table of vectors on the disk, searched in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.indexes.protocol import ABSENT, Built, Neighbours, Vectors, check
from harness.suite.vector_indexes import PQ_BITS, VectorIndex
from harness.values.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

FOLDER, TABLE = "lance", "vectors"


class LanceDb:
    """Builds and opens LanceDB tables. ``hnsw`` is one graph: lists of graphs are for more than a million vectors."""

    def unreachable(self, rule: VectorIndex) -> tuple[str, str] | None:
        return None

    def build(self, vectors: Vectors, rule: VectorIndex, folder: Path, progress: Progress) -> Built:
        lancedb = _imported()
        check(vectors, rule)
        cosine = vectors.unit_length
        table = lancedb.connect(str(folder / FOLDER)).create_table(
            TABLE, data=_batches(vectors, progress), schema=_schema(vectors.dimensions)
        )
        lists = {"flat": 0, "hnsw": 1}.get(rule.method, rule.lists_of(vectors.count))
        if lists:
            table.create_index("vector", config=_config(rule, lists, vectors.dimensions, _metric(cosine)))
        size = sum(path.stat().st_size for path in (folder / FOLDER).rglob("*") if path.is_file())
        return Built(vectors.count, vectors.dimensions, cosine, lists, "", size)

    def open(self, folder: Path, rule: VectorIndex, built: Built, vectors: Vectors) -> LanceSearcher:
        lancedb = _imported()
        return LanceSearcher(lancedb.connect(str(folder / FOLDER)).open_table(TABLE), rule, built)


class LanceSearcher:
    """A LanceDB table with the settings that its searches have."""

    def __init__(self, table: Any, rule: VectorIndex, built: Built) -> None:
        self._table, self._rule, self._built = table, rule, built

    def search(self, queries: Floats, count: int) -> Neighbours:
        import numpy as np

        count = min(count, self._built.passages)
        places = np.full((len(queries), count), ABSENT, dtype=np.int64)
        scores = np.zeros((len(queries), count), dtype=np.float32)
        for number, query in enumerate(queries):
            found = self._query(query, count)
            places[number, : len(found)] = found["place"].to_numpy()
            # The distance of both metrics is 1 less the score.
            scores[number, : len(found)] = 1 - found["_distance"].to_numpy()
        return Neighbours(places, scores)

    def _query(self, query: NDArray[np.float32], count: int) -> Any:
        asked = self._table.search(query, vector_column_name="vector").distance_type(_metric(self._built.cosine))
        if self._built.lists:
            probes = 1 if self._rule.method == "hnsw" else self._rule.probes_of(self._built.lists)
            # Without a most, LanceDB searches further lists until it has enough.
            asked = asked.minimum_nprobes(probes).maximum_nprobes(probes)
        if self._rule.method == "hnsw":
            asked = asked.ef(max(self._rule.ef_search, count))
        return asked.select(["place", "_distance"]).limit(count).to_arrow()


def _imported() -> Any:
    # Read once, at import: below 256 vectors for each list it would write warnings to the terminal.
    os.environ.setdefault("LANCE_LOG", "error")
    import lancedb

    return lancedb


def _metric(cosine: bool) -> str:
    return "cosine" if cosine else "dot"


def _config(rule: VectorIndex, lists: int, dimensions: int, metric: str) -> Any:
    from lancedb import index

    shared = {"distance_type": metric, "num_partitions": lists}
    if rule.method == "hnsw":
        return index.HnswFlat(**shared, m=rule.m, ef_construction=rule.ef_construction)
    if rule.method == "ivf-flat":
        return index.IvfFlat(**shared)
    return index.IvfPq(**shared, num_sub_vectors=rule.subvectors_of(dimensions), num_bits=PQ_BITS)


def _schema(dimensions: int) -> Any:
    import pyarrow as pa

    return pa.schema([pa.field("place", pa.int64()), pa.field("vector", pa.list_(pa.float32(), dimensions))])


def _batches(vectors: Vectors, progress: Progress) -> Iterator[Any]:
    import numpy as np
    import pyarrow as pa

    for start, part in vectors.parts():
        places = pa.array(np.arange(start, start + len(part)))
        rows = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), vectors.dimensions)
        yield pa.RecordBatch.from_arrays([places, rows], schema=_schema(vectors.dimensions))
        progress(start + len(part), vectors.count)
