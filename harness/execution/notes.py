"""Small notes that the machines of a cluster leave for each other, beside the store: in its folder, or at its address.

A note appears whole or not at all, and the last one of a name counts. Must not know what the notes mean.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from harness.remote.objects import Objects, is_address

FOLDER = "workers"
"""Where the notes are, below the root of a store."""
IN_FOLDER, AT_ADDRESS = 1.0, 10.0
"""Seconds between two versions of a note: requests to an address take time, and may cost money."""


class Notes:
    """The notes beside a store, whose root is a folder or an address.

    Every method raises ConfigError if the address cannot be used, and OSError if the folder cannot.
    """

    def __init__(self, store: str) -> None:
        self._objects = Objects(f"{store}/{FOLDER}") if is_address(store) else None
        self.folder = Path() if self._objects else Path(store) / FOLDER
        self.every = AT_ADDRESS if self._objects else IN_FOLDER

    def write(self, name: str, content: bytes) -> None:
        """Leave a note."""
        if self._objects:
            self._objects.write(name, content)
            return
        aside = self.folder / f"{name}.{os.getpid()}"
        aside.write_bytes(content)
        aside.replace(self.folder / name)

    def read(self, name: str) -> bytes | None:
        """Return a note; None if there is none."""
        if self._objects:
            return self._objects.read(name)
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        """Take a note away, if it is there."""
        if self._objects:
            self._objects.delete(name)
            return
        with suppress(FileNotFoundError):
            (self.folder / name).unlink()
