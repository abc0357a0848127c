"""One SQLite file that processes share: transactions in a thread of its own, and what happens when it is damaged.

A damaged file is renamed, never deleted, and an empty one takes its place. Must not know what the tables hold.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from harness.errors import HarnessError
from harness.files import flushes

BUSY = 30.0
"""Seconds to wait for another process that is writing."""
log = logging.getLogger(__name__)
T = TypeVar("T")


class Database:
    """A SQLite file with the given tables, which is created if it does not exist.

    All work runs in one thread, one transaction at a time. `on_damage` is called after a damaged file was replaced by
    an empty one. Raises HarnessError where the file cannot be used.
    """

    def __init__(self, path: Path, tables: str, lost: str, on_damage: Callable[[], object]) -> None:
        self.path = path
        self._tables, self._lost, self._on_damage = tables, lost, on_damage
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llm-responses")
        self._closing: Callable[[], object] = lambda: None
        self._thread.submit(self._guarded, self._open).result()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute one statement; only inside of a transaction."""
        return self._connection.execute(statement, values)

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute a statement for each row; only inside of a transaction."""
        self._connection.executemany(statement, rows)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run work in the thread of the file; it begins transactions itself."""
        return self._thread.submit(work)

    def read(self, work: Callable[[], T]) -> Future[T]:
        """Run work in a transaction that reads."""
        return self._thread.submit(self.transaction, work, "BEGIN")

    def write(self, work: Callable[[], T]) -> Future[T]:
        """Run work in a transaction that writes."""
        return self._thread.submit(self.transaction, work)

    def close(self) -> None:
        """Wait for work that was submitted, and close the file."""
        self._thread.shutdown()
        self._closing()

    def transaction(self, work: Callable[[], T], begin: str = "BEGIN IMMEDIATE") -> T:
        """Run work in a transaction, in this thread, which must be that of the file."""

        def whole() -> T:
            self._connection.execute(begin)
            try:
                result = work()
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise
            self._connection.execute("COMMIT")
            return result

        return self._guarded(whole)

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as error:
            # Its subclasses mean a full disk, a lock, a missing right; the class itself means a damaged file.
            if type(error) is not sqlite3.DatabaseError:
                raise HarnessError(f"{self.path}: cannot be used ({error}); free the disk or the file") from None
        self._set_aside()
        return self._again(work)

    def _again(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as error:
            raise HarnessError(f"{self.path}: cannot be used ({error}); move it away") from None

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock_path):
                self._connect()
        except OSError as error:
            raise HarnessError(f"{self.path}: cannot be made ({error.strerror}); name another folder") from None

    @property
    def _lock_path(self) -> Path:
        return self.path.with_suffix(".lock")

    def _connect(self) -> None:
        self._closing()
        db = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        self._connection, self._closing = db, weakref.finalize(self, _close, db, os.getpid())
        self._inode = self.path.stat().st_ino
        db.execute("PRAGMA journal_mode = WAL")
        # With NORMAL, answers that were paid for since the last checkpoint would not outlive a power cut.
        db.execute(f"PRAGMA synchronous = {'FULL' if flushes() else 'OFF'}")
        db.executescript(self._tables)

    def _set_aside(self) -> None:
        """Begin anew, unless another process has done so already."""
        self._closing()
        self._on_damage()
        with FileLock(self._lock_path):
            if self.path.exists() and self.path.stat().st_ino == self._inode:
                aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
                self.path.rename(aside)
                for ending in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
                log.warning("%s was damaged and is now %s; %s", self.path, aside.name, self._lost)
            self._connect()


def _close(db: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        db.close()
