"""`harness init`: copy the suite `template` to a folder, as the start of a user's own suite.

This module knows no key of a suite but its name: the copied file explains the keys.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, print_json, say, takes
from harness.errors import ConfigError, Problem
from harness.suite import builtin

TEMPLATE = "template"
FILES = (builtin.SUITE_FILE, "README.md")


@takes("as_json")
def verb(
    folder: Annotated[Path, typer.Argument(help="Folder of the new suite; created if it does not exist.")],
    *,
    common: Common,
) -> None:
    """Write a suite file to start from, with every key explained."""
    written = begin(folder)
    if common.as_json:
        print_json({"folder": str(folder), "files": written})
        return
    say(
        f"Wrote {' and '.join(written)} to {folder}.",
        f"Next: harness doctor {folder}, then harness run {folder}. Its README explains how to add your data.",
    )


def begin(folder: Path) -> tuple[str, ...]:
    """Copy the template into a folder, which is created if needed; return the names of the files written.

    The suite is named after the folder, so that the outcomes of two suites do not mix. Raises ConfigError instead of
    overwriting a file.
    """
    existing = [name for name in FILES if (folder / name).exists()]
    if existing:
        problem = f"{' and '.join(existing)} would be overwritten"
        raise ConfigError(Problem(str(folder), problem, "choose a new folder, or move them"))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(Problem(str(folder), "this is a file, not a folder", "choose a new folder"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        text = (builtin.folder("suites") / TEMPLATE / name).read_text(encoding="utf-8")
        (folder / name).write_text(_renamed(text, folder) if name == builtin.SUITE_FILE else text, encoding="utf-8")
    return FILES


def _renamed(text: str, folder: Path) -> str:
    """The suite file with the folder's name as its name, if it has letters or digits; comments keep their column."""
    words = re.findall(r"[a-z0-9]+", folder.resolve().name.lower())
    wanted = f"name: {'-'.join(words) or TEMPLATE}"
    line = f"name: {TEMPLATE}"
    return re.sub(rf"^{line} *", lambda match: wanted.ljust(len(match[0]) - 1) + " ", text, count=1, flags=re.MULTILINE)
