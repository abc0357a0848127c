"""Folders of claims: where an artifact is written before it counts. Their names say who writes, and whether he lives.

A name is ``KEY.HOST.BOOT.PID-START.RANDOM``. The boot of a machine is the same in all of its containers, whatever their
host names; a process is known by the moment of its start too, as the system gives its number to others.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
import time
from functools import cache
from pathlib import Path

PARTS = ".parts"
"""A folder in the folder of a claim for finished parts of the work: it outlives the process, and is not committed."""
SILENCE = 3600.0
"""Seconds without a change after which the folder of another machine is taken to be abandoned."""
NAMED = re.compile(r"[^.]+\.(?P<host>.*)\.(?P<boot>[0-9a-f]+)\.(?P<process>\d+)-(?P<start>\d+)\.[^.]+")


def new_folder(aside: Path, key: str) -> Path:
    """Return a new folder in `aside` for what this process makes under a key."""
    process = f"{os.getpid()}-{_started(os.getpid())}"
    return Path(tempfile.mkdtemp(prefix=f"{key}.{socket.gethostname()}.{_boot()}.{process}.", dir=aside))


def take_over(leftover: Path, folder: Path) -> None:
    """Move the finished parts of an abandoned folder into another one, unless it has some, and delete the rest."""
    if (leftover / PARTS).is_dir() and not (folder / PARTS).exists():
        (leftover / PARTS).rename(folder / PARTS)
    shutil.rmtree(leftover, ignore_errors=True)


def is_abandoned(folder: Path, locked: bool) -> bool:
    """Whether nobody writes into a folder any more: its process is gone, or it is this one and has failed.

    `locked`: whether this process holds the lock of its key. Where there are no locks, its process may still write, and
    one in another container is not seen. Of that, of another machine, and of an earlier version, nobody knows: an hour
    of silence decides.
    """
    named = NAMED.fullmatch(folder.name)
    own_host = named is not None and named["host"] == socket.gethostname()
    if named is not None and named["boot"] == _boot() and (locked or own_host):
        process = int(named["process"])
        if _started(process) != int(named["start"]):
            return True
        return process == os.getpid() and [path.name for path in folder.iterdir()] == [PARTS]
    if named is not None and named["boot"] != _boot() and own_host:
        # The machine was started again since.
        return True
    return all(time.time() - path.stat().st_mtime > SILENCE for path in [folder, *folder.rglob("*")])


def keep_parts_only(folder: Path) -> None:
    """Delete a folder that was not committed, but for finished parts of its work."""
    if not (folder / PARTS).is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir() and path.name != PARTS:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            path.unlink(missing_ok=True)


@cache
def _boot() -> str:
    """What tells this start of the machine from others; on systems that do not say, that of all is the same."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").replace("-", "").strip()[:12] or "0"
    except OSError:
        return "0"


def _started(process: int) -> int:
    """When a process was started, in units of its system; -1 if there is none of that number."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        # The name of the program, in parentheses, may hold anything.
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return _started_elsewhere(process)


def _started_elsewhere(process: int) -> int:
    import psutil

    try:
        return int(psutil.Process(process).create_time())
    except psutil.NoSuchProcess:
        return -1
    except psutil.Error:
        return 0
