"""Peak memory of a million vectors: encoded in parts, stored, and searched exactly. Run: python tests/perf/million.py

The encoder is random numbers, so that the time and the memory are those of everything else. Nothing here is timed by
the tests.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.models.search import DenseIndex
from harness.models.token_batches import Truncations
from harness.stages.shared.encoded_parts import EncodedParts
from harness.values.records import Document, Progress


def documents(count: int) -> Iterator[Document]:
    for number in range(count):
        yield Document(f"d{number}", "", f"text {number}")


def peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--precision", choices=("float32", "float16", "int8", "binary"), default="float32")
    parser.add_argument("--folder", type=Path, help="where files are written; a temporary folder unless given")
    asked = parser.parse_args()
    random = np.random.default_rng(0)

    def encode(texts: list[str], progress: Progress, truncations: Truncations) -> np.ndarray:
        vectors = random.standard_normal((len(texts), asked.dimensions), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        print(f"start: peak {peak_mb():.0f} MB", flush=True)
        began = time.perf_counter()
        parts = EncodedParts(folder / "parts")
        parts.encode(documents(asked.vectors), asked.vectors, encode, lambda done, total: None)
        print(f"encode: {time.perf_counter() - began:.0f} s, peak {peak_mb():.0f} MB", flush=True)
        began = time.perf_counter()
        DenseIndex.save_parts(folder, parts.doc_ids, parts.arrays, asked.precision)
        print(f"store: {time.perf_counter() - began:.0f} s, peak {peak_mb():.0f} MB", flush=True)
        began = time.perf_counter()
        index = DenseIndex(folder)
        queries = encode([""] * asked.queries, lambda done, total: None, Truncations())
        hits = index.search(queries, 100)
        size = (folder / "vectors.npy").stat().st_size / 2**20
        took = time.perf_counter() - began
        print(f"search of {len(hits)} queries: {took:.0f} s, peak {peak_mb():.0f} MB; vectors {size:.0f} MB on disk")


if __name__ == "__main__":
    main()
