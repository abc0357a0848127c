"""Results that are worth keeping between processes, in the cache folder of the user.

A result is known by a kind and a key, which must name all that it depends on. So a result that is kept is never stale,
and the folder can be deleted at any time. Each kind keeps the results that were used last. This module must not know
what is kept.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST = 256
"""Results of one kind that are kept."""


def cache_folder() -> Path:
    """Return the folder of what can be computed again, below ``XDG_CACHE_HOME`` or ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "rag-tuning-harness"


def recall(kind: str, key: str) -> Any:
    """Return the value that is kept under a key; None if there is none or it cannot be read."""
    path = _place(kind, key)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        os.utime(path)
    except (OSError, ValueError, RecursionError):
        return None
    return value


def keep(kind: str, key: str, value: Any) -> None:
    """Keep a JSON value. A folder that cannot be written to is no error: the value is computed again."""
    path = _place(kind, key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(value, file)
            Path(aside).replace(path)
        finally:
            Path(aside).unlink(missing_ok=True)
        _drop_oldest(path.parent)


def _place(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.json"


def _drop_oldest(folder: Path) -> None:
    # Another process may delete a file at the same time.
    ages = []
    for path in folder.glob("*.json"):
        with suppress(OSError):
            ages.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(ages)[:-MOST]:
        path.unlink(missing_ok=True)
