"""The sources of an ingest: folders and files of documents, or imports of another format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.data.imports import Columns, Imported, read_import
from harness.errors import ConfigError, HarnessError, Problem
from harness.ingest.files import Walked, name_of, walk
from harness.ingest.readers.formats import FORMATS


class Source(NamedTuple):
    """`label` is its path relative to the dataset folder, or what was typed if it is no path."""

    typed: str
    label: str
    walked: Walked | None
    imported: Imported | None


def open_sources(typed: Sequence[str], folder: Path, columns: Columns) -> list[Source]:
    """Return the sources in order.

    Raises ConfigError with a problem for each that is not there or cannot be read.
    """
    sources: list[Source] = []
    problems: list[Problem] = []
    for name in dict.fromkeys(typed):
        try:
            source = _open(name, folder, columns)
        except HarnessError as error:
            problems += error.problems
        else:
            if source.label in {one.label for one in sources}:
                continue
            sources.append(source)
    if problems:
        raise ConfigError(problems)
    return sources


def _open(typed: str, folder: Path, columns: Columns) -> Source:
    imported = read_import(typed, columns)
    path = Path(typed)
    if imported is not None:
        return Source(typed, label_of(path, folder) if path.exists() else typed, None, imported)
    if not path.exists():
        hint = "check the path" if path.parent.is_dir() or "/" not in typed else "give the path of a file or a folder"
        what = "is a link to nothing" if path.is_symlink() else "no such file or folder"
        raise ConfigError(Problem(typed, what, hint))
    walked = walk(path, folder)
    if path.is_file() and not walked.found and not walked.unreadable:
        known = ", ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes[:1])
        raise ConfigError(Problem(typed, "is of no kind that is read", f"documents are {known}; see docs/ingest.md"))
    return Source(typed, label_of(path, folder), walked, None)


def label_of(path: Path, folder: Path) -> str:
    """Return a path relative to the dataset folder, so that both can move together; absolute on another drive."""
    try:
        return name_of(Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix())
    except ValueError:
        return name_of(path.absolute().as_posix())
