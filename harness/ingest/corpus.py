"""The corpus file: reading its lines again by number, and writing a new one beside it, neither held in memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

Row = dict[str, Any]


class OldCorpus:
    """The lines of a corpus that an ingest wrote, by number."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("rb") if path is not None else None
        self._places: list[int] = []
        place = 0
        for line in self._file or ():
            self._places.append(place)
            place += len(line)

    def row(self, number: int) -> Row:
        """Return a row; raise IndexError if there is no such line."""
        if self._file is None:
            raise IndexError(number)
        self._file.seek(self._places[number])
        row: Row = json.loads(self._file.readline())
        return row

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class NewCorpus:
    """A corpus that is written beside the one that it is to replace; without `commit` it leaves nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._aside = Path(name)
        self._file = os.fdopen(handle, "wb")
        self._digest = hashlib.sha256()
        self.rows = 0

    def __enter__(self) -> NewCorpus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._aside.unlink(missing_ok=True)

    def add(self, row: Mapping[str, Any]) -> None:
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        self._digest.update(line)
        self._file.write(line)
        self.rows += 1

    def finish(self) -> str:
        """Write all to the disk; return the digest of the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._aside.chmod(0o644)
        return self._digest.hexdigest()

    def commit(self) -> None:
        """Put the new corpus in the place of the old one."""
        self._aside.replace(self._path)
