"""What every library of indexes is given and gives: stored vectors in, places of neighbours out.

Must not know document ids, ranking or stages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from harness.suite.vector_indexes import PGVECTOR_DIMENSIONS, PQ_BITS, VectorIndex
from harness.values.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.models.stored_vectors import StoredVectors

    Floats = NDArray[np.float32]

ABSENT = -1
"""The place of a neighbour that was not found."""
BUILT_FILE = "built.json"
PART = 16_384
"""Vectors in memory at once while an index is built."""
UNIT = 1e-4
"""How much the length of a vector may differ from 1 for cosines and inner products to give one order."""
CHECKED = 16


class Neighbours(NamedTuple):
    """Places and scores of neighbours, best first, both of shape (queries, count); `ABSENT` where fewer were found."""

    places: NDArray[np.int64]
    scores: Floats


class Built(NamedTuple):
    """What is known of an index that was built; sizes in bytes, None where the library does not tell them.

    `cosine`: neighbours are sought by cosine, as all vectors have length 1; otherwise by inner product. `name` is that
    of the table or collection of a server. `lists` is 0 for methods without lists. `found`: the server had it already;
    `before` are the seconds that it took then, and is 0 if nobody knows. These two are not kept.
    """

    passages: int
    dimensions: int
    cosine: bool
    lists: int = 0
    name: str = ""
    size_bytes: int | None = None
    memory_bytes: int | None = None
    found: bool = False
    before: float = 0.0

    def write(self, folder: Path) -> None:
        kept = {name: value for name, value in self._asdict().items() if name not in ("found", "before")}
        (folder / BUILT_FILE).write_text(json.dumps(kept), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Built:
        return cls(**json.loads((folder / BUILT_FILE).read_text(encoding="utf-8")))


class Vectors:
    """The vectors of an index, read part by part."""

    def __init__(self, stored: StoredVectors, count: int) -> None:
        self.stored, self.count, self.dimensions = stored, count, stored.dimensions

    def parts(self) -> Iterator[tuple[int, Floats]]:
        """Yield the place of the first vector of each part, and the part, float32, shape (vectors, dimensions)."""
        for start in range(0, self.count, PART):
            yield start, self.stored.restored(slice(start, min(start + PART, self.count)))

    def sample(self, most: int, seed: int = 0) -> Floats:
        """Return vectors to train on, drawn without repetition: all of them if there are no more than `most`."""
        import numpy as np

        if self.count <= most:
            return self.stored.restored(slice(0, self.count))
        places = np.sort(np.random.default_rng(seed).choice(self.count, most, replace=False))
        return self.stored.restored(places)

    @cached_property
    def unit_length(self) -> bool:
        """Whether all vectors have length 1."""
        import numpy as np

        return all(bool(np.abs(np.linalg.norm(part, axis=1) - 1).max(initial=0.0) <= UNIT) for _, part in self.parts())

    @cached_property
    def digest(self) -> str:
        """A digest of all vectors: what names their table on a server."""
        whole = hashlib.sha256(str(self.dimensions).encode())
        for _, part in self.parts():
            whole.update(part.tobytes())
        return whole.hexdigest()

    def checked(self) -> dict[int, Floats]:
        """Return some vectors by their places, spread evenly: what a server holds is compared with them."""
        import numpy as np

        places = np.unique(np.linspace(0, self.count - 1, CHECKED).astype(np.int64))
        return dict(zip(places.tolist(), self.stored.restored(places), strict=True))


class Searcher(Protocol):
    """An index that is open."""

    def search(self, queries: Floats, count: int) -> Neighbours:
        """Return the nearest neighbours of queries of shape (queries, dimensions)."""


class Library(Protocol):
    """A kind of index."""

    def unreachable(self, rule: VectorIndex) -> tuple[str, str] | None:
        """Return why the server of an index cannot be used, and what to do; None if it can, or if there is none."""

    def build(self, vectors: Vectors, rule: VectorIndex, folder: Path, progress: Progress) -> Built:
        """Build an index of vectors, in the folder or on a server.

        Raises ValueError where it cannot be built of them, with what to do.
        """

    def open(self, folder: Path, rule: VectorIndex, built: Built, vectors: Vectors) -> Searcher:
        """Open what was built in a folder, or on a server, which gets it again from `vectors` if it lost it."""


class ServerLibrary(Library, Protocol):
    """A kind of index that a server may hold, under a name of its own."""

    def drop(self, rule: VectorIndex, name: str) -> bool:
        """Delete what a server holds under a name; return whether there was anything. Raises ValueError as `open`."""


def wrong_dimensions(rule: VectorIndex, dimensions: int) -> tuple[str, str] | None:
    """Return why vectors of so many dimensions cannot be indexed, and what to do; None if they can."""
    if rule.kind == "pgvector" and rule.method != "flat" and dimensions > PGVECTOR_DIMENSIONS:
        what = f"pgvector indexes up to {PGVECTOR_DIMENSIONS:,} dimensions, and the vectors have {dimensions:,}"
        return what, f"set pipeline.retriever.dimensions: {PGVECTOR_DIMENSIONS} or fewer, or use method: flat"
    if rule.method == "ivf-pq" and dimensions % rule.subvectors_of(dimensions):
        what = f"'subvectors' is {rule.subvectors}, which does not divide the {dimensions} dimensions"
        return what, "choose a divisor, or leave it out"
    return None


def check(vectors: Vectors, rule: VectorIndex) -> None:
    """Raise ValueError if there are too few vectors, or if their dimensions do not fit the settings."""
    count = vectors.count
    if not count:
        raise ValueError("there is nothing to index; add documents")
    if (rule.lists or 0) > count:
        what = f"'lists' is {rule.lists}, and there are {count} passages"
        raise ValueError(f"{what}; ask for fewer lists, or leave it out")
    if rule.method == "ivf-pq" and count < 2**PQ_BITS:
        what = f"method ivf-pq is trained on at least {2**PQ_BITS} vectors, and there are {count} passages"
        raise ValueError(f"{what}; use method: hnsw")
    if wrong := wrong_dimensions(rule, vectors.dimensions):
        raise ValueError("; ".join(wrong))
