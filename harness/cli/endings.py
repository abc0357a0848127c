"""How a command ends: every error as one sentence with its exit code, and streams that end no command early.

    2    an error of the user's (`HarnessError`), or a path, a disk or a permission that is in the way
    70   a bug of the harness, with its traceback; no gate has spoken then
    130  interrupted

What is an error of a path is decided by what was typed: a file that the command line never named and that is missing
is a bug, and says so.
"""

from __future__ import annotations

import errno
import io
import os
import re
import select
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.errors import HarnessError

USAGE, BUG, INTERRUPTED = 2, 70, 130
"""Of these, 70 is what sysexits.h calls an internal software error, and 130 what shells call Ctrl-C."""
DEBUG = "HARNESS_DEBUG"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)
OF_A_PATH = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTEMPTY)
DEFAULTS = (".harness", "baselines", "reports")
LITTLE = 1 << 20
"""Bytes: a disk with less than this is full."""
INTERRUPTION = "stopped; what was finished is kept, the same command goes on from there"


# ---- streams


class _Lasting(io.FileIO):
    """A pipe whose reader may go away: what is written after that is dropped, and the command goes on to its end."""

    def write(self, data: Any) -> int:
        """Write all that the pipe takes now; one that was set not to block is waited for."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self.fileno()], [], 1.0)
        except BrokenPipeError:
            return len(memoryview(data).cast("B"))
        return written


def settle_streams() -> None:
    """Let no reader that goes away, and no letter that a terminal has not, end a command in place of its verdict."""
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
    """Write out what is left of standard output; return why it could not be, or nothing."""
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except OSError as error:
        _drop(sys.stdout)
        return f"standard output: {_plain(error)}; what is printed above is not whole"
    return ""


def _drop(stream: Any) -> None:
    """Send what a stream still holds to nowhere, so that Python does not fail over it when it leaves."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass


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
        tell(f"{name}: empty; give a value (is a variable of the shell not set?)")
    return USAGE if empty else 0


# ---- errors


def explain(error: HarnessError) -> int:
    """Print an error of ours, a sentence a problem; return its exit code."""
    _traced(error)
    for problem in error.problems:
        tell(str(problem))
    return error.exit_code


def explain_os(error: OSError, arguments: Sequence[str]) -> int:
    """Print what was in the way, with its path, and return 2; or report a bug, and return its code."""
    sentence = sentence_of(error, arguments)
    if not sentence:
        return report_bug(error)
    _traced(error)
    tell(sentence)
    return USAGE


def sentence_of(error: OSError, arguments: Sequence[str]) -> str:
    """What was in the way, in one sentence; empty if that is a bug and nobody's path, disk or permission."""
    place = _named(error)
    if error.errno in FULL:
        where = place or _full_place(arguments)
        what = f"{where}: {_plain(error)}" if where else _plain(error)
        return f"{what}; make room, and run the same command again: what was finished is kept"
    if error.errno in REFUSED and place:
        return f"{place}: {_plain(error)}; see who may write there, or name another folder"
    if error.errno in OF_THE_MACHINE:
        return f"{place}: {_plain(error)}" if place else _plain(error)
    if error.errno in OF_A_PATH and place and _typed(Path(place), arguments):
        return f"{place}: {_plain(error)}; give another path"
    return ""


def report_bug(error: BaseException) -> int:
    """Print the traceback of what should not have happened, and what to do with it."""
    sys.stderr.write("".join(traceback.format_exception(error)))
    what = " ".join(str(error).split())
    tell(
        f"this is a bug in the harness ({type(error).__name__}{f': {what}' if what else ''}), and no verdict; please "
        "report it with the lines above. What was finished is kept, the same command goes on from there"
    )
    return BUG


def tell(sentence: str) -> None:
    """Print one error on one line of standard error."""
    from harness.cli.options import console

    line = f"error: {' '.join(sentence.split())}"
    console(stderr=True).print(line, style="red", markup=False, highlight=False, soft_wrap=True)


def _traced(error: BaseException) -> None:
    if os.environ.get(DEBUG, "") not in ("", "0"):
        sys.stderr.write("".join(traceback.format_exception(error)))


def _plain(error: OSError) -> str:
    return error.strerror or str(error)


def _named(error: OSError) -> str:
    """The path of an error; the second one where a file was to be put in the place of another."""
    for name in (error.filename2, error.filename):
        if isinstance(name, str | os.PathLike) and str(name):
            return str(name)
        if isinstance(name, bytes):
            return os.fsdecode(name)
    return ""


def _typed(place: Path, arguments: Sequence[str]) -> bool:
    """Whether a path is one that was typed, lies on the way to it, or is written beside it to be put in its place."""
    place = place.absolute()
    for typed in _paths_of(arguments):
        beside = place.parent == typed.parent and place.name.startswith(f".{typed.name}.")
        blocked = typed in place.parents and any(above.exists() and not above.is_dir() for above in place.parents)
        if place == typed or place in typed.parents or beside or blocked:
            return True
    return False


def _paths_of(arguments: Sequence[str]) -> Iterator[Path]:
    """What was typed, as paths: arguments, values of options, and the folders that are meant if none is named."""
    for argument in (*arguments, *DEFAULTS):
        text = argument.partition("=")[2] if argument.startswith("-") else argument
        if text and "\0" not in text:
            yield Path(text).absolute()


def _full_place(arguments: Sequence[str]) -> str:
    """The first place with no room left, among those that a command writes to."""
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
