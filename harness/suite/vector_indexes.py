"""How dense vectors are indexed and searched: by FAISS, LanceDB, Qdrant or pgvector, and by which method.

A value of `pipeline.retriever.index`. Knows what goes together, and nothing of how an index is built.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.suite.addresses import Address
from harness.suite.fields import Count, Positive, Spec

IndexLibrary = Literal["faiss", "lancedb", "qdrant", "pgvector"]
Method = Literal["flat", "flat-int8", "hnsw", "ivf-flat", "ivf-pq"]
METHODS: Mapping[IndexLibrary, tuple[Method, ...]] = {
    "faiss": ("flat", "flat-int8", "hnsw", "ivf-flat", "ivf-pq"),
    "lancedb": ("flat", "hnsw", "ivf-flat", "ivf-pq"),
    "qdrant": ("flat", "hnsw"),
    "pgvector": ("flat", "hnsw", "ivf-flat"),
}
OF_METHOD: Mapping[str, tuple[Method, ...]] = {
    "m": ("hnsw",), "ef_construction": ("hnsw",), "ef_search": ("hnsw",), "lists": ("ivf-flat", "ivf-pq"),
    "probes": ("ivf-flat", "ivf-pq"), "subvectors": ("ivf-pq",), "refine": ("flat-int8", "ivf-pq"),
}  # fmt: skip
"""Settings that have a meaning for some methods alone."""
OF_SEARCH = ("ef_search", "probes", "refine")
"""Settings that change how an index is searched and not how it is built."""
SERVERS: tuple[IndexLibrary, ...] = ("qdrant", "pgvector")
"""Libraries that ask a server, at `address`."""
PGVECTOR_DIMENSIONS = 2000
"""The most dimensions of a vector that pgvector indexes."""
PQ_BITS = 8
"""Bits of the code of a subvector; so 256 vectors are the fewest that ``ivf-pq`` can be trained on."""


class VectorIndex(Spec):
    """An index of dense vectors, in place of exact search.

    ``flat``: every vector is compared. ``flat-int8``: every vector, as codes of 8 bits a dimension. ``hnsw``: a graph
    (Malkov and Yashunin, arXiv 1603.09320) in which each vector has `m` links; `ef_construction` and `ef_search` bound
    the candidates while it is built and searched; never fewer than are asked for are searched. ``ivf-flat``: vectors
    in `lists` clusters, of which the nearest `probes` are searched. ``ivf-pq``: the same, and a code of 8 bits for each
    of `subvectors` parts of a vector (Jégou et al., TPAMI 2011).

    Without `lists` they are the square root of the number of vectors, without `probes` that of the number of lists,
    without `subvectors` one for 8 dimensions. With `refine` above 0, so many times as many passages as are wanted are
    scored again with the stored vectors. `address` is that of a server, without a user or a password: these come from
    the environment.
    """

    kind: IndexLibrary
    method: Method = "hnsw"
    m: Annotated[int, Field(ge=2, le=100, strict=True)] = 16
    ef_construction: Annotated[int, Field(ge=4, le=1000, strict=True)] = 100
    ef_search: Annotated[int, Field(ge=1, le=1000, strict=True)] = 100
    lists: Annotated[int, Field(ge=1, le=32768, strict=True)] | None = None
    probes: Positive | None = None
    subvectors: Positive | None = None
    refine: Count = 0
    address: Address | None = None

    @model_validator(mode="after")
    def _fits(self) -> VectorIndex:
        methods = METHODS[self.kind]
        if self.method not in methods:
            raise ValueError(f"'method' may be {' or '.join(methods)} for kind {self.kind}, not {self.method}")
        for name, meant in OF_METHOD.items():
            if self.method not in meant and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name!r} has no meaning for method {self.method}")
        if self.ef_construction < 2 * self.m and self.method == "hnsw":
            raise ValueError(f"'ef_construction' should be at least twice 'm', which is {self.m}")
        if self.lists is not None and (self.probes or 0) > self.lists:
            raise ValueError(f"'probes' may be at most 'lists', which is {self.lists}")
        if self.address is not None and self.kind not in SERVERS:
            raise ValueError(f"'address' has no meaning for kind {self.kind}, which is searched in this process")
        if self.address is None and self.kind == "pgvector":
            raise ValueError("kind pgvector needs 'address', such as postgresql://host:5432/database")
        return self

    def key_settings(self) -> dict[str, Any]:
        """Return the settings that keys are made of: not where a server is, which changes no result."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"address"})

    @property
    def as_built(self) -> VectorIndex:
        """The index without what only searching reads, so that several ways of searching share one."""
        defaults = {name: type(self).model_fields[name].default for name in OF_SEARCH}
        return self.model_copy(update=defaults)

    @property
    def words(self) -> str:
        """``faiss hnsw, ef_search 200``: kind, method, and the settings that are not defaults."""
        named = {name: getattr(self, name) for name in OF_METHOD}
        told = [f"{name} {value}" for name, value in named.items() if value != type(self).model_fields[name].default]
        return ", ".join([f"{self.kind} {self.method}", *told])

    def lists_of(self, vectors: int) -> int:
        """How many lists an index of so many vectors has."""
        return self.lists or max(1, round(math.sqrt(vectors)))

    def probes_of(self, lists: int) -> int:
        """How many lists are searched."""
        return min(self.probes or max(1, round(math.sqrt(lists))), lists)

    def subvectors_of(self, dimensions: int) -> int:
        """Into how many parts a vector is cut: if not given, the largest divisor of its dimensions up to an eighth."""
        return self.subvectors or next(
            parts for parts in range(max(dimensions // 8, 1), 0, -1) if dimensions % parts == 0
        )


def keyed_without_address(settings: dict[str, Any], *path: str) -> dict[str, Any]:
    """Remove the address of a server from settings that a key is made of; `path` leads to those of the index."""
    inner: Any = settings
    for name in path:
        inner = inner.get(name) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        inner.pop("address", None)
    return settings
