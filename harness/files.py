"""Files and folders that are whole or not there: written aside, flushed to the disk, then put in place in one step.

A rename alone is no promise: after a power cut, a file system may know the new name and not yet the content. So
content, name and folder are flushed with fsync, in this order. ``HARNESS_FSYNC=0`` turns that off, for tests.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

FSYNC_VARIABLE = "HARNESS_FSYNC"
PART = ".part"
"""The end of the name of what is being written; the name begins with a dot. A killed process leaves it."""
SMALL, MOST_TIMES = 64 << 20, 200
"""What is compressed may unpack to `SMALL` bytes, or to `MOST_TIMES` its size: no text is packed more densely."""


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write a file to; if the block ends without an error, it becomes `path`.

    A reader sees the old or the new content, never a part. Folders above are made. Raises OSError with the name of
    `path`, and leaves the old content.
    """
    make_folder(path.parent)
    aside = path.with_name(f".{uuid.uuid4().hex}{PART}")
    try:
        yield aside
        sync(aside)
        aside.replace(path)
        sync(path.parent)
    except OSError as error:
        raise _placed(error, aside, path) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def written_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` to write into; if the block ends without an error, it becomes `folder`.

    A reader sees all of it or nothing. `folder` is missing or empty, and may be replaced; see `can_be_replaced`.
    Raises OSError with the name of `folder`, and leaves nothing; a killed process leaves what it wrote aside.
    """
    make_folder(folder.parent)
    aside = folder.with_name(f".{uuid.uuid4().hex}{PART}")
    aside.mkdir()
    try:
        yield aside
        sync_tree(aside)
        aside.replace(folder)
        sync(folder.parent)
    except OSError as error:
        raise _placed(error, aside, folder) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def can_be_replaced(folder: Path) -> bool:
    """Whether another folder can take the place of this one: not of a mount point, nor of the current folder."""
    return not folder.exists() or not (folder.is_mount() or folder.samefile(Path.cwd()))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless they are there, so that they outlive a power cut."""
    missing = [folder, *folder.parents]
    missing = missing[: next((place for place, one in enumerate(missing) if one.is_dir()), 0)]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync(made.parent)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old or the new content, never a part."""
    with written(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_whole(path: Path) -> bytes:
    """Return the content of a file, or of a pipe that somebody writes into, as ``<(...)`` of a shell is one.

    Raises OSError; also for a device, which may have no end, and for a pipe that nobody writes into.
    """
    mode = path.stat().st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "a device, not a file", str(path))
    if not stat.S_ISFIFO(mode):
        return path.read_bytes()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as pipe:
        # Without waiting, a pipe says whether anybody is at its other end.
        first = pipe.read(1)
        if first == b"":
            raise OSError(errno.EPIPE, "a pipe that nobody writes into", str(path))
        os.set_blocking(pipe.fileno(), True)
        return (first or b"") + pipe.read()


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, its lines ended by line feeds. Raises OSError and UnicodeDecodeError."""
    return io.TextIOWrapper(io.BytesIO(read_whole(path)), encoding="utf-8").read()


def is_file(path: Path) -> bool:
    """Whether there is such a file; no for a name that no file can have, such as a very long one."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; no for a name that none can have."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether there is anything of that name; no for a name that nothing can have."""
    try:
        return path.exists()
    except OSError:
        return False


def stays_inside(name: object) -> bool:
    """Whether a name that stands in a file means something in its folder: relative, without ``..``, on every system."""
    if not isinstance(name, str) or "\0" in name:
        return False
    paths = PurePosixPath(name), PureWindowsPath(name)
    return not any(path.anchor or path.drive or ".." in path.parts for path in paths)


class UnpacksTooLarge(ValueError):
    """Compressed data that holds far more than its size suggests, made to fill the memory of its reader."""


def most_unpacked(size: int) -> int:
    """Return how many bytes compressed data of a size in bytes may hold."""
    return max(SMALL, MOST_TIMES * size)


def gunzipped(raw: bytes) -> bytes:
    """Return what gzip has packed.

    Raises UnpacksTooLarge beyond `most_unpacked`, and OSError, EOFError or zlib.error for damaged data.
    """
    most = most_unpacked(len(raw))
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UnpacksTooLarge(f"unpacks to more than {most:,} bytes")
    return content


def link_to(link: Path, folder: Path) -> None:
    """Make `link` a symbolic link to a folder beside it, in one step."""
    aside = link.with_name(f".{uuid.uuid4().hex}{PART}")
    try:
        aside.symlink_to(folder.name)
        aside.replace(link)
        sync(link.parent)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def flushes() -> bool:
    """Whether what is written is flushed to the disk before it counts."""
    return os.environ.get(FSYNC_VARIABLE) != "0"


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk.

    A file system that cannot do that for a folder is taken as it is. Raises OSError if a file cannot be flushed.
    """
    if not flushes():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flush every file of a folder to the disk, then the folders, the deepest first."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(root) / name)
        sync(Path(root))


def _placed(error: OSError, aside: Path, path: Path) -> OSError:
    """Return the error with the path that was to be written: an error of a full disk names none."""
    if error.errno is None or error.filename not in (None, str(aside), aside):
        return error
    return OSError(error.errno, error.strerror, str(path))
