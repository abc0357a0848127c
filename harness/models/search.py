"""Exact search in dense and BM25 indexes, with ties in trec_eval's order (score, then document id, descending)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.models import stored_vectors
from harness.models.stored_vectors import BinaryVectors, Int8Vectors, Precision
from harness.text import ENGLISH, text_of
from harness.values.records import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Hits = list[tuple[str, float]]
SEARCH_CHUNK = 256
NO_WORD = "\0"
LANGUAGE_FILE = "language.json"
IDS_FILE = "doc_ids.json"


class IdOrder:
    """Orders documents by score; ties go by document id, descending, as in trec_eval."""

    def __init__(self, doc_ids: Sequence[str]) -> None:
        import numpy as np

        self.doc_ids = doc_ids
        order = sorted(range(len(doc_ids)), key=lambda place: doc_ids[place], reverse=True)
        self._id_rank = np.empty(len(order), dtype=np.int64)
        self._id_rank[order] = np.arange(len(order))

    def places(self, scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
        """Return the places of the `depth` best documents, best first; `scores` has the score of every document."""
        import numpy as np

        if not len(scores):
            return np.empty(0, dtype=np.int64)
        # Every document that ties with the last one that is in takes part in the ordering by id.
        border = np.partition(scores, -depth)[-depth] if depth < len(scores) else scores.min()
        places: NDArray[np.int64] = np.flatnonzero(scores >= border)
        return places[np.lexsort((self._id_rank[places], -scores[places]))[:depth]]

    def best(self, scores: NDArray[np.float32], depth: int) -> Hits:
        """Return the `depth` best documents, best first; `scores` has the score of every document."""
        return [(self.doc_ids[place], float(scores[place])) for place in self.places(scores, depth)]

    def best_of(self, places: NDArray[np.int64], scores: NDArray[np.float32], depth: int) -> Hits:
        """Return the `depth` best of the documents at `places`, whose scores have the same order."""
        import numpy as np

        order = np.lexsort((self._id_rank[places], -scores))[:depth]
        return [(self.doc_ids[places[number]], float(scores[number])) for number in order]


class DenseIndex:
    """Vectors of a corpus, shape (documents, dim), searched exhaustively by inner product, as they are stored.

    Vectors have length 1 unless the model ranks by dot product.
    """

    def __init__(self, folder: Path) -> None:
        self.doc_ids: list[str] = json.loads((folder / IDS_FILE).read_text(encoding="utf-8"))
        self.stored = stored_vectors.load(folder)
        self._order = IdOrder(self.doc_ids)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors that are stored, in float32, in the order of `doc_ids`."""
        return self.stored.restored()

    @staticmethod
    def save(
        folder: Path, doc_ids: Sequence[str], vectors: NDArray[np.float32], precision: Precision = "float32"
    ) -> None:
        """Write an index of vectors in a precision."""
        stored_vectors.save(folder, vectors, precision)
        (folder / IDS_FILE).write_text(json.dumps(list(doc_ids)), encoding="utf-8")

    def search(self, queries: NDArray[np.float32], depth: int, rescore: int = 0) -> list[Hits]:
        """Return the `depth` nearest documents of each query vector (shape (queries, dim)), best first.

        Search in int8 and binary vectors rounds the query, too. With `rescore` above 0 the first `rescore` x `depth`
        documents are ranked anew by the inner products of the query as it is with the stored vectors. Raises
        ValueError if the dimensions of queries and documents differ.
        """
        if queries.shape[1] != self.stored.dimensions:
            raise ValueError(
                f"queries have {queries.shape[1]} dimensions and the index {self.stored.dimensions}; index the corpus "
                "with the same settings"
            )
        results: list[Hits] = []
        rescored = rescore > 0 and isinstance(self.stored, Int8Vectors | BinaryVectors)
        for start in range(0, len(queries), SEARCH_CHUNK):
            chunk = queries[start : start + SEARCH_CHUNK]
            for query, scores in zip(chunk, self.stored.scores(chunk), strict=True):
                if rescored:
                    places = self._order.places(scores, depth * rescore)
                    results.append(self._order.best_of(places, self.stored.restored(places) @ query, depth))
                else:
                    results.append(self._order.best(scores, depth))
        return results


class Bm25Index:
    """A bm25s index over the stemmed words of a language, which is stored with it; see `harness.text.tokens`."""

    def __init__(self, folder: Path) -> None:
        import bm25s

        written = folder / LANGUAGE_FILE
        self.language: str = json.loads(written.read_text(encoding="utf-8")) if written.exists() else ENGLISH

        self.doc_ids: list[str] = json.loads((folder / IDS_FILE).read_text(encoding="utf-8"))
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
        (folder / IDS_FILE).write_text(json.dumps([document.doc_id for document in documents]), encoding="utf-8")

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
