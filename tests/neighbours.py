"""Processes that keep every core busy which this one may use, whenever they are told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import TracebackType

from harness import provenance

BUSY = "while True: pass"


class Neighbours:
    """As many busy processes as there are cores, for as long as its context lasts; they rest at first."""

    def __init__(self) -> None:
        self.count, self.busy = provenance.usable_cores(), False

    def __enter__(self) -> Neighbours:
        self._processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(self.count)]
        self._send(signal.SIGSTOP)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._send(signal.SIGKILL)
        for process in self._processes:
            process.wait()

    def set(self, busy: bool) -> None:
        """Let them work or rest from now on."""
        if busy != self.busy:
            self.busy = busy
            self._send(signal.SIGCONT if busy else signal.SIGSTOP)

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes:
            os.kill(process.pid, number)
