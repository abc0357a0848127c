"""The cache of checked answers and the record of spending, in one SQLite file that processes share.

An answer is kept under the key of its question. A row of spending is written for every request, in the transaction that
keeps its answer. A reservation holds a part of the budget while a request is in flight; that of a process that died
expires. Must not know endpoints or schemas.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from harness.llm.database import Database
from harness.llm.protocol import RequestCost
from harness.suite.roles import Role

FILE = "responses.sqlite"
KEYS_PER_QUERY = 500
ANSWER = "key, text, prompt_tokens, new_tokens, dollars, key IN cut_answers"
LOST = "its answers are asked for again, and what was spent before is no longer known"
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


class PaidRequest(NamedTuple):
    """One request that was made; `reserved` is the id of its reservation, which ends when this is written."""

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
    """Requests of a role in a run, and the answers they led to, that wait to be written together."""

    run: str
    role: Role
    paid: Sequence[PaidRequest]
    answers: Sequence[StoredAnswer]


class RoleSpent(NamedTuple):
    """What a role has spent in one run; the tokens of `uncounted` requests are estimates of the client."""

    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    dollars: float = 0.0
    uncounted: int = 0


class Reservation(NamedTuple):
    """The `id` of a reservation, or None if it does not fit the budget.

    `tokens` and `dollars` are what the run has spent, `others` counts the other reservations of the run.
    """

    id: int | None
    tokens: int
    dollars: float
    others: int


class Responses:
    """The file in a folder, which is created if it does not exist.

    Writes that arrive while one is in progress are committed together. Raises HarnessError where the file cannot be
    used; a damaged one is renamed with a warning, and an empty one takes its place.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._pending: list[PendingWrite] = []
        self._commit: Future[None] | None = None
        # Per run: the last row of spending that was added up, tokens, dollars.
        self._sums: dict[str, tuple[int, int, float]] = {}
        self._database = Database(folder / FILE, TABLES, LOST, self._sums.clear)

    def find(self, keys: Iterable[str]) -> Future[dict[str, StoredAnswer]]:
        """Look up cached answers by key."""
        return self._database.read(lambda: self._find(list(keys)))

    def write(self, run: str, role: Role, paid: Sequence[PaidRequest], *answers: StoredAnswer | None) -> Future[None]:
        """Record requests, and the answers that are given.

        The future is done once they are committed. Never cancel it: other writes share it.
        """
        with self._lock:
            kept = tuple(answer for answer in answers if answer is not None)
            self._pending.append(PendingWrite(run, role, tuple(paid), kept))
            if self._commit is None:
                self._commit = self._database.submit(self._write_pending)
            return self._commit

    def reserve(
        self, run: str, worst: RequestCost, max_tokens: int | None, max_usd: float | None, seconds: float
    ) -> Future[Reservation]:
        """Reserve the worst case of a request for at most `seconds`, if it fits the budget of the run.

        The budget is `max_tokens` and `max_usd`, less what is spent and what others have reserved.
        """
        return self._database.write(lambda: self._reserve(run, worst, max_tokens, max_usd, seconds))

    def by_role(self, run: str) -> dict[Role, RoleSpent]:
        """Return what each role has spent in a run, over all processes."""
        return self._database.read(lambda: self._by_role(run)).result()

    def last_row(self) -> int:
        """Return the number of the answer that was written last; 0 without answers."""
        return self._database.read(self._last_row).result()

    def take_over(self, theirs: Iterable[StoredAnswer], after: int) -> tuple[list[StoredAnswer], int]:
        """Add answers whose keys have none, without spending.

        Return the answers that were written after the row `after` before that, and the number of the last row now.
        """
        answers = list(theirs)
        return self._database.write(lambda: self._take_over(answers, after)).result()

    def close(self) -> None:
        """Wait for pending writes, and close the file."""
        self._database.close()

    def _write_pending(self) -> None:
        with self._lock:
            writes, self._pending, self._commit = self._pending, [], None
        self._database.transaction(lambda: self._write(writes))

    def _find(self, keys: list[str]) -> dict[str, StoredAnswer]:
        answers: dict[str, StoredAnswer] = {}
        for start in range(0, len(keys), KEYS_PER_QUERY):
            batch = keys[start : start + KEYS_PER_QUERY]
            marks = ",".join("?" * len(batch))
            rows = self._database.execute(f"SELECT {ANSWER} FROM answers WHERE key IN ({marks})", batch)
            answers |= {answer.key: answer for answer in map(_answer, rows)}
        return answers

    def _last_row(self) -> int:
        row: int = self._database.execute("SELECT coalesce(max(rowid), 0) FROM answers").fetchone()[0]
        return row

    def _take_over(self, theirs: Sequence[StoredAnswer], after: int) -> tuple[list[StoredAnswer], int]:
        rows = self._database.execute(f"SELECT {ANSWER} FROM answers WHERE rowid > ?", (after,))
        ours = [_answer(row) for row in rows]
        present = self._find([answer.key for answer in theirs])
        absent = {answer.key: answer for answer in theirs if answer.key not in present}.values()
        now = time.time()
        self._database.execute_many(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)",
            [(answer.key, answer.text, *answer.cost[:3], now) for answer in absent],
        )
        self._database.execute_many(
            "INSERT OR IGNORE INTO cut_answers VALUES (?)", [(answer.key,) for answer in absent if answer.cut]
        )
        return ours, self._last_row()

    def _write(self, writes: Sequence[PendingWrite]) -> None:
        now = time.time()
        requests = [(write, request) for write in writes for request in write.paid]
        answers = [answer for write in writes for answer in write.answers]
        self._database.execute_many(
            "INSERT INTO spending (run, role, key, prompt_tokens, new_tokens, dollars, counted, at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(write.run, write.role, request.key, *request.cost, now) for write, request in requests],
        )
        self._database.execute_many(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
            [(answer.key, answer.text, *answer.cost[:3], now) for answer in answers],
        )
        self._database.execute_many("DELETE FROM cut_answers WHERE key = ?", [(answer.key,) for answer in answers])
        self._database.execute_many(
            "INSERT INTO cut_answers VALUES (?)", [(answer.key,) for answer in answers if answer.cut]
        )
        self._database.execute_many(
            "DELETE FROM reserved WHERE id = ?",
            [(request.reserved,) for _, request in requests if request.reserved is not None],
        )

    def _reserve(
        self, run: str, worst: RequestCost, max_tokens: int | None, max_usd: float | None, seconds: float
    ) -> Reservation:
        self._database.execute("DELETE FROM reserved WHERE until < ?", (time.time(),))
        tokens, dollars = self._spent(run)
        others, reserved_tokens, reserved_dollars = self._database.execute(
            "SELECT count(*), coalesce(sum(tokens), 0), coalesce(sum(dollars), 0) FROM reserved WHERE run = ?", (run,)
        ).fetchone()
        over = max_tokens is not None and tokens + reserved_tokens + worst.tokens > max_tokens
        over |= max_usd is not None and dollars + reserved_dollars + worst.dollars > max_usd
        if over:
            return Reservation(None, tokens, dollars, others)
        row = self._database.execute(
            "INSERT INTO reserved (run, tokens, dollars, until) VALUES (?, ?, ?, ?)",
            (run, worst.tokens, worst.dollars, time.time() + seconds),
        )
        return Reservation(row.lastrowid, tokens, dollars, others)

    def _spent(self, run: str) -> tuple[int, float]:
        """Return tokens and dollars that a run has spent; reads only rows that are new since the last call."""
        last, tokens, dollars = self._sums.get(run, (0, 0, 0.0))
        row = self._database.execute(
            "SELECT max(id), coalesce(sum(prompt_tokens + new_tokens), 0), coalesce(sum(dollars), 0) FROM spending "
            "WHERE id > ? AND run = ?",
            (last, run),
        ).fetchone()
        self._sums[run] = (row[0] or last, tokens + row[1], dollars + row[2])
        return self._sums[run][1:]

    def _by_role(self, run: str) -> dict[Role, RoleSpent]:
        rows = self._database.execute(
            "SELECT role, count(*), sum(prompt_tokens), sum(new_tokens), sum(dollars), sum(1 - counted) FROM spending "
            "WHERE run = ? GROUP BY role ORDER BY role",
            (run,),
        )
        return {role: RoleSpent(*numbers) for role, *numbers in rows}


def _answer(row: Sequence[Any]) -> StoredAnswer:
    """Return the answer of a row of `ANSWER`."""
    key, text, prompt_tokens, new_tokens, dollars, cut = row
    return StoredAnswer(key, text, RequestCost(prompt_tokens, new_tokens, dollars), bool(cut))


def spent_by_role(folder: Path, run: str) -> dict[Role, RoleSpent]:
    """Return what a run has spent in each of its roles, over all processes; empty if no endpoint was asked."""
    if not (folder / FILE).exists():
        return {}
    with closing(Responses(folder)) as responses:
        return responses.by_role(run)
