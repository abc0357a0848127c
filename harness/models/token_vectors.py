"""Token vectors of a corpus on disk, and exact search in them by MaxSim.

MaxSim (Khattab and Zaharia 2020, arXiv 2004.12832): each token of the query takes its largest cosine to a token of the
document. A score here is the mean of these over the tokens of the query, so that it lies between -1 and 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from harness.models.search import Hits, IdOrder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Precision = Literal["float16", "int8"]
BLOCK_TOKENS = 4096
"""Document tokens that are converted to float32 and scored at once; larger blocks are no faster."""
QUERY_TOKENS = 1024
"""Query tokens of one matrix product: with a block of documents its result takes 16 MiB."""
TOKENS_FILE, SCALES_FILE, OFFSETS_FILE, IDS_FILE = "tokens.npy", "scales.npy", "offsets.npy", "doc_ids.json"


class TokenIndex:
    """Token vectors of documents, memory-mapped: document i has the rows ``offsets[i]`` to ``offsets[i + 1]``.

    Rows are float16, or int8 with a scale for each row: its largest magnitude over 127 (vector-wise quantization;
    Dettmers et al. 2022, arXiv 2208.07339). Documents are in the order in which they were written.
    """

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self.folder = folder
        self.doc_ids: list[str] = json.loads((folder / IDS_FILE).read_text(encoding="utf-8"))
        self.offsets: NDArray[np.int64] = np.load(folder / OFFSETS_FILE)
        # Copy on write, as torch takes no array that cannot be written to.
        self.tokens: NDArray[Any] = np.load(folder / TOKENS_FILE, mmap_mode="c")
        self.scales: Floats | None = np.load(folder / SCALES_FILE) if (folder / SCALES_FILE).exists() else None
        self.place = {doc_id: number for number, doc_id in enumerate(self.doc_ids)}
        self._order = IdOrder(self.doc_ids)

    @property
    def size_bytes(self) -> int:
        """Bytes of the vectors and their scales."""
        return int(self.tokens.nbytes + (self.scales.nbytes if self.scales is not None else 0))

    def rows(self, start: int, end: int) -> Floats:
        """Return stored rows in float32, shape (rows, dim)."""
        import torch

        rows: Floats = torch.from_numpy(self.tokens[start:end]).float().numpy()
        if self.scales is not None:
            rows *= self.scales[start:end, None]
        return rows

    def vectors(self, doc_id: str) -> Floats:
        """Return the vectors of a document in float32, shape (tokens, dim). Raises KeyError if it is not stored."""
        place = self.place[doc_id]
        return self.rows(int(self.offsets[place]), int(self.offsets[place + 1]))

    def search(self, queries: Sequence[Floats], depth: int) -> list[Hits]:
        """Return the `depth` best documents of each query (shape (tokens, dim)), best first, ties as trec_eval does."""
        import numpy as np

        results: list[Hits] = []
        for group in _groups([len(query) for query in queries], QUERY_TOKENS):
            stacked = np.concatenate(queries[group.start : group.stop])
            sizes = np.array([len(query) for query in queries[group.start : group.stop]])
            scores = np.empty((len(sizes), len(self.doc_ids)), np.float32)
            for block in _groups(np.diff(self.offsets).tolist(), BLOCK_TOKENS):
                bounds = self.offsets[block.start : block.stop + 1]
                rows = self.rows(int(bounds[0]), int(bounds[-1]))
                scores[:, block.start : block.stop] = scored(stacked, sizes, rows, bounds[:-1] - bounds[0])
            results += [self._order.best(row, depth) for row in scores]
        return results


def scored(queries: Floats, sizes: NDArray[Any], rows: Floats, starts: NDArray[Any]) -> Floats:
    """Return the MaxSim of queries to documents, shape (queries, documents).

    `queries` holds the tokens of all queries, `sizes` of each; `rows` the tokens of all documents, each of which begins
    at one of `starts`. Neither may have a text without tokens.
    """
    import numpy as np
    import torch

    # With documents along the rows a maximum over tokens is taken over whole rows, which is many times faster.
    products = (torch.from_numpy(rows) @ torch.from_numpy(queries).T).numpy()
    largest = np.maximum.reduceat(products, starts, axis=0)
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums = np.add.reduceat(largest, begins, axis=1)
    scores: Floats = (sums / sizes).T.astype(np.float32)
    return scores


def max_sim(query: Floats, documents: Sequence[Floats]) -> list[float]:
    """Return the MaxSim of a query to each document; all have the shape (tokens, dim)."""
    import numpy as np

    if not documents:
        return []
    sizes = np.array([len(document) for document in documents])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.concatenate(documents).astype(np.float32, copy=False)
    scores: list[float] = scored(query, np.array([len(query)]), rows, starts)[0].tolist()
    return scores


def _groups(sizes: Sequence[int], limit: int) -> Iterator[range]:
    """Yield consecutive places whose sizes add up to at most `limit`; a place that alone is larger is a group."""
    start, total = 0, 0
    for place, size in enumerate(sizes):
        if place > start and total + size > limit:
            yield range(start, place)
            start, total = place, 0
        total += size
    if start < len(sizes):
        yield range(start, len(sizes))


class TokenWriter:
    """Writes a `TokenIndex` document by document, so that never all vectors are in memory."""

    def __init__(self, folder: Path, precision: Precision) -> None:
        self.folder, self.precision = folder, precision
        self._doc_ids: list[str] = []
        self._offsets = [0]
        self._scales: list[Floats] = []
        self._dim = 0
        self._file: IO[bytes] = (folder / TOKENS_FILE).open("wb")

    def __enter__(self) -> TokenWriter:
        return self

    def __exit__(self, *raised: object) -> None:
        """Write what describes the rows; after an error the folder holds no index."""
        import numpy as np

        with self._file:
            if raised[0] is not None:
                return
            self._header()
        np.save(self.folder / OFFSETS_FILE, np.array(self._offsets, np.int64))
        if self.precision == "int8":
            np.save(self.folder / SCALES_FILE, np.concatenate(self._scales or [np.zeros(0, np.float32)]))
        (self.folder / IDS_FILE).write_text(json.dumps(self._doc_ids), encoding="utf-8")

    def add(self, doc_id: str, vectors: Floats) -> None:
        """Append a document with its vectors, shape (tokens, dim), at least one token."""
        if not self._doc_ids:
            self._dim = vectors.shape[1]
            self._header()
        self._doc_ids.append(doc_id)
        self._offsets.append(self._offsets[-1] + len(vectors))
        stored = self._converted(vectors)
        self._file.write(stored.tobytes())

    def _converted(self, vectors: Floats) -> NDArray[Any]:
        import numpy as np

        if self.precision == "float16":
            return vectors.astype(np.float16)
        scales = np.abs(vectors).max(axis=1).astype(np.float32) / 127
        self._scales.append(scales)
        return np.rint(vectors / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)

    def _header(self) -> None:
        """Write the header at the front; numpy leaves room in it for more rows."""
        import numpy as np

        shape = (self._offsets[-1], self._dim)
        described = {"descr": np.dtype(self.precision).str, "fortran_order": False, "shape": shape}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, described)
