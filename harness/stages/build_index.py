"""build_index: dense vectors in, an index of another library out, which `retrieve` searches instead of every vector."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.indexes.protocol import Vectors
from harness.indexes.registry import build, registered
from harness.models.search import DenseIndex
from harness.stages import Inputs, SpeedRule, Stage, Takes, setting
from harness.stages.index import SIZE
from harness.suite.fields import Spec
from harness.suite.vector_indexes import VectorIndex
from harness.values.records import FOUND, Progress, Usage

MEMORY = "memory_bytes"
"""The note on the memory that an index takes in the process that searches it."""
GUESSES = {"flat": 50_000.0, "flat-int8": 50_000.0, "hnsw": 2_000.0, "ivf-flat": 10_000.0, "ivf-pq": 5_000.0}
"""Vectors a second, by method."""


class BuildIndexSpec(Spec):
    """`index` without what only searching reads."""

    index: VectorIndex

    def key_settings(self) -> dict[str, Any]:
        """Return what the key is made of; not where a server is."""
        return {"index": self.index.key_settings()}


def build_index(spec: BuildIndexSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Build an index of the input `vectors`, in this folder or on a server."""
    dense, begun = DenseIndex(inputs["vectors"]), time.perf_counter()
    built = build(Vectors(dense.stored, len(dense.doc_ids)), spec.index, out, progress)
    notes: dict[str, Any] = {"vectors": built.passages, "dimensions": built.dimensions}
    notes |= {"lists": built.lists} if built.lists else {}
    notes |= {SIZE: built.size_bytes} if built.size_bytes is not None else {}
    notes |= {MEMORY: built.memory_bytes} if built.memory_bytes is not None else {}
    if not built.found:
        return Usage(units=built.passages, notes=notes)
    # The server had it: what it took then counts, and not the time that it took to see that.
    notes |= {FOUND: True}
    waited = time.perf_counter() - begun
    if not built.before:
        return Usage(notes=notes)
    return Usage(units=built.passages, notes=notes, before=built.before - waited)


def _packages(spec: BuildIndexSpec, inputs: Collection[str]) -> tuple[str, ...]:
    return (registered(spec.index).distribution,)


def _guess(spec: Mapping[str, Any]) -> float:
    return GUESSES.get(str(setting(spec, "index.method")), min(GUESSES.values()))


STAGE = Stage(
    run=build_index,
    spec=BuildIndexSpec,
    version=1,
    takes=Takes(("vectors",)),
    heavy=True,
    more_packages=_packages,
    rate=_guess,
    unit="passages",
    speed=SpeedRule(kind=("index.kind", "index.method"), size=("index.ef_construction",)),
)
