"""Search by an index of another library: places of neighbours become ranked documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.indexes.protocol import ABSENT, Vectors
from harness.indexes.registry import open_index
from harness.models.search import SEARCH_CHUNK, DenseIndex, Hits, Placed
from harness.suite.vector_indexes import VectorIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class IndexedSearch:
    """The vectors of a corpus, and the index in the folder `built` that is searched in their place."""

    def __init__(self, dense: DenseIndex, built: Path, rule: VectorIndex) -> None:
        self._dense, self._rule = dense, rule
        self._searcher = open_index(built, rule, Vectors(dense.stored, len(dense.doc_ids)))

    def search(self, queries: NDArray[np.float32], depth: int) -> list[Hits]:
        """Return the nearest documents of each query vector (shape (queries, dim)), best first, at most `depth`.

        There may be fewer: an index reaches only what it searches. Ties go by document id, descending, among the
        documents that the index returned. Raises ValueError if the dimensions of queries and documents differ.
        """
        self._dense.check(queries)
        count = depth * max(self._rule.refine, 1)
        results: list[Hits] = []
        for start in range(0, len(queries), SEARCH_CHUNK):
            chunk = queries[start : start + SEARCH_CHUNK]
            found = self._searcher.search(chunk, count)
            for query, places, scores in zip(chunk, *found, strict=True):
                present = places != ABSENT
                if self._rule.refine:
                    results.append(self._dense.rescored(query, places[present], depth))
                else:
                    results.append(self._dense.ordered(Placed(places[present], scores[present]), depth))
        return results
