"""Exact search in dense and BM25 indexes, with ties in trec_eval's order (score, then document id, descending)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.text import ENGLISH, text_of
from harness.values.records import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Hits = list[tuple[str, float]]
SEARCH_CHUNK = 256
NO_WORD = "\0"
LANGUAGE_FILE = "language.json"


class IdOrder:
    """Orders documents by score; ties go by document id, descending, as in trec_eval."""

    def __init__(self, doc_ids: Sequence[str]) -> None:
        import numpy as np

        self.doc_ids = doc_ids
        order = sorted(range(len(doc_ids)), key=lambda place: doc_ids[place], reverse=True)
        self._id_rank = np.empty(len(order), dtype=np.int64)
        self._id_rank[order] = np.arange(len(order))

    def best(self, scores: NDArray[np.float32], depth: int) -> Hits:
        """Return the `depth` best documents, best first; `scores` has the score of every document."""
        import numpy as np

        if not len(scores):
            return []
        # Every document that ties with the last one that is in takes part in the ordering by id.
        border = np.partition(scores, -depth)[-depth] if depth < len(scores) else scores.min()
        places = np.flatnonzero(scores >= border)
        best = places[np.lexsort((self._id_rank[places], -scores[places]))[:depth]]
        return [(self.doc_ids[place], float(scores[place])) for place in best]


class DenseIndex:
    """Vectors of a corpus, shape (documents, dim), searched exhaustively by inner product.

    Vectors have length 1 unless the model ranks by dot product.
    """

    def __init__(self, folder: Path) -> None:
        import numpy as np
        import torch

        self.doc_ids: list[str] = json.loads((folder / "doc_ids.json").read_text(encoding="utf-8"))
        self.vectors: NDArray[np.float32] = np.load(folder / "vectors.npy")
        self._matrix = torch.from_numpy(self.vectors)
        self._order = IdOrder(self.doc_ids)

    @staticmethod
    def save(folder: Path, doc_ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        import numpy as np

        np.save(folder / "vectors.npy", vectors)
        (folder / "doc_ids.json").write_text(json.dumps(list(doc_ids)), encoding="utf-8")

    def search(self, queries: NDArray[np.float32], depth: int) -> list[Hits]:
        """Return the `depth` nearest documents of each query vector (shape (queries, dim)), best first."""
        import torch

        results: list[Hits] = []
        for start in range(0, len(queries), SEARCH_CHUNK):
            scores = (torch.from_numpy(queries[start : start + SEARCH_CHUNK]) @ self._matrix.T).numpy()
            results += [self._order.best(row, depth) for row in scores]
        return results


class Bm25Index:
    """A bm25s index over the stemmed words of a language, which is stored with it; see `harness.text.tokens`."""

    def __init__(self, folder: Path) -> None:
        import bm25s

        written = folder / LANGUAGE_FILE
        self.language: str = json.loads(written.read_text(encoding="utf-8")) if written.exists() else ENGLISH

        self.doc_ids: list[str] = json.loads((folder / "doc_ids.json").read_text(encoding="utf-8"))
        self.place = {doc_id: number for number, doc_id in enumerate(self.doc_ids)}
        self._bm25 = bm25s.BM25.load(str(folder / "bm25"), load_corpus=False)

    @staticmethod
    def save(folder: Path, documents: Sequence[Document], language: str = ENGLISH) -> None:
        import bm25s

        retriever = bm25s.BM25()
        tokens = text_of(language).search([document.content for document in documents])
        # bm25s cannot index nothing; nobody asks for this word.
        retriever.index(tokens if any(tokens) else [[NO_WORD] for _ in documents], show_progress=False)
        if language != ENGLISH:
            (folder / LANGUAGE_FILE).write_text(json.dumps(language), encoding="utf-8")
        retriever.save(str(folder / "bm25"), corpus=None, show_progress=False)
        (folder / "doc_ids.json").write_text(json.dumps([document.doc_id for document in documents]), encoding="utf-8")

    def search(self, queries: Sequence[str], depth: int) -> list[Hits]:
        """Return the `depth` best documents of each query; documents that share no word with it are left out."""
        return [self._search_one(tokens, depth) for tokens in text_of(self.language).search(queries)]

    def scores(self, query: str) -> NDArray[np.float32]:
        """Return the score of every document, shape (documents,), as `doc_ids` are ordered; 0 without a shared word."""
        (tokens,) = text_of(self.language).search([query])
        return self._scores(tokens)

    def _scores(self, tokens: list[str]) -> NDArray[np.float32]:
        import numpy as np

        # bm25s asks for at least one known token, and gives a score to every document, most of them zero.
        known = [token for token in tokens if token in self._bm25.vocab_dict]
        if not known:
            return np.zeros(len(self.doc_ids), dtype=np.float32)
        results: NDArray[np.float32] = self._bm25.get_scores(known)
        return results

    def _search_one(self, tokens: list[str], depth: int) -> Hits:
        import numpy as np

        scores = self._scores(tokens)
        places = np.flatnonzero(scores > 0)
        if len(places) > depth:
            border = np.partition(scores[places], -depth)[-depth]
            places = places[scores[places] >= border]
        ranked = sorted(((self.doc_ids[place], float(scores[place])) for place in places), reverse=True)
        ranked.sort(key=lambda hit: -hit[1])
        return ranked[:depth]
