"""Caches of results about files that end when the files change."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Signature = tuple[tuple[str, int, int, int], ...]


def signature(path: Path) -> Signature:
    """Return names, sizes and times of change of a file, or of all files below a folder."""
    files = sorted(item for item in (path, *path.rglob("*")) if item.is_file())
    states = ((item.as_posix(), item.stat()) for item in files)
    return tuple((name, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for name, state in states)


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
