"""`harness init`: copy the suite `template` to a folder, or write a suite that fits a dataset there.

This module knows no key of a suite but its name: the copied file explains the keys, and `init_suite` chooses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, print_json, say, takes
from harness.errors import ConfigError, Problem
from harness.files import write_atomically
from harness.suite import builtin

TEMPLATE = "template"
FILES = (builtin.SUITE_FILE, "README.md")


@takes("as_json")
def verb(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of the new suite; created if it does not exist.")
    ],
    *,
    dataset: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Write a suite that fits this dataset, and say what it lacks."),
    ] = None,
    common: Common,
) -> None:
    """Write a suite file to start from, with every key explained."""
    if dataset is not None:
        _from_dataset(dataset, folder, common)
        return
    written = begin(folder)
    if common.as_json:
        print_json({"folder": str(folder), "files": written})
        return
    say(
        f"Wrote {' and '.join(written)} to {folder}.",
        f"Next: harness doctor {folder}, then harness run {folder}. Its README explains how to add your data.",
    )


def _from_dataset(dataset: Path, folder: Path, common: Common) -> None:
    lacks = begin_from(dataset, folder)
    if common.as_json:
        print_json({"folder": str(folder), "files": [builtin.SUITE_FILE], "missing": lacks})
        return
    say(f"Wrote {builtin.SUITE_FILE} to {folder}, for the dataset {dataset}.")
    if lacks:
        from harness.cli import layout

        screen = common.screen()
        layout.heading("What the dataset lacks", screen)
        layout.sentences(lacks, screen)
        screen.print()
    say(_next(lacks, folder))


def _next(lacks: Iterable[str], folder: Path) -> str:
    from harness.cli.init_suite import UNSCORED

    if not any(UNSCORED in line for line in lacks):
        return f"Next: harness doctor {folder}, then harness run {folder}."
    again = f"delete {folder / builtin.SUITE_FILE} and run this command again: the suite depends on the questions."
    return f"Next: add judged questions. Then {again}"


def begin(folder: Path) -> tuple[str, ...]:
    """Copy the template into a folder, which is created if needed; return the names of the files written.

    The suite is named after the folder, so that the outcomes of two suites do not mix. Raises ConfigError instead of
    overwriting a file.
    """
    _make(folder, FILES)
    for name in FILES:
        text = (builtin.folder("suites") / TEMPLATE / name).read_text(encoding="utf-8")
        write_atomically(folder / name, _renamed(text, folder) if name == builtin.SUITE_FILE else text)
    return FILES


def begin_from(dataset: Path, folder: Path) -> list[str]:
    """Write a suite that fits a dataset into a folder; return what the dataset lacks, a sentence each.

    Raises ConfigError if the dataset has no corpus, and instead of overwriting a file.
    """
    from harness.cli.init_suite import missing, relative_path, suite_text
    from harness.ingest.survey import survey

    counted = survey(dataset)
    _make(folder, (builtin.SUITE_FILE,))
    text = suite_text(_name(folder), relative_path(dataset, folder), counted)
    write_atomically(folder / builtin.SUITE_FILE, text)
    return missing(dataset, counted)


def _make(folder: Path, files: tuple[str, ...]) -> None:
    """Make the folder. Raises ConfigError if one of the files is there, or a file of the folder's name."""
    existing = [name for name in files if (folder / name).exists()]
    if existing:
        problem = f"{' and '.join(existing)} would be overwritten"
        raise ConfigError(Problem(str(folder), problem, "choose a new folder, or move them"))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(Problem(str(folder), "this is a file, not a folder", "choose a new folder"))
    folder.mkdir(parents=True, exist_ok=True)


def _name(folder: Path) -> str:
    """The folder's name as the name of a suite, if it has letters or digits."""
    words = re.findall(r"[a-z0-9]+", folder.resolve().name.lower())
    return "-".join(words) or TEMPLATE


def _renamed(text: str, folder: Path) -> str:
    """The suite file with the folder's name as its name; comments keep their column."""
    wanted = f"name: {_name(folder)}"
    line = f"name: {TEMPLATE}"
    return re.sub(rf"^{line} *", lambda match: wanted.ljust(len(match[0]) - 1) + " ", text, count=1, flags=re.MULTILINE)
