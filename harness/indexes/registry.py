"""The libraries of indexes by name: what each is made with, how it is built and opened."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

from harness.indexes.protocol import Built, Library, Searcher, ServerLibrary, Vectors, wrong_dimensions
from harness.suite.vector_indexes import IndexLibrary, VectorIndex
from harness.values.records import Progress


class Registered(NamedTuple):
    """Where a library is wrapped (``module:class``), the module that it is imported as, and its distribution."""

    place: str
    module: str
    distribution: str


LIBRARIES: Mapping[IndexLibrary, Registered] = {
    "faiss": Registered("harness.indexes.faiss_index:Faiss", "faiss", "faiss-cpu"),
    "lancedb": Registered("harness.indexes.lancedb_index:LanceDb", "lancedb", "lancedb"),
    "qdrant": Registered("harness.indexes.qdrant_index:Qdrant", "qdrant_edge", "qdrant-edge-py"),
    "pgvector": Registered("harness.indexes.pgvector_index:PgVector", "psycopg", "psycopg"),
}
"""An extra of this package is named like each library."""
AT_SERVER: Mapping[IndexLibrary, Registered] = {
    "qdrant": LIBRARIES["qdrant"]._replace(module="qdrant_client", distribution="qdrant-client"),
}
"""Where another package is needed if the index is on a server."""
NAME = re.compile(r"harness_[0-9a-f]{32}")
"""What a table or a collection is called: by a digest of its vectors and settings."""


def registered(rule: VectorIndex) -> Registered:
    """Return what an index is made with."""
    return LIBRARIES[rule.kind] if rule.address is None else AT_SERVER.get(rule.kind, LIBRARIES[rule.kind])


def library(kind: IndexLibrary) -> Library:
    """Return the library of a kind of index."""
    module, name = LIBRARIES[kind].place.split(":")
    found: Library = getattr(importlib.import_module(module), name)()
    return found


def build(vectors: Vectors, rule: VectorIndex, folder: Path, progress: Progress) -> Built:
    """Build an index of vectors, and write what is known of it into the folder. Raises ValueError; see `Library`."""
    built = library(rule.kind).build(vectors, rule, folder, progress)
    built.write(folder)
    return built


def open_index(folder: Path, rule: VectorIndex, vectors: Vectors) -> Searcher:
    """Open an index that was built of these vectors. Raises ValueError if its server cannot be reached."""
    return library(rule.kind).open(folder, rule, Built.read(folder), vectors)


def unusable(rule: VectorIndex, dimensions: int | None) -> tuple[str, str] | None:
    """Return why an index of vectors with so many dimensions cannot be used here, and what to do; None if it can.

    A server is asked whether it is there.
    """
    needed = registered(rule)
    if importlib.util.find_spec(needed.module) is None:
        what = f"kind {rule.kind} needs the package {needed.distribution}, which is not installed"
        return what, f"run: pip install 'rag-tuning-harness[{rule.kind}]'"
    if dimensions is not None and (wrong := wrong_dimensions(rule, dimensions)):
        return wrong
    return library(rule.kind).unreachable(rule)


def drop(rule: VectorIndex, name: str) -> bool:
    """Delete the table or collection of an index on its server; return whether there was one.

    Raises ValueError if that cannot be done, and for a name that the harness gives to nothing.
    """
    needed = registered(rule)
    if rule.address is None or not NAME.fullmatch(name):
        raise ValueError(f"{name!r} names nothing that an index has put on a server")
    if importlib.util.find_spec(needed.module) is None:
        what = f"the package {needed.distribution} is not installed"
        raise ValueError(f"{what}; run: pip install 'rag-tuning-harness[{rule.kind}]'")
    server = cast(ServerLibrary, library(rule.kind))
    return server.drop(rule, name)
