"""Exact search in dense and BM25 indexes, with ties in trec_eval's order (score, then document id, descending)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.models import stored_vectors
from harness.models.stored_vectors import BinaryVectors, Int8Vectors, Precision
from harness.text import ENGLISH, text_of
from harness.values.records import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Hits = list[tuple[str, float]]
SEARCH_CHUNK = 256
SEARCH_PART = 131_072
"""Documents whose scores are in memory at once, for `SEARCH_CHUNK` queries: 128 MiB."""
NO_WORD = "\0"
LANGUAGE_FILE = "language.json"
IDS_FILE = "doc_ids.json"


class Placed(NamedTuple):
    """Places of documents in an index, and the score of each, best first."""

    places: NDArray[np.int64]
    scores: NDArray[np.float32]


class IdOrder:
    """Orders documents by score; ties go by document id, descending, as in trec_eval."""

    def __init__(self, doc_ids: Sequence[str]) -> None:
        import numpy as np

        self.doc_ids = doc_ids
        order = sorted(range(len(doc_ids)), key=lambda place: doc_ids[place], reverse=True)
        self._id_rank = np.empty(len(order), dtype=np.int64)
        self._id_rank[order] = np.arange(len(order))

    def places(self, scores: NDArray[np.float32], depth: int, start: int = 0) -> NDArray[np.int64]:
        """Return the places of the `depth` best documents, best first.

        `scores` has the score of every document, or of those that lie one after the other from the place `start`.
        """
        import numpy as np

        if not len(scores):
            return np.empty(0, dtype=np.int64)
        # Every document that ties with the last one that is in takes part in the ordering by id.
        border = np.partition(scores, -depth)[-depth] if depth < len(scores) else scores.min()
        places: NDArray[np.int64] = np.flatnonzero(scores >= border)
        return start + places[np.lexsort((self._id_rank[start + places], -scores[places]))[:depth]]

    def best(self, scores: NDArray[np.float32], depth: int) -> Hits:
        """Return the `depth` best documents, best first; `scores` has the score of every document."""
        return [(self.doc_ids[place], float(scores[place])) for place in self.places(scores, depth)]

    def first(self, places: NDArray[np.int64], scores: NDArray[np.float32], depth: int) -> Placed:
        """Return the places of the `depth` best of the documents at `places`, and their scores, best first."""
        import numpy as np

        order = np.lexsort((self._id_rank[places], -scores))[:depth]
        return Placed(places[order], scores[order])

    def best_of(self, places: NDArray[np.int64], scores: NDArray[np.float32], depth: int) -> Hits:
        """Return the `depth` best of the documents at `places`, whose scores have the same order."""
        return self.hits(self.first(places, scores, depth))

    def hits(self, placed: Placed) -> Hits:
        """Return documents at places with their scores, in the same order."""
        return [(self.doc_ids[place], float(score)) for place, score in zip(*placed, strict=True)]


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
        DenseIndex.save_parts(folder, doc_ids, lambda: [vectors], precision)

    @staticmethod
    def save_parts(
        folder: Path,
        doc_ids: Sequence[str],
        parts: Callable[[], Iterable[NDArray[np.float32]]],
        precision: Precision = "float32",
    ) -> None:
        """Write an index of vectors that come in parts, which `parts` gives one after the other."""
        stored_vectors.save_parts(folder, parts, len(doc_ids), precision)
        (folder / IDS_FILE).write_text(json.dumps(list(doc_ids)), encoding="utf-8")

    def search(self, queries: NDArray[np.float32], depth: int, rescore: int = 0) -> list[Hits]:
        """Return the `depth` nearest documents of each query vector (shape (queries, dim)), best first.

        Search in int8 and binary vectors rounds the query, too. With `rescore` above 0 the first `rescore` x `depth`
        documents are ranked anew by the inner products of the query as it is with the stored vectors. Raises
        ValueError if the dimensions of queries and documents differ.
        """
        self.check(queries)
        rescored = rescore > 0 and isinstance(self.stored, Int8Vectors | BinaryVectors)
        if rescored and depth * rescore >= len(self.doc_ids):
            return self._exactly(queries, depth)
        results: list[Hits] = []
        for start in range(0, len(queries), SEARCH_CHUNK):
            chunk = queries[start : start + SEARCH_CHUNK]
            for query, placed in zip(chunk, self._nearest(chunk, depth * rescore if rescored else depth), strict=True):
                results.append(self.rescored(query, placed.places, depth) if rescored else self._order.hits(placed))
        return results

    def _exactly(self, queries: NDArray[np.float32], depth: int) -> list[Hits]:
        """Search by the inner products of all stored vectors with the queries as they are, part by part."""

        def scores(chunk: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
            products: NDArray[np.float32] = chunk @ self.stored.restored(part).T
            return products

        chunks = (queries[start : start + SEARCH_CHUNK] for start in range(0, len(queries), SEARCH_CHUNK))
        return [self._order.hits(placed) for chunk in chunks for placed in self._nearest(chunk, depth, scores)]

    def check(self, queries: NDArray[np.float32]) -> None:
        """Raise ValueError if the dimensions of queries and documents differ."""
        if queries.shape[1] != self.stored.dimensions:
            raise ValueError(
                f"queries have {queries.shape[1]} dimensions and the index {self.stored.dimensions}; index the corpus "
                "with the same settings"
            )

    def rescored(self, query: NDArray[np.float32], places: NDArray[np.int64], depth: int) -> Hits:
        """Return the `depth` best of the documents at `places` by the inner products of their stored vectors."""
        return self._order.best_of(places, self.stored.restored(places) @ query, depth)

    def ordered(self, placed: Placed, depth: int) -> Hits:
        """Return the `depth` best of documents that another index found, ties in trec_eval's order."""
        return self._order.best_of(*placed, depth)

    def _nearest(
        self,
        queries: NDArray[np.float32],
        depth: int,
        scores_of: Callable[[NDArray[np.float32], slice], Iterable[NDArray[np.float32]]] | None = None,
    ) -> list[Placed]:
        """Search part by part, so that memory is bounded however many documents there are."""
        import numpy as np

        scores_of = scores_of or self.stored.scores

        nothing = Placed(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
        best = [nothing] * len(queries)
        for start in range(0, len(self.doc_ids), SEARCH_PART):
            of_part = scores_of(queries, slice(start, start + SEARCH_PART))
            for number, scores in enumerate(of_part):
                places = self._order.places(scores, depth, start)
                placed = Placed(places, scores[places - start])
                if start:
                    places = np.concatenate([best[number].places, placed.places])
                    placed = self._order.first(places, np.concatenate([best[number].scores, placed.scores]), depth)
                best[number] = placed
        return best


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
