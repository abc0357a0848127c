"""How a command ends: the exit code and the sentence of every error, and output streams that cannot end it early.

    2    a mistake of the user (`HarnessError`), or a problem with a path, a disk or a permission
    70   a bug of the harness, with its traceback; this is no verdict of a gate
    130  interrupted; 143 and 129 after SIGTERM and SIGHUP, which end a command as Ctrl-C does

A missing file is the user's mistake only if the command line names it; otherwise it is reported as a bug.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.errors import HarnessError

USAGE, BUG, INTERRUPTED = 2, 70, 130
"""70 is an internal software error in sysexits.h; shells report Ctrl-C as 130."""
DEBUG = "HARNESS_DEBUG"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)
OF_A_PATH = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTEMPTY)
DEFAULTS = (".harness", "baselines", "reports")
LITTLE = 1 << 20
"""Bytes: a disk with less than this is full."""
CONTINUE = "Finished work is cached; run the same command to continue."
INTERRUPTION = f"Interrupted. {CONTINUE}"


# ---- streams


class _Lasting(io.FileIO):
    """A pipe whose reader may close it: later output is dropped, and the command still runs to its end."""

    def write(self, data: Any) -> int:
        """Write as much as the pipe accepts now; wait for a pipe that is set not to block."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self.fileno()], [], 1.0)
        except BrokenPipeError:
            return len(memoryview(data).cast("B"))
        return written


def settle_streams() -> None:
    """Prepare the output streams, so that a closed pipe or an unprintable letter does not change the exit code."""
    if sys.stdout is not None and sys.stdout is sys.__stdout__:
        sys.stdout = _lasting(sys.stdout)
    if sys.stderr is not None and sys.stderr is sys.__stderr__:
        sys.stderr = _lasting(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="replace")


def _lasting(stream: Any) -> Any:
    try:
        stream.flush()
        raw = _Lasting(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=stream.line_buffering,
    )  # fmt: skip


def flush() -> str:
    """Flush standard output; return why that failed, or an empty string."""
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except OSError as error:
        _drop(sys.stdout)
        return f"standard output: {_plain(error)}; the output above is incomplete"
    return ""


def _drop(stream: Any) -> None:
    """Discard the buffer of a stream, so that Python does not fail on it at exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass


# ---- signals


class _Received:
    number = signal.SIGINT


def heed_signals() -> None:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, children included, unless they are ignored (nohup)."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Only the main thread may set a handler.
        with contextlib.suppress(ValueError):
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    _Received.number = signal.Signals(number)
    raise KeyboardInterrupt


def interrupted() -> int:
    """Say that the command was interrupted; return its exit code."""
    by, _Received.number = _Received.number, signal.SIGINT
    sys.stderr.write(f"\n{INTERRUPTION if by == signal.SIGINT else f'Ended by {by.name}. {CONTINUE}'}\n")
    return 128 + by


# ---- what was typed


def refuse_empty(arguments: Sequence[str]) -> int:
    """Print which arguments are empty, as a variable that is not set leaves them, and return 2; else return 0.

    An empty path would be taken for the folder that the command is run in. An empty reason has a sentence of its own.
    """
    empty = [argument[:-1] for argument in arguments if re.fullmatch(r"--(?!reason=)[a-z-]+=", argument)]
    for before, argument in pairwise(["", *arguments]):
        if not argument and before != "--reason":
            empty.append(before if before.startswith("-") and "=" not in before else "an argument")
    for name in empty:
        print_error(f"{name}: empty; give a value (is a variable of the shell not set?)")
    return USAGE if empty else 0


# ---- errors


def explain(error: HarnessError) -> int:
    """Print each problem of an error on a line; return the exit code."""
    _traced(error)
    for problem in error.problems:
        print_error(str(problem))
    return error.exit_code


def explain_os(error: OSError, arguments: Sequence[str]) -> int:
    """Print a problem with a path, a disk or a permission and return 2; report any other error as a bug."""
    sentence = sentence_of(error, arguments)
    if not sentence:
        return report_bug(error)
    _traced(error)
    print_error(sentence)
    return USAGE


def sentence_of(error: OSError, arguments: Sequence[str]) -> str:
    """Return a sentence about a path, a disk or a permission; an empty string if the error is a bug."""
    place = _named(error)
    if error.errno in FULL:
        where = place or _full_place(arguments)
        what = f"{where}: {_plain(error)}" if where else _plain(error)
        return f"{what}; free some space and run the same command again: finished work is cached"
    if error.errno in REFUSED and place:
        return f"{place}: {_plain(error)}; check the permissions, or use another folder"
    if error.errno in OF_THE_MACHINE:
        return f"{place}: {_plain(error)}" if place else _plain(error)
    if error.errno in OF_A_PATH and place and _typed(Path(place), arguments):
        return f"{place}: {_plain(error)}; give another path"
    return ""


def report_bug(error: BaseException) -> int:
    """Print the traceback of a bug and how to report it; return its exit code."""
    sys.stderr.write("".join(traceback.format_exception(error)))
    what = " ".join(str(error).split())
    print_error(
        f"this is a bug in the harness ({type(error).__name__}{f': {what}' if what else ''}), not a verdict; please "
        "report it with the lines above. Finished work is cached; run the same command to continue"
    )
    return BUG


def print_error(sentence: str) -> None:
    """Print an error to standard error, in one paragraph."""
    from harness.cli.options import console, print_line

    print_line(console(stderr=True), f"error: {' '.join(sentence.split())}", "red")


def _traced(error: BaseException) -> None:
    if os.environ.get(DEBUG, "") not in ("", "0"):
        sys.stderr.write("".join(traceback.format_exception(error)))


def _plain(error: OSError) -> str:
    return error.strerror or str(error)


def _named(error: OSError) -> str:
    """The path of an error; of a rename, the target."""
    for name in (error.filename2, error.filename):
        if isinstance(name, str | os.PathLike) and str(name):
            return str(name)
        if isinstance(name, bytes):
            return os.fsdecode(name)
    return ""


def _typed(place: Path, arguments: Sequence[str]) -> bool:
    """Whether the command line names a path, a path below it, or the target of this temporary file."""
    place = place.absolute()
    for typed in _paths_of(arguments):
        beside = place.parent == typed.parent and place.name.startswith(f".{typed.name}.")
        blocked = typed in place.parents and any(above.exists() and not above.is_dir() for above in place.parents)
        if place == typed or place in typed.parents or beside or blocked:
            return True
    return False


def _paths_of(arguments: Sequence[str]) -> Iterator[Path]:
    """Yield arguments, values of options and the default folders as paths."""
    for argument in (*arguments, *DEFAULTS):
        text = argument.partition("=")[2] if argument.startswith("-") else argument
        if text and "\0" not in text:
            yield Path(text).absolute()


def _full_place(arguments: Sequence[str]) -> str:
    """The first place without space left, among those that the command line names and the temporary folder."""
    import tempfile

    for place in (*_paths_of(arguments), Path(tempfile.gettempdir()), Path.cwd()):
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            if shutil.disk_usage(place).free < LITTLE:
                return str(place)
        except OSError:
            continue
    return ""
