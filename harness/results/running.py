"""Which artifacts the processes on this machine are working with, so that nobody collects them meanwhile.

Each process notes the keys of its plans below ``running/``, and holds a lock on that note for as long as it lives. The
system releases the lock of a process that is killed, so a note without a lock holds nothing.
"""

from __future__ import annotations

import atexit
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from harness.files import write_atomically

FOLDER = "running"


class _Note:
    """The note of this process in one root; it is deleted when the process ends."""

    def __init__(self, root: Path) -> None:
        self.path = root / FOLDER / f"{uuid.uuid4().hex}.json"
        self.keys: set[str] = set()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.path.with_suffix(".lock"))
        self.lock.acquire()
        atexit.register(self.close)

    def add(self, keys: Iterable[str]) -> None:
        if new := {*keys} - self.keys:
            self.keys |= new
            write_atomically(self.path, json.dumps(sorted(self.keys)))

    def close(self) -> None:
        self.lock.release()
        _delete(self.path)


_notes: dict[Path, _Note] = {}


def hold(root: Path, keys: Iterable[str]) -> None:
    """Note that this process works with these keys below `root`, until it ends. Nothing is noted where none can be."""
    with suppress(OSError):
        root = root.absolute()
        if root not in _notes or not _notes[root].path.parent.is_dir():
            _notes[root] = _Note(root)
        _notes[root].add(keys)


def held(root: Path, by_others: bool = False) -> frozenset[str]:
    """Return the keys that running processes work with, this one too unless `by_others`.

    Notes of processes that have ended are deleted.
    """
    own = _notes.get(root.absolute()) if by_others else None
    paths = (path for path in (root.absolute() / FOLDER).glob("*.json") if own is None or path != own.path)
    return frozenset(key for path in paths for key in _of(path))


def _of(path: Path) -> Iterator[str]:
    with suppress(Timeout):
        with FileLock(path.with_suffix(".lock"), blocking=False):
            _delete(path)
        return
    with suppress(OSError, ValueError):
        yield from map(str, json.loads(path.read_text(encoding="utf-8")))


def _delete(path: Path) -> None:
    for place in (path, path.with_suffix(".lock")):
        with suppress(OSError):
            place.unlink(missing_ok=True)
