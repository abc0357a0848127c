"""Places that a suite file names: variables of the environment are filled in, and paths count from the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from harness.errors import Problem
from harness.files import exists, is_file, is_folder
from harness.suite import builtin
from harness.suite.external import place_files
from harness.suite.renamed import KeyPath
from harness.suite.written import SuiteFile

NAMED = ("hf://", "ir_datasets:")
"""Sources of a dataset that are names, and no places on this machine."""


def expand_places(value: Any, file: SuiteFile) -> tuple[list[Problem], list[Problem]]:
    """Write whole paths into the mapping of a suite file; return what is missing: of datasets, and of all else."""
    datasets = [*_expand_dataset(value, file, ("dataset",)), *_expand_dataset(value, file, ("forgetting", "dataset"))]
    return datasets, [*_expand_prompts(value, file), *_expand_external(value, file)]


def _expand_dataset(value: Any, file: SuiteFile, at: KeyPath) -> list[Problem]:
    """Replace ${VARIABLES} in path and source of the dataset at `at`, and make them relative to the suite file."""
    dataset = value
    for key in at:
        dataset = dataset.get(key) if isinstance(dataset, dict) else None
    if not isinstance(dataset, dict):
        return []
    return [problem for key in ("path", "source") for problem in _expand_place(dataset, key, file, (*at, key))]


def _expand_place(dataset: dict[str, Any], key: str, file: SuiteFile, at: KeyPath) -> list[Problem]:
    text, where = dataset.get(key), file.where(at)
    if not isinstance(text, str):
        return []
    missing = [name for name in re.findall(r"\$\{(\w+)\}", text) if name not in os.environ]
    if missing:
        return [Problem(where, f"the environment variable {name} is not set", f"export {name}=...") for name in missing]
    text = dataset[key] = re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], text)
    if not text.strip() or (key == "source" and text.startswith(NAMED)):
        # Beside the suite file, an empty text would be that file's own folder; its type refuses it.
        return []
    place = builtin.find_fixture(text) or (file.path.parent / text)
    dataset[key] = str(place)
    if key == "path" and not is_folder(place):
        return [Problem(where, f"no folder {place}", "give a folder in BEIR layout, relative to the suite file")]
    if not exists(place):
        hint = "give a file or folder, relative to the suite file, hf://owner/name, or ir_datasets:ID"
        return [Problem(where, f"no file or folder {place}", hint)]
    return []


def _expand_prompts(value: Any, file: SuiteFile) -> Iterator[Problem]:
    """Make the paths of prompts relative to the suite file."""
    llm = value.get("llm")
    given = llm.get("prompts") if isinstance(llm, dict) else None
    prompts: dict[Any, Any] = given if isinstance(given, dict) else {}
    for name, text in prompts.items():
        if isinstance(text, str):
            prompts[name] = str(file.path.parent / text)
            if not is_file(file.path.parent / text):
                where = file.where(("llm", "prompts", name))
                yield Problem(
                    where, f"no file {file.path.parent / text}", "give a text file, relative to the suite file"
                )


def _expand_external(value: Any, file: SuiteFile) -> Iterator[Problem]:
    """Make the paths of external systems relative to the suite file."""
    for at, place in place_files(value, file.path.parent):
        yield Problem(file.where(at), f"no file {place}", "give a file, relative to the suite file")
