"""Vectors of documents as an index stores them: in float32, float16, int8 or binary, and with how many dimensions.

Nothing is kept beside what is stored: rescoring compares the float32 vector of a query with the stored vectors of the
documents (int8 as in sentence-transformers, binary as in BPR; Yamada et al. 2021, arXiv 2106.00882). So the files are
all that an index needs. Must not know document ids or ranking.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Places = NDArray[np.int64] | slice

ALL = slice(None)
CONVERTED = 2**28
"""Numbers in float16 that are converted to float32 at once; of more, each part is whenever it is searched."""
Precision = Literal["float32", "float16", "int8", "binary"]
QUANTIZED: tuple[Precision, ...] = ("int8", "binary")
"""Precisions whose search has a first pass with a query that is quantized too, and so can be rescored."""
STORAGE_FILE = "storage.json"
VECTORS_FILE, RANGES_FILE = "vectors.npy", "ranges.npy"
LEVELS = 255
BITS_OF_WORD = 64


class StoredVectors(Protocol):
    """Vectors in one precision; `dimensions` is their width."""

    dimensions: int

    def scores(self, queries: Floats, part: slice = ALL) -> Floats:
        """Return the scores of documents for queries of shape (queries, dim), shape (queries, documents of `part`)."""

    def restored(self, places: Places = ALL) -> Floats:
        """Return the stored vectors at some places, or all of them, in float32: shape (documents, dim)."""


def shortened(vectors: Floats, dimensions: int | None, unit_length: bool) -> Floats:
    """Return the first `dimensions` of vectors of shape (texts, dim), scaled to length 1 again if `unit_length`.

    This is how vectors of Matryoshka training are shortened (Kusupati et al. 2022, arXiv 2205.13147); the others lose
    more. None changes nothing. Raises ValueError if there are fewer dimensions.
    """
    import numpy as np

    if dimensions is None:
        return vectors
    if dimensions > vectors.shape[1]:
        raise ValueError(
            f"dimensions: {dimensions} are asked for, and the model has {vectors.shape[1]}; ask for fewer, or leave it "
            "out"
        )
    first: Floats = np.ascontiguousarray(vectors[:, :dimensions])
    if unit_length:
        first = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), np.float32(1e-12))
    return first


def save(folder: Path, vectors: Floats, precision: Precision = "float32") -> None:
    """Write vectors of shape (documents, dim) in a precision.

    int8 divides the range of each dimension over the documents into 255 steps; binary keeps the signs, a bit each.
    Raises ValueError if a number is too large for the precision.
    """
    save_parts(folder, lambda: [vectors], len(vectors), precision)


def save_parts(
    folder: Path, parts: Callable[[], Iterable[Floats]], count: int, precision: Precision = "float32"
) -> None:
    """As `save`, of `count` vectors that `parts` gives one array after the other; for int8 it is called twice."""
    import numpy as np

    ranges = _ranges(parts()) if precision == "int8" else None
    if ranges is not None:
        np.save(folder / RANGES_FILE, ranges)
    with (folder / VECTORS_FILE).open("wb") as file:
        for number, vectors in enumerate(parts()):
            rows = _as_stored(vectors, precision, ranges)
            if not number:
                if precision != "float32":
                    storage = {"precision": precision, "dimensions": vectors.shape[1]}
                    (folder / STORAGE_FILE).write_text(json.dumps(storage), encoding="utf-8")
                shape = {"descr": rows.dtype.str, "fortran_order": False, "shape": (count, rows.shape[1])}
                np.lib.format.write_array_header_1_0(file, shape)
            file.write(rows.tobytes())


def _ranges(parts: Iterable[Floats]) -> Floats:
    """Return the least and the greatest number of each dimension, shape (2, dim)."""
    import numpy as np

    each = [np.stack([vectors.min(axis=0), vectors.max(axis=0)]) for vectors in parts]
    return np.stack([np.min(each, axis=0)[0], np.max(each, axis=0)[1]])


def _as_stored(vectors: Floats, precision: Precision, ranges: Floats | None) -> NDArray[Any]:
    import numpy as np

    if precision == "int8":
        from sentence_transformers.util.quantization import quantize_embeddings

        codes: NDArray[Any] = quantize_embeddings(vectors, "int8", ranges=ranges)
        return codes
    if precision == "binary":
        return np.packbits(vectors > 0, axis=1)
    largest = float(np.abs(vectors).max(initial=0.0))
    if largest > float(np.finfo(precision).max):
        # A cast would make it infinite, and scores of it NaN.
        raise ValueError(f"precision: {precision} holds no number as large as {largest:.3g}; use float32 or int8")
    return vectors.astype(precision, copy=False)


def load(folder: Path) -> StoredVectors:
    """Load what `save` wrote; vectors stay on the disk, and are read where they are searched."""
    import numpy as np

    path = folder / STORAGE_FILE
    storage: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    # Copied on write: torch warns of arrays that cannot be written to. Nothing is written.
    vectors = np.load(folder / VECTORS_FILE, mmap_mode="c")
    if storage.get("precision") == "int8":
        return Int8Vectors(vectors, np.load(folder / RANGES_FILE))
    if storage.get("precision") == "binary":
        return BinaryVectors(vectors, storage["dimensions"])
    return FloatVectors(vectors)


class FloatVectors:
    """Vectors in float32 or float16. Those in float16 are half as large in storage, and float32 in memory."""

    def __init__(self, vectors: NDArray[Any]) -> None:
        import numpy as np

        self.dimensions = vectors.shape[1]
        few = vectors.size <= CONVERTED
        self._vectors: NDArray[Any] = vectors.astype(np.float32, copy=False) if few else vectors

    def scores(self, queries: Floats, part: slice = ALL) -> Floats:
        """Return inner products."""
        import torch

        scores: Floats = (torch.from_numpy(queries) @ torch.from_numpy(self.restored(part)).T).numpy()
        return scores

    def restored(self, places: Places = ALL) -> Floats:
        """Return the vectors."""
        import numpy as np

        vectors: Floats = self._vectors[places].astype(np.float32, copy=False)
        return vectors


class Int8Vectors:
    """Vectors as codes in int8, of shape (documents, dim), with the `ranges` of each dimension, shape (2, dim).

    A code c of dimension d stands for start_d + (c + 128) step_d. So the inner product with a query q is a constant of
    the query plus the sum of (q_d step_d) c_d. The first pass rounds the factors q_d step_d to int8, all by one scale,
    and multiplies whole numbers.
    """

    def __init__(self, codes: NDArray[np.int8], ranges: Floats) -> None:
        import numpy as np
        import torch

        self.dimensions = codes.shape[1]
        self._codes = codes
        self._matrix = torch.from_numpy(codes)
        # 0 in a dimension that never changes: all of its value is in the start.
        self._steps: Floats = (ranges[1] - ranges[0]) / np.float32(LEVELS)
        self._starts: Floats = ranges[0] + 128 * self._steps

    def scores(self, queries: Floats, part: slice = ALL) -> Floats:
        """Return inner products with queries whose weights are rounded to int8, in float32."""
        import numpy as np
        import torch

        weights = queries * self._steps
        scales = np.maximum(np.abs(weights).max(axis=1, keepdims=True) / 127, np.float32(1e-30))
        whole = torch._int_mm(torch.from_numpy(np.rint(weights / scales).astype(np.int8)), self._matrix[part].T)
        scores: Floats = whole.float().numpy()
        scores *= scales
        scores += queries @ self._starts[:, None]
        return scores

    def restored(self, places: Places = ALL) -> Floats:
        """Return the values that the codes stand for."""
        import numpy as np

        values: Floats = self._codes[places].astype(np.float32) * self._steps + self._starts
        return values


class BinaryVectors:
    """The signs of vectors, packed into bytes: shape (documents, ceil(dim / 8)).

    They stand for vectors of length 1 whose components all have the same size. The first pass compares them with the
    signs of the query by their Hamming distance h: the score is (dim - 2 h) / dim, the cosine of both vectors of signs.
    """

    def __init__(self, signs: NDArray[np.uint8], dimensions: int) -> None:
        import numpy as np

        self.dimensions = dimensions
        self._signs = signs
        # Word by word over all documents, which is several times as fast as document by document.
        self._words = np.ascontiguousarray(self._as_words(signs).T)

    def _as_words(self, signs: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Return packed signs as words of 64 bits, shape (documents, ceil(dim / 64)); the rest is filled with 0."""
        import numpy as np

        width = -(-self.dimensions // BITS_OF_WORD) * BITS_OF_WORD // 8
        padded = np.zeros((len(signs), width), dtype=np.uint8)
        padded[:, : signs.shape[1]] = signs
        return padded.view(np.uint64)

    def scores(self, queries: Floats, part: slice = ALL) -> Floats:
        """Return cosines of signs."""
        import numpy as np

        of_part = self._words[:, part]
        distances = np.zeros((len(queries), of_part.shape[1]), dtype=np.int32)
        for row, query in zip(distances, self._as_words(np.packbits(queries > 0, axis=1)), strict=True):
            for words, word in zip(of_part, query, strict=True):
                row += np.bitwise_count(words ^ word)
        scores: Floats = (self.dimensions - 2 * distances).astype(np.float32) / np.float32(self.dimensions)
        return scores

    def restored(self, places: Places = ALL) -> Floats:
        """Return the vectors of length 1 that the signs stand for."""
        import numpy as np

        signs = np.unpackbits(self._signs[places], axis=1, count=self.dimensions).astype(np.float32)
        values: Floats = (2 * signs - 1) / np.float32(np.sqrt(self.dimensions))
        return values
