"""The files of a folder that are read, in order, and what is passed over: links, hidden and unknown files.

A link is followed only to what lies in the folder and is not read anyway, so nothing is read twice and no walk ends
outside of the folder or goes round.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.ingest.readers.formats import SUFFIXES

NOT_READ = frozenset(("__pycache__", "node_modules", "CVS", "__MACOSX"))
"""Folders that hold no documents of the user, beside the hidden ones."""
NO_SUFFIX = "no suffix"
OFFICE_LOCK = "~$"


class Found(NamedTuple):
    """A file: `name` is its path in the source, with ``/``; `format` as in `FORMATS`."""

    path: Path
    name: str
    format: str


@dataclass
class Walked:
    """The files of a source, what cannot be read as (name, why, what to do), and what was passed over, counted.

    `closed` are beginnings of names, of files in folders that cannot be opened.
    """

    found: list[Found] = field(default_factory=list)
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    suffixes: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    links: int = 0


def walk(source: Path, without: Path) -> Walked:
    """Return the files of a folder, sorted by name, or the one file. `without` is a folder that is left out."""
    walked = Walked()
    if not source.is_dir():
        _take(str(source), name_of(source.name), walked)
        return walked
    root = Path(os.path.realpath(source))
    output = os.path.realpath(without)
    links: list[tuple[str, str]] = []
    _descend(root, "", output, walked, links)
    read = {str(file.path) for file in walked.found}
    for path, name in sorted(links):
        _follow(path, name, root, output, walked, read)
    walked.found.sort(key=lambda file: file.name.split("/"))
    return walked


def _descend(folder: Path, before: str, output: str, walked: Walked, links: list[tuple[str, str]]) -> None:
    """Add the files below a folder, whose name in the source is `before`."""
    waiting = [(str(folder), before)]
    while waiting:
        place, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            walked.unreadable.append((prefix.rstrip("/") or ".", *_refused(error)))
            walked.closed.append(prefix)
            continue
        for entry in entries:
            name = prefix + name_of(entry.name)
            if entry.name.startswith((".", OFFICE_LOCK)) or entry.name in NOT_READ:
                walked.hidden += 1
            elif entry.is_symlink():
                links.append((entry.path, name))
            elif _is_folder(entry):
                if entry.path != output:
                    waiting.append((entry.path, f"{name}/"))
            else:
                _take(entry.path, name, walked)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _take(path: str, name: str, walked: Walked) -> None:
    """Add a file if its suffix is that of a format."""
    suffix = suffix_of(name)
    if suffix not in SUFFIXES:
        walked.suffixes[suffix or NO_SUFFIX] += 1
        return
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        walked.unreadable.append((name, *_refused(error)))
        return
    if not stat.S_ISREG(mode):
        walked.unreadable.append((name, "is no regular file", "name a file or a folder"))
    else:
        walked.found.append(Found(Path(path), name, SUFFIXES[suffix]))


def _follow(path: str, name: str, root: Path, output: str, walked: Walked, read: set[str]) -> None:
    """Add what a link leads to, if it lies in the folder and is not read anyway."""
    target = Path(os.path.realpath(path))
    if suffix_of(name) not in SUFFIXES and not target.is_dir():
        walked.suffixes[suffix_of(name) or NO_SUFFIX] += 1
        return
    if not target.exists():
        walked.unreadable.append((name, "is a link to nothing", "mend or remove it"))
        return
    if root != target and root not in target.parents:
        walked.unreadable.append((name, "is a link that leaves the folder", "name its target as a source of its own"))
        return
    if str(target) in read or target == root or not _is_passed_over(target, root) or str(target) == output:
        walked.links += 1
        return
    if target.is_dir():
        inside = Walked()
        _descend(target, f"{name}/", output, inside, [])
        inside.found = [file for file in inside.found if str(file.path) not in read]
        walked.unreadable += inside.unreadable
        walked.closed += inside.closed
        walked.suffixes += inside.suffixes
        walked.hidden += inside.hidden
    else:
        inside = Walked()
        # The link has the suffix; what a system stores apart may have none.
        _take(path, name, inside)
        inside.found = [file._replace(path=target) for file in inside.found]
        walked.suffixes += inside.suffixes
        walked.unreadable += inside.unreadable
    walked.found += inside.found
    read.update(str(file.path) for file in inside.found)


def _is_passed_over(target: Path, root: Path) -> bool:
    """Whether a target is below a hidden folder of the root, where nothing is read otherwise."""
    return any(part.startswith(".") or part in NOT_READ for part in target.relative_to(root).parts) or (
        target.is_file() and target.suffix.lower() not in SUFFIXES
    )


def _refused(error: OSError) -> tuple[str, str]:
    return f"cannot be opened ({error.strerror})", "check its permissions"


def suffix_of(name: str) -> str:
    """Return the suffix of a name in lower case, with its point; empty if there is none."""
    stem, point, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if stem and point else ""


def name_of(name: str) -> str:
    """Return a name of a file as text: bytes that are not UTF-8 as escapes, accents in their composed form."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))
