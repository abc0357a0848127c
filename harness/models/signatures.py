"""Caches of results about files that end when the files change.

A file that was written to has another size, other times or another inode. A file that decays on the disk has not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import update_wrapper, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from harness.hashing import digest_of
from harness.remembered import keep, recall

P = ParamSpec("P")
R = TypeVar("R")
Signature = tuple[tuple[str, int, int, int, int], ...]
SETTLED = 2.0
"""Seconds for which a file must have been left alone: two changes in one tick of the clock have the same time."""


def signature(path: Path) -> Signature:
    """Return names, sizes, times of change and inodes of a file, or of all files below a folder."""
    files = sorted(item for item in (path, *path.rglob("*")) if item.is_file())
    states = ((item.as_posix(), item.stat()) for item in files)
    return tuple((name, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino) for name, state in states)


def while_unchanged(function: Callable[Concatenate[Path, P], R]) -> Callable[Concatenate[Path, P], R]:
    """Cache the results of a function of a path in this process, as long as the files below the path do not change."""
    results: dict[object, tuple[Signature, R]] = {}

    def cached(path: Path, /, *args: P.args, **options: P.kwargs) -> R:
        key, current = (path, args, tuple(sorted(options.items()))), signature(path)
        if key not in results or results[key][0] != current:
            results[key] = (current, function(path, *args, **options))
        return results[key][1]

    update_wrapper(cached, function)
    return cached


def kept_while_unchanged(kind: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    """As `while_unchanged`, but keep the results for later processes; `kind` changes with what the function returns."""

    def decorate(function: Callable[[Path], str]) -> Callable[[Path], str]:
        @wraps(function)
        def kept(path: Path) -> str:
            files = signature(path.resolve())
            key = digest_of([kind, files])
            value = recall(kind, key)
            if not isinstance(value, str):
                value = function(path)
                if (
                    files
                    and max(max(written, changed) for _, _, written, changed, _ in files) / 1e9 < time.time() - SETTLED
                ):
                    keep(kind, key, value)
            return value

        return while_unchanged(kept)

    return decorate
