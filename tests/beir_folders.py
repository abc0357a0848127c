"""A small good folder in BEIR layout, whose parts a test replaces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.data.datasets import Dataset, load_dataset
from harness.errors import DataError
from harness.suite.sources import DatasetSource as DatasetSpec
from harness.suite.sources import Grouping

Rows = list[dict[str, Any]]
CORPUS: Rows = [
    {"_id": "loom-1", "title": "Looms", "text": "A loom holds the warp."},
    {"_id": "loom-2", "title": "", "text": "The weft goes through the shed."},
    {"_id": "dye-1", "text": "Woad is blue."},
]
QUERIES: Rows = [
    {"_id": "q1", "text": "What holds the warp?", "metadata": {"level": "easy"}},
    {"_id": "q2", "text": "What is blue?", "metadata": {"level": "hard"}},
    {"_id": "q3", "text": "What is red?", "metadata": {"level": "hard"}},
    {"_id": "q4", "text": "Where does the weft go?"},
]
QRELS = {"test": ["q1 loom-1 1", "q2 dye-1 2", "q2 loom-2 0"], "train": ["q4 loom-2 1"]}
ANSWERS: Rows = [
    {"_id": "q1", "answers": ["the loom", "a loom"]},
    {"_id": "q3", "answers": [], "answerable": False, "source_passages": ["dye-1"]},
]
SPLITS = ["q3 test"]


def tabs(rows: list[str]) -> str:
    return "".join(row.replace(" ", "\t") + "\n" for row in rows)


def lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(
    folder: Path,
    corpus: Rows = CORPUS,
    queries: Rows = QUERIES,
    qrels: Mapping[str, list[str]] = QRELS,
    answers: Rows | None = ANSWERS,
    splits: list[str] | None = SPLITS,
) -> Path:
    """Write a folder in BEIR layout; a part given replaces that of the good dataset above."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_text(lines(corpus))
    (folder / "queries.jsonl").write_text(lines(queries))
    for split, rows in qrels.items():
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + tabs(rows))
    if answers is not None:
        (folder / "answers.jsonl").write_text(lines(answers))
    if splits is not None:
        (folder / "splits.tsv").write_text("query-id\tsplit\n" + tabs(splits))
    return folder


def load(folder: Path, split: str = "test", **group: str) -> Dataset:
    return load_dataset(DatasetSpec(path=str(folder), group=Grouping(**group) if group else None), split)


def problems_of(folder: Path, split: str = "test", **group: str) -> list[str]:
    """What is said about a folder, with the places relative to it."""
    with pytest.raises(DataError) as caught:
        load(folder, split, **group)
    assert caught.value.exit_code == 2
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]
