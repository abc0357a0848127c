"""The store of artifacts at an address: `RemoteStore`, with copies in a local folder.

What counts is at the address (see `makings`). Files are read from local copies, which are checked against the manifest.
`claim` takes a lease, which only saves work. A making that cannot be uploaded stays in the local folder, and the next
command uploads it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, Problem
from harness.manifests import Entry
from harness.remote.bounded_cache import BoundedCache
from harness.remote.leases import Leases
from harness.remote.makings import UNREADABLE, Making, Makings, lease_of
from harness.remote.objects import Objects, create_file
from harness.store import FolderStore

POLL = 2.0
"""Seconds between two looks at a key that another machine holds."""
TRIES = 3


class RemoteStore:
    """The artifacts at an address, with copies in `copies`."""

    def __init__(self, objects: Objects, copies: FolderStore, most: int, sender: str = "") -> None:
        """`most` is the bound of the copies, in bytes; for `sender` see `Leases`."""
        self._copies, self._cache = copies, BoundedCache(copies, most)
        self._makings, self._leases = Makings(objects), Leases(objects, _name_of(copies.root), sender)

    def get(self, key: str) -> Path | None:
        """Return the folder of a local copy whose files have the digests of the manifest; None if there is none.

        What cannot be read at the address, or has another content than its manifest says, is reported and made again.
        """
        for _ in range(TRIES):
            making = self._makings.find(key)
            if making is None:
                return self._unfinished(key)
            place = self._copy(key, making) or self._download(key, making)
            if place is not None:
                if self._cache.note(key):
                    return place
                continue
            # It was replaced meanwhile, or it is damaged and now out of the way.
            self._makings.forget(key)
        return None

    def has(self, key: str) -> bool:
        """Return whether an artifact is at the address; its files are not read."""
        return self._makings.find(key) is not None or self._unfinished(key) is not None

    @contextmanager
    def claim(self, key: str) -> Iterator[Path]:
        """As that of a folder; waits while another machine holds the lease and has not committed."""
        lease = lease_of(key)
        with self._copies.claim(key) as folder:
            held = self._leases.acquire(lease)
            while not held and self._makings.find(key) is None:
                time.sleep(POLL)
                held = self._leases.acquire(lease)
            try:
                yield folder
            finally:
                if held:
                    self._leases.release(lease)

    @contextmanager
    def try_claim(self, key: str) -> Iterator[Path | None]:
        """As `claim`, but give None at once if another process or another machine holds the key."""
        with self._copies.try_claim(key) as folder:
            if folder is None or not self._leases.acquire(lease_of(key)):
                yield None
                return
            try:
                yield folder
            finally:
                self._leases.release(lease_of(key))

    def commit(self, key: str, folder: Path, facts: Mapping[str, Any]) -> Path:
        """Put an artifact into the local folder and at the address; return its local path.

        If the key has an artifact at the address by now, that one stays and is returned.
        """
        if self._makings.find(key) is None:
            self._drop_copy(key)
            self._publish(key, self._copies.commit(key, folder, facts))
        place = self.get(key)
        if place is None:
            what = "cannot be read after it was written"
            raise ConfigError(Problem(self._makings.address_of(key), what, "run the same command again"))
        return place

    def discard(self, key: str) -> None:
        """Delete an artifact and its copy, so that it is made again.

        One that another machine has made since this process looked is left alone.
        """
        self._makings.discard(key)
        self._drop_copy(key)

    def facts(self, key: str) -> dict[str, Any]:
        """Return the facts that an artifact was committed with. Raises FileNotFoundError if there is none."""
        return dict(self._required(key).facts)

    def content_digest(self, key: str) -> str:
        """Return the digest of an artifact's files, whatever its key. Raises FileNotFoundError if there is none."""
        return self._required(key).content_digest

    def entries(self) -> Iterator[Entry]:
        """Yield every artifact at the address whose manifest can be read; no file of it is."""
        for key, making in self._makings.all().items():
            if making is not None:
                yield Entry(key, making.created, making.size, dict(making.facts))

    def used(self) -> frozenset[str]:
        """Return the keys of the artifacts that this object has given or committed."""
        return self._copies.used()

    def release(self) -> None:
        """Let the copies be dropped that this object has given: nobody reads them any more."""
        self._cache.release()

    def verify(self) -> Iterator[tuple[Path | str, str]]:
        """Read every artifact at the address in full; yield its place and what is wrong with it, empty if nothing is.

        Nothing is deleted.
        """
        for key, making in self._makings.all().items():
            why = UNREADABLE
            if making is not None:
                with tempfile.TemporaryDirectory(dir=self._copies.aside(), prefix="verify-") as folder:
                    why = self._makings.fetch(key, making, Path(folder))
            yield self._makings.address_of(key), why

    def _required(self, key: str) -> Making:
        making = self._makings.find(key)
        if making is None:
            raise FileNotFoundError(self._makings.address_of(key))
        return making

    # ---- copies

    def _copy(self, key: str, making: Making) -> Path | None:
        """The local copy, if it is one of this making; another one is dropped, unless this process was given it."""
        place = self._copies.get(key)
        if place is None or self._cache.is_given(key):
            return place
        if self._copies.content_digest(key) == making.content_digest:
            return place
        self._drop_copy(key)
        return None

    def _download(self, key: str, making: Making) -> Path | None:
        """Make a local copy; None if the address does not hold what the manifest says."""
        with self._copies.lock(key):
            place = self._copies.get(key)
            if place is not None:
                # Another process of this machine has made it meanwhile.
                return place if self._copies.content_digest(key) == making.content_digest else None
            for leftover in self._copies.aside().glob(f"copy-{key}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=self._copies.aside(), prefix=f"copy-{key}-"))
            try:
                if damage := self._makings.fetch(key, making, folder):
                    self._makings.reject(key, making, damage)
                    return None
                place = self._copies.commit(key, folder, making.facts)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        self._cache.note(key)
        self._cache.make_room(making.size)
        return place

    def _drop_copy(self, key: str) -> None:
        self._copies.discard(key)
        self._cache.forget(key)

    # ---- commits

    def _unfinished(self, key: str) -> Path | None:
        """Upload a making that an earlier command could not upload; None if there is none.

        A copy of what was at the address, and is no longer, was discarded by another machine, and is dropped here.
        """
        if not self._copies.place(key).is_dir():
            return None
        with self._copies.lock(key):
            if self._cache.is_noted(key):
                if not self._cache.is_given(key):
                    self._drop_copy(key)
                return None
            place = self._copies.get(key)
            if place is not None:
                self._publish(key, place)
        return self.get(key) if place is not None else None

    def _publish(self, key: str, place: Path) -> None:
        """Upload a making; keep it here unless another one counts."""
        if self._makings.publish(key, place, self._copies.facts(key)):
            self._cache.note(key)
            self._cache.make_room(self._required(key).size)
            return
        winner = self._makings.find(key)
        if winner is None or winner.content_digest != self._copies.content_digest(key):
            self._drop_copy(key)


def _name_of(folder: Path) -> str:
    """Return the random name of a folder of copies, which it is given once."""
    path = folder / "name"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        create_file(path, uuid.uuid4().hex.encode())
    return path.read_text(encoding="ascii")
