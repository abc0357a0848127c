"""Several processes that run one suite on one store and are killed at random; every work that is begun is noted.

As a program, ``python writers.py LOG ARGUMENTS...`` is ``harness ARGUMENTS...``, and notes the calls that it begins and
ends.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

PAUSE = 0.05


class Note(NamedTuple):
    """Something that happened: a process began or ended the work for a key, or is about to be killed."""

    what: str
    process: int
    key: str = ""


def note(log: Path, what: str, process: int, key: str = "") -> None:
    """Append a line. One write of a few bytes at the end of a file is never mixed with another."""
    place = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(place, f"{what} {process} {key}\n".encode())
    os.close(place)


def notes_in(log: Path) -> list[Note]:
    rows = [line.split(" ") for line in log.read_text(encoding="utf-8").splitlines()]
    return [Note(what, int(process), key) for what, process, key in rows]


class Makings(NamedTuple):
    """How often the work for a key was begun: all, after a kill, and while nobody had been killed (double work)."""

    keys: int
    begun: int
    after_a_kill: int
    double: tuple[str, ...]


def makings(notes: Iterable[Note]) -> Makings:
    """Count beginnings. One is double work if an earlier process that began the same was not killed before it."""
    killed: set[int] = set()
    begun: dict[str, list[int]] = defaultdict(list)
    double, again = [], 0
    for one in notes:
        if one.what == "kill":
            killed.add(one.process)
        elif one.what == "begin":
            before = begun[one.key]
            again += bool(before) and killed.issuperset(before)
            double += [one.key] if before and not killed.issuperset(before) else []
            before.append(one.process)
    return Makings(len(begun), sum(map(len, begun.values())), again, tuple(double))


@dataclass
class Writers:
    """Processes, each started again after it was killed, until all have ended by themselves.

    `environments` holds that of each process. `seconds` bounds the time until a process is killed; a kill ends either
    the whole group of a process, or that process alone, as the kernel does when memory is short.
    """

    arguments: list[str]
    environments: list[Mapping[str, str]]
    log: Path
    seconds: float
    dice: random.Random
    kills: int = 0
    codes: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def work(self, until: float) -> None:
        """Run the suite in all processes to its end; nobody is killed after the moment `until`."""
        running = {number: self._start(number, until) for number in range(len(self.environments))}
        while running:
            time.sleep(PAUSE)
            for number, (process, moment, output) in list(running.items()):
                if process.poll() is None and time.monotonic() >= moment:
                    self._kill(process)
                if process.poll() is None:
                    continue
                self.codes.append(process.returncode)
                self.said.append(output.read_text(encoding="utf-8", errors="replace")[-3000:])
                del running[number]
                if process.returncode == -signal.SIGKILL:
                    running[number] = self._start(number, until)

    def _start(self, number: int, until: float) -> tuple[subprocess.Popen[bytes], float, Path]:
        command = [sys.executable, str(Path(__file__)), str(self.log), *self.arguments]
        output = self.log.with_name(f"{self.log.name}.{number}.txt")
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, env=dict(self.environments[number]), stdout=file, stderr=file, start_new_session=True
            )
        moment = time.monotonic() + self.dice.uniform(0, self.seconds)
        return process, moment if moment < until else float("inf"), output

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        # Noted before, so that nobody takes over unseen.
        note(self.log, "kill", process.pid)
        (os.killpg if self.dice.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        self.kills += 1


def noted(log: Path) -> None:
    """Let this process note each call that it begins and ends."""
    from harness.execution.child_processes import ChildExecutor
    from harness.execution.executors import Request, SynchronousExecutor

    def wrapped(submit: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
        def noting(self: Any, request: Request, progress: Any) -> Future[Any]:
            # The folder of a claim is called by its key.
            key = request.out.name.partition(".")[0]
            note(log, "begin", os.getpid(), key)
            future = submit(self, request, progress)
            future.add_done_callback(lambda _: note(log, "end", os.getpid(), key))
            return future

        return noting

    for kind in (ChildExecutor, SynchronousExecutor):
        kind.submit = wrapped(kind.submit)  # type: ignore[method-assign]


if __name__ == "__main__":
    noted(Path(sys.argv[1]))
    sys.argv = ["harness", *sys.argv[2:]]
    from harness.cli.main import main

    main()
