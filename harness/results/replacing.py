"""A folder that is replaced whole, while others may be reading it.

Writers take turns, and readers wait for the moment between two renames, by a lock on the folder above. It leaves no
file behind; where a file system has no such locks, a reader still finds what was there before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on this system
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(parent: Path, *, alone: bool) -> Iterator[None]:
    """Hold a folder `alone`, as a writer does, or together with other readers; do without where that cannot be had."""
    handle = None
    try:
        if fcntl is not None:
            handle = os.open(parent, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    except OSError:
        pass
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def place_of(folder: Path) -> Path:
    """Where the content of a folder lies: in it, or aside if a process died between the two renames of `swap`."""
    aside = _replaced(folder)
    return aside if not folder.exists() and aside.is_dir() else folder


def names_aside(parent: Path) -> list[Path]:
    """The folders below `parent` whose content lies aside."""
    found = (
        left.with_name(left.name.removeprefix(".").removesuffix(".replaced")) for left in parent.glob(".*.replaced")
    )
    return [folder for folder in found if not folder.exists()]


def settle(folder: Path) -> None:
    """Put back what lies aside; only who holds the folder above alone may do so."""
    replaced = _replaced(folder)
    if replaced.is_dir() and not folder.exists():
        replaced.rename(folder)


def swap(folder: Path, new: Path) -> None:
    """Put a new folder in the place of another; after an OSError the old one is there as it was."""
    replaced = _replaced(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.replace(replaced)
    try:
        new.replace(folder)
    except OSError:
        settle(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")
