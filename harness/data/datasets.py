"""Load and check a dataset: from a folder or a builder to corpus, queries, qrels, references, groups and splits.

Every rule is checked before any work begins, and all problems are reported together. What has only one reading is
repaired and counted. This module must not know stages or stores.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.data import beir, checking
from harness.data.builders import load_builder
from harness.data.splits import Dataset, Split
from harness.errors import DataError, Problem, few_of_each, nearest
from harness.suite.sources import DatasetSource as DatasetSpec
from harness.suite.sources import ReadingRule
from harness.values.grades import LEVEL
from harness.values.repairs import Repair, Repairing

__all__ = ["Dataset", "Split", "load_dataset"]


def load_dataset(spec: DatasetSpec, split: str, reading: ReadingRule | None = None) -> Dataset:
    """Load and check the dataset of a suite; `split` is the one to be scored, `reading` what the suite uses of it.

    Raises DataError with every problem found (the first of each kind in words, the rest as counts).
    """
    problems: list[Problem] = []
    repairing = Repairing()
    reading = (reading or ReadingRule())._replace(scored=split)
    if spec.builder is not None:
        built = load_builder(spec.builder).build(
            spec.symbols, spec.unanswerable, spec.split_seed, "argument" in spec.questions, "summary" in spec.questions
        )
        raw = beir.Raw(
            built.documents, built.queries, built.qrels, built.references, built.splits, dict(built.source), {}
        )
        name = where = str(spec.builder)
    else:
        folder = Path(str(spec.path))
        raw = beir.read_folder(folder, problems, repairing, reading)
        name, where = folder.name, str(folder)
    checked = checking.check(raw, where, reading, problems, repairing)
    dataset = checking.assembled(raw, checked, name, where, spec.group, reading, problems)
    dataset = replace(dataset, repairs=repairing.made(), asked_language=spec.language)
    if not problems:
        problems += checking.too_many(dataset, checked, spec.repairs, split, where)
    if not problems and not dataset.splits.get(split, Split({}, {}, {})).judged:
        known = [part for part in dataset.splits if dataset.splits[part].judged]
        what = f"no judged query in split {split!r}"
        what += f" with a grade of {reading.relevance_level} or more" if reading.relevance_level > LEVEL else ""
        problems.append(Problem(where, what, nearest(split, known, "score")))
    if problems:
        raise DataError(few_of_each(problems))
    return replace(dataset, repairs=tuple(_inside(repair, where) for repair in dataset.repairs))


def _inside(repair: Repair, where: str) -> Repair:
    """Return the repair with places relative to the folder: files of results name no path of a machine."""
    places = tuple(place.replace(f"{where}/", "") for place in repair.examples)
    return repair.model_copy(update={"examples": places})
