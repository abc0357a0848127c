"""Replace a folder as a whole while other processes may be reading it.

A lock on the parent folder serialises writers, and lets readers wait between the two renames. It leaves no file behind.
On a file system without such locks, a reader still finds the previous content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.files import sync, sync_tree

try:
    import fcntl
except ImportError:  # not on this system
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(parent: Path, *, alone: bool) -> Iterator[None]:
    """Lock a folder, `alone` as a writer or shared with other readers; go on without a lock if there is none."""
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
    """Return where the content of a folder is: in it, or aside if a process died between the two renames of `swap`."""
    aside = _replaced(folder)
    return aside if not folder.exists() and aside.is_dir() else folder


def names_aside(parent: Path) -> list[Path]:
    """Return the folders below `parent` whose content is aside."""
    folders = (
        left.with_name(left.name.removeprefix(".").removesuffix(".replaced")) for left in parent.glob(".*.replaced")
    )
    return [folder for folder in folders if not folder.exists()]


def settle(folder: Path) -> None:
    """Restore content that is aside; the caller must hold the parent folder alone."""
    replaced = _replaced(folder)
    if replaced.is_dir() and not folder.exists():
        replaced.rename(folder)


def swap(folder: Path, new: Path) -> None:
    """Replace a folder by a new one, flushed to the disk; after an OSError the old one is unchanged."""
    sync_tree(new)
    replaced = _replaced(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.replace(replaced)
    try:
        new.replace(folder)
    except OSError:
        settle(folder)
        raise
    # The old content goes once the new one outlives a power cut.
    sync(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")
