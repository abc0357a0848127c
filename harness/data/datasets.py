"""Load and check a dataset: from a folder or a builder to corpus, queries, qrels, references, groups and splits.

Every rule is checked before any work begins, and all problems are reported together. What has only one reading is
repaired and counted. This module must not know stages or stores.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from harness.data import beir, checking
from harness.data.builders import load_builder
from harness.data.imports import Columns, MissingSplits, Note, read_import, write_folder
from harness.data.splits import Dataset, Split
from harness.errors import DataError, Problem, few_of_each, nearest
from harness.files import exists
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
    raw, name, where = _read(spec, problems, repairing, reading)
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


class _Read(NamedTuple):
    """The parts of a dataset before they are checked, its name, and what problems call the place of it."""

    raw: beir.Raw
    name: str
    where: str


def _read(spec: DatasetSpec, problems: list[Problem], repairing: Repairing, reading: ReadingRule) -> _Read:
    if spec.builder is not None:
        built = load_builder(spec.builder).build(
            spec.symbols, spec.unanswerable, spec.split_seed, "argument" in spec.questions, "summary" in spec.questions
        )
        raw = beir.Raw(
            built.documents, built.queries, built.qrels, built.references, built.splits, dict(built.source), {}
        )
        return _Read(raw, str(spec.builder), str(spec.builder))
    if spec.source is not None:
        return _imported(spec.source, Columns(**spec.columns), problems, repairing, reading)
    folder = Path(str(spec.path))
    return _Read(beir.read_folder(folder, problems, repairing, reading), folder.name, str(folder))


def _imported(
    source: str, columns: Columns, problems: list[Problem], repairing: Repairing, reading: ReadingRule
) -> _Read:
    """Import a source, and read it as the dataset folder that it makes; what was left out counts as a repair."""
    imported = read_import(source, columns)
    if imported is None:
        there = exists(Path(source))
        what = "neither a table, a testset nor a dataset of another tool" if there else "no such file or folder"
        hint = (
            "give a folder in BEIR layout as dataset.path" if there else "give one, hf://owner/name, or ir_datasets:ID"
        )
        raise DataError(Problem(source, what, hint))
    for problem in imported.problems:
        if not isinstance(problem, MissingSplits):
            at = problem.where.removeprefix(f"{source}/").replace(source, Path(source).name)
            repairing.note("import-note" if isinstance(problem, Note) else "left-out-row", at, problem.what)
    faults, made = list[Problem](), Repairing()
    with tempfile.TemporaryDirectory(prefix="harness-import-") as folder:
        write_folder(imported, Path(folder))
        raw = beir.read_folder(Path(folder), faults, made, reading)
    problems += [replace(problem, where=problem.where.replace(folder, source)) for problem in faults]
    for kind, places in made.places.items():
        made.places[kind] = [place.replace(folder, source) for place in places]
    repairing.add(made.made())
    lines = {key: place.replace(folder, source) for key, place in raw.lines.items()}
    return _Read(raw._replace(lines=lines), Path(source.rpartition(":")[2]).stem, source)


def _inside(repair: Repair, where: str) -> Repair:
    """Return the repair with places relative to the folder: files of results name no path of a machine."""
    places = tuple(place.replace(f"{where}/", "") for place in repair.examples)
    return repair.model_copy(update={"examples": places})
