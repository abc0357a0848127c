"""Peak memory of a million passages. Run: python tests/perf/million.py [--kind bm25]

``dense``: encoded in parts, stored, and searched exactly. The encoder is random numbers, so that the time and the
memory are those of everything else. ``bm25``: indexed, loaded, and searched; passages are words drawn by Zipf's law.
Nothing here is timed by the tests.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.models.search import Bm25Index, DenseIndex
from harness.models.token_batches import Truncations
from harness.stages.index import IndexSpec, index, size_of
from harness.stages.shared.encoded_parts import EncodedParts
from harness.values.records import Document, Progress

WORDS = 200_000
"""Different words of the passages; the most frequent are as frequent as those of a language without its stop words."""
LETTERS = 8


def documents(count: int) -> Iterator[Document]:
    for number in range(count):
        yield Document(f"d{number}", "", f"text {number}")


def passages(count: int, length: int) -> Iterator[Document]:
    """Passages of `length` words each, drawn by Zipf's law."""
    random = np.random.default_rng(0)
    letters = random.integers(ord("a"), ord("z") + 1, (WORDS, LETTERS), dtype=np.uint8)
    words = [bytes(row).decode() for row in letters]
    shares = 1 / np.arange(10, WORDS + 10)
    bounds = np.cumsum(shares / shares.sum())
    for number in range(count):
        places = np.searchsorted(bounds, random.random(length)).clip(max=WORDS - 1)
        yield Document(f"d{number}", "", " ".join(words[place] for place in places))


def peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def told(step: str, began: float) -> None:
    print(f"{step}: {time.perf_counter() - began:.0f} s, peak {peak_mb():.0f} MB", flush=True)


def dense(asked: argparse.Namespace, folder: Path) -> None:
    random = np.random.default_rng(0)

    def encode(texts: list[str], progress: Progress, truncations: Truncations) -> np.ndarray:
        vectors = random.standard_normal((len(texts), asked.dimensions), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    began = time.perf_counter()
    parts = EncodedParts(folder / "parts")
    parts.encode(documents(asked.vectors), asked.vectors, encode, lambda done, total: None)
    told("encode", began)
    began = time.perf_counter()
    DenseIndex.save_parts(folder, parts.doc_ids, parts.arrays, asked.precision)
    told("store", began)
    began = time.perf_counter()
    found = DenseIndex(folder)
    queries = encode([""] * asked.queries, lambda done, total: None, Truncations())
    hits = found.search(queries, 100)
    size = (folder / "vectors.npy").stat().st_size / 2**20
    told(f"search of {len(hits)} queries, vectors {size:.0f} MB on disk", began)


def bm25(asked: argparse.Namespace, folder: Path) -> None:
    """Index; then load and search in a process of its own, whose peak is not that of indexing."""
    if asked.search is not None:
        began = time.perf_counter()
        found = Bm25Index(asked.search)
        told("load", began)
        began = time.perf_counter()
        hits = found.search([document.text for document in passages(asked.queries, 8)], 100)
        told(f"search of {len(hits)} queries", began)
        return
    corpus, out = folder / "corpus", folder / "index"
    corpus.mkdir()
    out.mkdir()
    began = time.perf_counter()
    with (corpus / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for document in passages(asked.vectors, asked.length):
            file.write(json.dumps(document._asdict()) + "\n")
    told("write the corpus", began)
    began = time.perf_counter()
    index(IndexSpec(kind="bm25"), {"corpus": corpus}, out, 0, lambda done, total: None)
    told(f"index, {size_of(out) / 2**20:.0f} MB on disk", began)
    again = [sys.executable, __file__, "--kind", "bm25", "--queries", str(asked.queries), "--search", str(out)]
    subprocess.run(again, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("dense", "bm25"), default="dense")
    parser.add_argument("--vectors", type=int, default=1_000_000, help="how many passages")
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--length", type=int, default=100, help="words of a passage, for bm25")
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--precision", choices=("float32", "float16", "int8", "binary"), default="float32")
    parser.add_argument("--folder", type=Path, help="where files are written; a temporary folder unless given")
    parser.add_argument("--search", type=Path, help="an index of bm25 that is only loaded and searched")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        print(f"start: peak {peak_mb():.0f} MB", flush=True)
        {"dense": dense, "bm25": bm25}[asked.kind](asked, Path(name))


if __name__ == "__main__":
    main()
