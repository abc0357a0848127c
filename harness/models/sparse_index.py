"""Inverted file of weighted terms, as learned sparse models give them (SPLADE; Formal et al. 2021, arXiv 2109.10086).

Search is exact: the score of a document is the inner product of its weights and the query's. Must not know models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.models.search import IDS_FILE, SEARCH_CHUNK, Hits, IdOrder

WEIGHTS_FILE = "weights.npz"


class SparseIndex:
    """The documents of each term with their weights: a sparse matrix of shape (terms, documents) in float32."""

    def __init__(self, folder: Path) -> None:
        from scipy.sparse import load_npz

        self.doc_ids: list[str] = json.loads((folder / IDS_FILE).read_text(encoding="utf-8"))
        self._postings = load_npz(folder / WEIGHTS_FILE)
        self._order = IdOrder(self.doc_ids)

    @staticmethod
    def save(folder: Path, doc_ids: Sequence[str], weights: Any) -> None:
        """Write an index of `weights`: a scipy sparse matrix of shape (documents, terms)."""
        import numpy as np
        from scipy.sparse import csr_array, save_npz

        save_npz(folder / WEIGHTS_FILE, csr_array(weights.T, dtype=np.float32), compressed=False)
        (folder / IDS_FILE).write_text(json.dumps(list(doc_ids)), encoding="utf-8")

    def search(self, queries: Any, depth: int) -> list[Hits]:
        """Return the `depth` best documents of each query, best first; those without a term of it are left out.

        `queries` is a scipy sparse matrix of shape (queries, terms). Raises ValueError if the terms are not those of
        the index.
        """
        if queries.shape[1] != self._postings.shape[0]:
            raise ValueError(
                f"queries have {queries.shape[1]} terms and the index {self._postings.shape[0]}; index the corpus with "
                "the same model"
            )
        results: list[Hits] = []
        for start in range(0, queries.shape[0], SEARCH_CHUNK):
            # Only the documents of the query's terms are touched; every other score is 0.
            scores = (queries[start : start + SEARCH_CHUNK] @ self._postings).toarray()
            results += [[hit for hit in self._order.best(row, depth) if hit[1] > 0] for row in scores]
        return results
