"""The local copies of artifacts that lie at an address, within a bound of bytes.

Copies that were used least recently are dropped first. Kept are those that a living process was given, those that
somebody works on, and those that are not at the address yet. Each process notes what it was given in a file of its own
whose lock it holds while it lives.
"""

from __future__ import annotations

import os
import threading
import uuid
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from harness.errors import ConfigError, Problem
from harness.locks import NoLock, lock_of
from harness.store import FolderStore

BOUND_VARIABLE = "HARNESS_STORE_CACHE_GB"
DEFAULT_GB = 20.0
_HELD: list[FileLock] = []
"""Held until this process ends, whatever becomes of its stores: their paths may still be in use."""


def bound() -> int:
    """Return the bound in bytes, out of the environment. Raises ConfigError for one that is no number above 0."""
    text = os.environ.get(BOUND_VARIABLE, "").strip()
    try:
        gigabytes = float(text) if text else DEFAULT_GB
    except ValueError:
        gigabytes = -1.0
    if not 0 < gigabytes < float("inf"):
        raise ConfigError(Problem(BOUND_VARIABLE, f"{text!r} is no size", "set it to gigabytes, such as 20"))
    return int(gigabytes * 1e9)


class BoundedCache:
    """The copies in a folder store, as far as `note` has told of them."""

    def __init__(self, copies: FolderStore, most: int) -> None:
        """`most` is the bound in bytes."""
        self.copies, self.most = copies, most
        self._used, self._given = copies.root / "used", copies.root / "given"
        self._own: set[str] = set()
        self._total: int | None = None
        self._mutex = threading.Lock()
        self._note: Path | None = None
        self._alive: FileLock | None = None

    def is_noted(self, key: str) -> bool:
        """Whether a copy is known to be at the address as well."""
        return (self._used / key).exists()

    def note(self, key: str) -> bool:
        """Note that a copy is at the address, and that this process is given it: it stays while the process lives.

        False if another process has dropped it since it was looked at.
        """
        with self._mutex, self._room():
            if not self.copies.place(key).is_dir():
                return False
            self._used.mkdir(parents=True, exist_ok=True)
            (self._used / key).touch()
            if key not in self._own:
                self._own.add(key)
                with self._own_note().open("a", encoding="ascii") as file:
                    file.write(f"{key}\n")
            return True

    def _room(self) -> BaseFileLock | NoLock:
        """The lock under which a copy is given, and under which one is dropped that nobody was given."""
        return lock_of(self.copies.root / "locks" / "room.lock")

    def is_given(self, key: str) -> bool:
        """Whether this process was given a copy."""
        return key in self._own

    def forget(self, key: str) -> None:
        """Note that a copy is gone."""
        with self._mutex:
            self._own.discard(key)
            self._total = None
        (self._used / key).unlink(missing_ok=True)

    def release(self) -> None:
        """Note that nobody reads any more what this object was asked for."""
        with self._mutex:
            self._own.clear()
            if self._note is None or self._alive is None:
                return
            self._note.unlink(missing_ok=True)
            self._alive.release()
            _HELD.remove(self._alive)
            Path(self._alive.lock_file).unlink(missing_ok=True)
            self._note = self._alive = None

    def make_room(self, added: int) -> None:
        """Drop copies until the bound is kept, or none is left that may be dropped; `added` bytes are new."""
        with self._mutex:
            self._total = self._total + added if self._total is not None else self._measured()
            if self._total <= self.most:
                return
            kept = self._own | self._given_to_others()
            oldest = sorted((_time_of(path), path.name) for path in self._used.glob("*") if path.name not in kept)
            for _, key in oldest:
                if self._total <= self.most:
                    return
                self._total -= self._dropped(key)

    def _dropped(self, key: str) -> int:
        """Drop a copy, unless somebody holds its key; return the bytes that are free now."""
        lock = self.copies.lock(key)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return 0
        try:
            size = _size_of(self.copies.place(key))
            with self._room():
                if key in self._given_to_others():
                    return 0
                self.copies.discard(key)
                (self._used / key).unlink(missing_ok=True)
        finally:
            lock.release()
        return size

    def _measured(self) -> int:
        return sum(_size_of(self.copies.place(path.name)) for path in self._used.glob("*"))

    def _own_note(self) -> Path:
        if self._note is None:
            self._given.mkdir(parents=True, exist_ok=True)
            self._note = self._given / f"{uuid.uuid4().hex}.keys"
            self._alive = FileLock(self._note.with_suffix(".lock"), thread_local=False)
            self._alive.acquire()
            _HELD.append(self._alive)
        return self._note

    def _given_to_others(self) -> set[str]:
        keys: set[str] = set()
        for note in self._given.glob("*.keys"):
            if note == self._note:
                continue
            lock = FileLock(note.with_suffix(".lock"))
            try:
                with lock.acquire(blocking=False):
                    note.unlink(missing_ok=True)
                note.with_suffix(".lock").unlink(missing_ok=True)
            except Timeout:
                with suppress(OSError):
                    keys.update(note.read_text(encoding="ascii").split())
        return keys


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
