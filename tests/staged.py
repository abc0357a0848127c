"""Small artifacts for tests of single stages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.stages.index import IndexSpec, index
from harness.stages.shared import common
from harness.suite.pipeline import Retriever
from harness.values.records import Document, Pair


def silent(done: int, total: int) -> None:
    pass


def documents(texts: Mapping[str, str]) -> dict[str, Document]:
    return {doc_id: Document(doc_id, "", text) for doc_id, text in texts.items()}


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def indexes(root: Path, corpus: Mapping[str, Document]) -> dict[str, Path]:
    """A corpus with both indexes of it, as artifacts."""
    common.write_corpus(folder(root, "corpus"), corpus)
    inputs = {"corpus": root / "corpus"}
    index(IndexSpec(kind="dense", retriever=Retriever()), inputs, folder(root, "dense"), 0, silent)
    index(IndexSpec(kind="bm25"), inputs, folder(root, "bm25"), 0, silent)
    return {"corpus": root / "corpus", "dense": root / "dense", "bm25": root / "bm25"}


def pair(query: str, doc_id: str = "d1") -> Pair:
    return Pair(query, doc_id, "question", "synthetic")


CORPUS = documents({
    "d1": "lime is burned in a kiln at night",
    "d2": "the ferry carries mail over the ice",
    "d3": "slate roofs are laid from the eaves",
})  # fmt: skip
VOCABULARY = ["lime", "kiln", "ferry", "mail", "slate", "roof", "night", "ice"]


def random_corpus(size: int, seed: int = 0) -> dict[str, Document]:
    rng = np.random.default_rng(seed)
    return documents({f"d{number}": " ".join(rng.choice(VOCABULARY, 4)) for number in range(size)})
