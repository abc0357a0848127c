"""Locks between processes, and what takes their place on a file system that has none.

Locks only save work: whoever goes on without one may do what another process does, too.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType

from filelock import BaseFileLock, FileLock

try:
    import fcntl
except ImportError:  # not on this system
    fcntl = None  # type: ignore[assignment]

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""How file systems without locks answer: NFS without its lock service, Lustre without the option, some of FUSE."""
log = logging.getLogger(__name__)


class NoLock:
    """Stands for a lock where there are none: it is always free."""

    def acquire(self, blocking: bool = True) -> NoLock:
        return self

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self) -> NoLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""


def lock_of(path: Path) -> BaseFileLock | NoLock:
    """Return the lock of a file, whose folder is made. Its holder may take it again.

    On a file system without locks it is one that is always free, and a warning says so once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return NoLock() if refusal(path.parent) else FileLock(path, is_singleton=True)


@cache
def refusal(folder: Path) -> str:
    """Return why there are no locks in a folder, and warn of it; empty if there are.

    Raises OSError for another fault.
    """
    if fcntl is None:
        return ""
    probed = folder / f".probe-{os.getpid()}"
    try:
        handle = os.open(probed, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s: no locks on this file system (%s); runs at once may do the same work twice", folder, error)
        return str(error)
    finally:
        with suppress(OSError):
            probed.unlink()
    return ""
