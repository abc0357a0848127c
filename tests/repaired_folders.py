"""Folders in BEIR layout that need repairs, and how they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.data.datasets import Dataset, load_dataset
from harness.errors import DataError
from harness.suite.sources import DatasetSource as DatasetSpec
from harness.suite.sources import ReadingRule, Repairs

HEADER = "query-id\tcorpus-id\tscore\n"


def load(folder: Path, reading: ReadingRule | None = None, **repairs: Any) -> Dataset:
    return load_dataset(DatasetSpec(path=str(folder), repairs=Repairs(**repairs)), "test", reading)


def counts(dataset: Dataset) -> dict[str, int]:
    return {repair.kind: repair.count for repair in dataset.repairs}


def refused(folder: Path, reading: ReadingRule | None = None, **repairs: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        load(folder, reading, **repairs)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]
