"""What endpoints answered and what was paid for it, in one file of SQLite that processes share.

Answers that were checked are kept by the key of their question; a row of spending is written for every request, in the
transaction that keeps its answer. Reservations hold a budget while requests are in flight: one of a process that died
ends by itself. Must not know endpoints or forms.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from filelock import FileLock

from harness.errors import HarnessError
from harness.suite.roles import Role

FILE = "responses.sqlite"
BUSY = 30.0
"""Seconds that a process waits for another one to finish writing."""
BATCH = 500
TABLES = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, text TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, new_tokens INTEGER NOT NULL,
  dollars REAL NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS cut_answers (key TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS spending (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL, role TEXT NOT NULL, key TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
  new_tokens INTEGER NOT NULL, dollars REAL NOT NULL, counted INTEGER NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS reserved (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL, tokens INTEGER NOT NULL, dollars REAL NOT NULL, until REAL NOT NULL);
"""
log = logging.getLogger(__name__)
T = TypeVar("T")


class RequestCost(NamedTuple):
    """Tokens of prompt and answer, and what they cost; `counted` if the server counted the tokens itself."""

    prompt_tokens: int = 0
    new_tokens: int = 0
    dollars: float = 0.0
    counted: bool = True

    @property
    def tokens(self) -> int:
        """Both kinds together, as a budget has them."""
        return self.prompt_tokens + self.new_tokens


class PaidRequest(NamedTuple):
    """One request that was made; `reserved` is what held the budget for it."""

    key: str
    cost: RequestCost
    reserved: int | None = None


class StoredAnswer(NamedTuple):
    """The checked answer to a question, what all requests for it cost, and whether it was cut at `max_tokens`."""

    key: str
    text: str
    cost: RequestCost
    cut: bool = False


class PendingWrite(NamedTuple):
    """What waits to be written."""

    run: str
    role: Role
    paid: Sequence[PaidRequest]
    answer: StoredAnswer | None


class RoleSpent(NamedTuple):
    """What a role has spent in one run; `uncounted` requests had tokens that only the client counted."""

    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    dollars: float = 0.0
    uncounted: int = 0


class Reservation(NamedTuple):
    """What came of a reservation: its id, or None if it does not fit; what is spent, and how many others hold some."""

    id: int | None
    tokens: int
    dollars: float
    others: int


class Responses:
    """The file in a folder, which is made if it lacks.

    All work is done in one thread, one transaction at a time; what comes to be written meanwhile is written together.
    Raises HarnessError where the file cannot be used; a damaged one is set aside with a warning, and begun anew.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llm-responses")
        self._lock = threading.Lock()
        self._waiting: list[PendingWrite] = []
        self._commit: Future[None] | None = None
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._closing: Callable[[], object] = lambda: None
        self._thread.submit(self._guarded, self._open).result()

    def find(self, keys: Iterable[str]) -> Future[dict[str, tuple[str, bool]]]:
        """The answers that are known, by key: the text, and whether it was cut."""
        return self._thread.submit(self._transaction, lambda: self._find(list(keys)), "BEGIN")

    def write(
        self, run: str, role: Role, paid: Sequence[PaidRequest], answer: StoredAnswer | None = None
    ) -> Future[None]:
        """Keep what was paid, and an answer if there is one; done when the future is. Never cancel it: it is shared."""
        with self._lock:
            self._waiting.append(PendingWrite(run, role, tuple(paid), answer))
            if self._commit is None:
                self._commit = self._thread.submit(self._write_waiting)
            return self._commit

    def reserve(
        self, run: str, worst: RequestCost, max_tokens: int | None, max_usd: float | None, seconds: float
    ) -> Future[Reservation]:
        """Hold the worst that a request may cost, for at most so many seconds, if it fits the budget of the run."""
        return self._thread.submit(self._transaction, lambda: self._reserve(run, worst, max_tokens, max_usd, seconds))

    def by_role(self, run: str) -> dict[Role, RoleSpent]:
        """What each role has spent in a run, over all processes."""
        return self._thread.submit(self._transaction, lambda: self._by_role(run), "BEGIN").result()

    def close(self) -> None:
        """Wait for what is being written, and close the file."""
        self._thread.shutdown()
        self._closing()

    def _write_waiting(self) -> None:
        with self._lock:
            rows, self._waiting, self._commit = self._waiting, [], None
        self._transaction(lambda: self._write(rows))

    def _find(self, keys: list[str]) -> dict[str, tuple[str, bool]]:
        found: dict[str, tuple[str, bool]] = {}
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(f"SELECT key, text, key IN cut_answers FROM answers WHERE key IN ({marks})", some)
            found |= {key: (text, bool(cut)) for key, text, cut in rows}
        return found

    def _write(self, rows: Sequence[PendingWrite]) -> None:
        at = time.time()
        paid = [(row, one) for row in rows for one in row.paid]
        spending = [(row.run, row.role, one.key, *one.cost, at) for row, one in paid]
        answers = [(one.key, one.text, *one.cost[:3], at) for row in rows if (one := row.answer) is not None]
        freed = [(one.reserved,) for _, one in paid if one.reserved is not None]
        self._db.executemany(
            "INSERT INTO spending (run, role, key, prompt_tokens, new_tokens, dollars, counted, at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            spending,
        )
        self._db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", answers)
        answers_written = [row.answer for row in rows if row.answer is not None]
        self._db.executemany("DELETE FROM cut_answers WHERE key = ?", [(one.key,) for one in answers_written])
        self._db.executemany("INSERT INTO cut_answers VALUES (?)", [(one.key,) for one in answers_written if one.cut])
        self._db.executemany("DELETE FROM reserved WHERE id = ?", freed)

    def _reserve(
        self, run: str, worst: RequestCost, max_tokens: int | None, max_usd: float | None, seconds: float
    ) -> Reservation:
        self._db.execute("DELETE FROM reserved WHERE until < ?", (time.time(),))
        tokens, dollars = self._spent(run)
        others, held_tokens, held_dollars = self._db.execute(
            "SELECT count(*), coalesce(sum(tokens), 0), coalesce(sum(dollars), 0) FROM reserved WHERE run = ?", (run,)
        ).fetchone()
        over = max_tokens is not None and tokens + held_tokens + worst.tokens > max_tokens
        over |= max_usd is not None and dollars + held_dollars + worst.dollars > max_usd
        if over:
            return Reservation(None, tokens, dollars, others)
        made = self._db.execute(
            "INSERT INTO reserved (run, tokens, dollars, until) VALUES (?, ?, ?, ?)",
            (run, worst.tokens, worst.dollars, time.time() + seconds),
        )
        return Reservation(made.lastrowid, tokens, dollars, others)

    def _spent(self, run: str) -> tuple[int, float]:
        """What a run has spent so far; only rows that are new since the last time are read."""
        last, tokens, dollars = self._seen.get(run, (0, 0, 0.0))
        row = self._db.execute(
            "SELECT max(id), coalesce(sum(prompt_tokens + new_tokens), 0), coalesce(sum(dollars), 0) FROM spending "
            "WHERE id > ? AND run = ?",
            (last, run),
        ).fetchone()
        self._seen[run] = (row[0] or last, tokens + row[1], dollars + row[2])
        return self._seen[run][1:]

    def _by_role(self, run: str) -> dict[Role, RoleSpent]:
        rows = self._db.execute(
            "SELECT role, count(*), sum(prompt_tokens), sum(new_tokens), sum(dollars), sum(1 - counted) FROM spending "
            "WHERE run = ? GROUP BY role ORDER BY role",
            (run,),
        )
        return {role: RoleSpent(*numbers) for role, *numbers in rows}

    def _transaction(self, work: Callable[[], T], begin: str = "BEGIN IMMEDIATE") -> T:
        def whole() -> T:
            self._db.execute(begin)
            try:
                found = work()
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.rollback()
                raise
            self._db.execute("COMMIT")
            return found

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
        self._db, self._closing = db, weakref.finalize(self, _close, db, os.getpid())
        self._inode = self.path.stat().st_ino
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(TABLES)

    def _set_aside(self) -> None:
        """Begin anew, unless another process has done so already."""
        self._closing()
        self._seen.clear()
        with FileLock(self._lock_path):
            if self.path.exists() and self.path.stat().st_ino == self._inode:
                aside = self.path.with_name(f"{FILE}.damaged-{time.time_ns()}")
                self.path.rename(aside)
                for ending in ("-wal", "-shm"):
                    self.path.with_name(FILE + ending).unlink(missing_ok=True)
                log.warning(
                    "%s was damaged and is now %s; its answers will be asked for again, and what was spent before is "
                    "not known any more", self.path, aside.name,
                )  # fmt: skip
            self._connect()


def _close(db: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        db.close()


def spent_by_role(folder: Path, run: str) -> dict[Role, RoleSpent]:
    """What a run has spent in each of its roles, over all its processes; empty if nothing was ever asked."""
    if not (folder / FILE).exists():
        return {}
    with closing(Responses(folder)) as responses:
        return responses.by_role(run)
