"""Reads files in a child process, so that one which is too slow, too large or crashes its reader costs only itself."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from harness.ingest.readers.formats import read
from harness.ingest.readers.parsed import Parsed, Unreadable

MEGABYTE = 1 << 20
GIGABYTES = 4
"""Memory of the child process, where the system can limit it."""
START_SECONDS = 120.0
"""The longest that the child process may take to start on a machine that is busy."""


class Limits(NamedTuple):
    """The largest file in bytes, packed and unpacked, and the longest time that one may take."""

    bytes: int = 100 * MEGABYTE
    seconds: float = 120.0


LIMITS = Limits()


class Apart:
    """A reader in a process of its own, which is started for the first file and again after it was ended."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._process: Any = None
        self._channel: Any = None

    def __enter__(self) -> Apart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(self, path: Path, name: str) -> Parsed:
        """Return the document of a file of format `name`; raise Unreadable if it gives none."""
        try:
            self._start()
            self._channel.send((str(path), name))
            if not self._channel.poll(self.limits.seconds):
                self._end()
                raise Unreadable(f"took longer than {self.limits.seconds:g} seconds", "raise --max-file-seconds")
            answer = self._channel.recv()
        except (EOFError, ConnectionError) as error:
            self._end()
            raise Unreadable("crashed its reader, or needs too much memory", "save it again, or split it") from error
        if isinstance(answer, Unreadable):
            raise answer
        assert isinstance(answer, Parsed)
        return answer

    def _start(self) -> None:
        if self._process is not None:
            return
        context = multiprocessing.get_context("spawn")
        self._channel, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.limits.bytes), daemon=True)
        self._process.start()
        theirs.close()
        # The time of a file does not count the start of its reader.
        if not self._channel.poll(START_SECONDS):
            raise EOFError
        self._channel.recv()

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.join()
        self._channel.close()
        self._process = self._channel = None


def _serve(channel: Any, most_bytes: int) -> None:
    """Answer each path with what its reader gives, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    logging.disable()
    _limit_memory()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError), Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        channel.send(None)
        while True:
            path, name = channel.recv()
            channel.send(answer(path, name, most_bytes))


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = GIGABYTES << 30
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most < 0 else min(wanted, most), most))


def answer(path: str, name: str, most_bytes: int) -> Parsed | Unreadable:
    """Return the document of a file, or why it gives none; nothing is raised, whatever the file holds."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(most_bytes + 1)
        if len(raw) > most_bytes:
            return Unreadable("is larger than --max-file-mb", "raise it, or split the file")
        return read(name, raw, most_bytes)
    except Unreadable as error:
        return Unreadable(error.reason, error.hint)
    except OSError as error:
        return Unreadable(f"cannot be opened ({error.strerror})", "check its permissions")
    except MemoryError:
        return Unreadable("needs too much memory", "split it")
    except Exception as error:
        # A library may raise anything for a damaged file; the other files go on.
        return Unreadable(f"cannot be parsed ({type(error).__name__})", "open it in its program and save it again")
