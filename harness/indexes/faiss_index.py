"""FAISS (Douze et al., arXiv 2401.08281): indexes in the memory of this process."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.indexes.protocol import Built, Neighbours, Vectors, check
from harness.suite.vector_indexes import PQ_BITS, VectorIndex
from harness.values.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

INDEX_FILE = "index.faiss"
PER_CLUSTER = 256
"""Vectors that train one cluster; FAISS itself takes no more."""


class Faiss:
    """Builds and opens FAISS indexes. Inner products: vectors of length 1 have been scaled by the encoder."""

    def unreachable(self, rule: VectorIndex) -> tuple[str, str] | None:
        return None

    def build(self, vectors: Vectors, rule: VectorIndex, folder: Path, progress: Progress) -> Built:
        import faiss

        check(vectors, rule)
        lists = rule.lists_of(vectors.count) if rule.method.startswith("ivf") else 0
        index = _empty(rule, vectors.dimensions, lists)
        if not index.is_trained:
            index.train(vectors.sample(PER_CLUSTER * max(lists, 2**PQ_BITS)))
        for start, part in vectors.parts():
            index.add(part)
            progress(start + len(part), vectors.count)
        path = folder / INDEX_FILE
        faiss.write_index(index, str(path))
        size = path.stat().st_size
        # All of the file is read into memory.
        return Built(vectors.count, vectors.dimensions, vectors.unit_length, lists, "", size, size)

    def open(self, folder: Path, rule: VectorIndex, built: Built, vectors: Vectors) -> FaissSearcher:
        import faiss

        return FaissSearcher(faiss.read_index(str(folder / INDEX_FILE)), rule, built)


class FaissSearcher:
    """A FAISS index with the settings that its searches have."""

    def __init__(self, index: Any, rule: VectorIndex, built: Built) -> None:
        self._index, self._rule, self._built = index, rule, built
        if built.lists:
            # FAISS itself would search a single list.
            index.nprobe = rule.probes_of(built.lists)

    def search(self, queries: Floats, count: int) -> Neighbours:
        count = min(count, self._built.passages)
        if self._rule.method == "hnsw":
            self._index.hnsw.efSearch = max(self._rule.ef_search, count)
        scores, places = self._index.search(queries, count)
        return Neighbours(places, scores)


def _empty(rule: VectorIndex, dimensions: int, lists: int) -> Any:
    """Return an index without vectors. The metric is given each time: the default is the Euclidean distance."""
    faiss: Any = importlib.import_module("faiss")
    metric = faiss.METRIC_INNER_PRODUCT
    if rule.method == "flat":
        return faiss.IndexFlat(dimensions, metric)
    if rule.method == "flat-int8":
        return faiss.IndexScalarQuantizer(dimensions, faiss.ScalarQuantizer.QT_8bit, metric)
    if rule.method == "hnsw":
        index = faiss.IndexHNSWFlat(dimensions, rule.m, metric)
        index.hnsw.efConstruction = rule.ef_construction
        return index
    quantizer = faiss.IndexFlat(dimensions, metric)
    if rule.method == "ivf-flat":
        index = faiss.IndexIVFFlat(quantizer, dimensions, lists, metric)
    else:
        index = faiss.IndexIVFPQ(quantizer, dimensions, lists, rule.subvectors_of(dimensions), PQ_BITS, metric)
        index.pq.cp.min_points_per_centroid = 1
    # Below 39 vectors for each list FAISS writes warnings to the terminal; the report shows what is lost.
    index.cp.min_points_per_centroid = 1
    return index
