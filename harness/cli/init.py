"""`harness init`: the suite `template`, copied to where somebody starts a suite of their own.

Knows no key of a suite but its name: what the keys mean stands in the file that is copied.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import ConfigError, Problem
from harness.suite import builtin

TEMPLATE = "template"
FILES = (builtin.SUITE_FILE, "README.md")


def begin(folder: Path) -> tuple[str, ...]:
    """Copy the template into a folder, which is made if need be; return the names of the files written.

    The suite is named after the folder, so that the outcomes of two suites do not mix. Raises ConfigError rather than
    overwrite a file.
    """
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        problem = f"{' and '.join(there)} would be overwritten"
        raise ConfigError(Problem(str(folder), problem, "name a new folder, or move them away"))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(Problem(str(folder), "a file, not a folder", "name a new folder"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        text = (builtin.folder("suites") / TEMPLATE / name).read_text(encoding="utf-8")
        (folder / name).write_text(_renamed(text, folder) if name == builtin.SUITE_FILE else text, encoding="utf-8")
    return FILES


def _renamed(text: str, folder: Path) -> str:
    """The suite under the folder's name, as far as that makes a name; the comment beside it stays in its column."""
    words = re.findall(r"[a-z0-9]+", folder.resolve().name.lower())
    wanted = f"name: {'-'.join(words) or TEMPLATE}"
    line = f"name: {TEMPLATE}"
    return re.sub(rf"^{line} *", lambda found: wanted.ljust(len(found[0]) - 1) + " ", text, count=1, flags=re.MULTILINE)
