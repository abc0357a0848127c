"""Artifacts: folders that are written once, stored under a key, and checked before they are used.

``get(key)`` returns the folder of a committed artifact or None. ``claim(key)`` locks a key for the process that makes
the artifact; ``commit`` moves the folder that was written aside into its place. A reader therefore never sees a part of
an artifact, and processes can share a store. This module must not know what an artifact means.

What is committed survives a power cut: files, manifest and folders are flushed to the disk before the artifact gets its
name (see `files`). Locks only save work: if two processes make one artifact, the first commit counts.

An artifact is intact if every file has the digest of its manifest, and no other file was added. The manifest also notes
the times and the inode that each file had when its digest was last right; while they and the size are the same, the
file is not read again. A file that was written to, or copied here, has others and is read. A file that decays on the
disk without a trace is detected by ``verify`` only, which reads everything (``harness store verify``). What is damaged
is put into `quarantine`, and is made again. A file that was added is moved there alone, as what the manifest names is
whole.

`Store` is the protocol that all code is written against; `FolderStore` is its implementation in a folder. The one at an
address is in `remote/store.py`.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from filelock import BaseFileLock, Timeout

from harness import claims
from harness.errors import ConfigError, Problem
from harness.files import make_folder, sync, sync_tree, write_atomically
from harness.hashing import digest_of
from harness.locks import NoLock, lock_of
from harness.manifests import (
    MANIFEST,
    Entry,
    as_text,
    damage_of,
    is_unchanged,
    manifest_of,
    note_times,
    read_manifest,
    strays_in,
)
from harness.provenance import now
from harness.quarantine import put_away

VERSION_FILE, VERSION = "store.json", 2
"""A store without that file is of version 1, which differs in nothing that is read: it is taken over."""
VERSION_NOTE = json.dumps({"version": VERSION})
log = logging.getLogger(__name__)


class Store(Protocol):
    """Artifacts by key: in a folder, or at an address that many machines share."""

    def get(self, key: str) -> Path | None:
        """Return the folder of an intact artifact; None if there is none."""

    def has(self, key: str) -> bool:
        """Return whether an intact artifact exists."""

    def claim(self, key: str) -> AbstractContextManager[Path]:
        """Hold the key's lock; give an empty folder to write into, which is deleted if it is not committed.

        What an earlier claim of the key left in its folder `claims.PARTS`, as it failed or was killed, is there again.
        """

    def try_claim(self, key: str) -> AbstractContextManager[Path | None]:
        """As `claim`, but give None at once if another process holds the key."""

    def commit(self, key: str, folder: Path, facts: Mapping[str, Any]) -> Path:
        """Put the folder in place with a manifest of its content and these facts; return its path.

        If the key has an artifact already, that one stays.
        """

    def facts(self, key: str) -> dict[str, Any]:
        """Return the facts that an artifact was committed with."""

    def content_digest(self, key: str) -> str:
        """Return the digest of an artifact's files, whatever its key."""

    def discard(self, key: str) -> None:
        """Delete an artifact, so that it is made again."""

    def entries(self) -> Iterator[Entry]:
        """Yield every artifact whose manifest can be read; no file of it is."""

    def used(self) -> frozenset[str]:
        """Return the keys of the artifacts that this object has given or committed."""

    def verify(self) -> Iterator[tuple[Path | str, str]]:
        """Read every artifact in full and delete none; yield its place and what is wrong, empty if nothing is."""


class FolderStore:
    """A store in one folder: ``<root>/<first two of key>/<key>/``, with `manifest.json` in each artifact."""

    def __init__(self, root: Path) -> None:
        """Raises ConfigError if a newer version of the harness has written the store."""
        self.root = root
        self._intact: set[str] = set()
        noted = b""
        with suppress(OSError):
            noted = (root / VERSION_FILE).read_bytes()
        check_version(noted, str(root))

    def __reduce__(self) -> tuple[type[FolderStore], tuple[Path]]:
        """Another process has checked nothing yet, and may work in another folder."""
        return FolderStore, (self.root.absolute(),)

    def place(self, key: str) -> Path:
        """Return where an artifact lies, if it exists."""
        return self.root / key[:2] / key

    def get(self, key: str) -> Path | None:
        """Return the artifact's folder if every file has the digest of the manifest.

        A damaged artifact is put into quarantine with a warning, so that it is made again; of one to which files were
        added, only these are. Each artifact is checked once in a process; its files are read only if they changed since
        their digests were last right.
        """
        place = self.place(key)
        if not place.is_dir():
            return None
        if key in self._intact or is_unchanged(place):
            self._intact.add(key)
            return place
        if damage_of(place) is not None and not self._mended(key, place):
            return None
        note_times(place)
        self._intact.add(key)
        return place

    def _mended(self, key: str, place: Path) -> bool:
        """Take files that were added out of an artifact; return whether it is intact, else put it into quarantine."""
        with self.lock(key):
            if not place.is_dir():
                return False
            damage = damage_of(place)
            if damage is not None and damage.is_stray:
                kept = put_away(self.root, place, damage, strays_in(place, read_manifest(place)["files"]))
                log.warning("artifact %s: %s; what was added is now in %s, and is not used", key, damage, kept)
                damage = damage_of(place)
            if damage is not None:
                kept = put_away(self.root, place, damage)
                log.warning("artifact %s is damaged (%s); it is now in %s, and is made again", key, damage, kept)
            return damage is None

    def has(self, key: str) -> bool:
        return self.get(key) is not None

    def verify(self) -> Iterator[tuple[Path, str]]:
        for place in sorted(path for path in self.root.glob("??/*") if path.is_dir()):
            damage = damage_of(place)
            yield place, "" if damage is None else str(damage)

    @contextmanager
    def claim(self, key: str) -> Iterator[Path]:
        with self.lock(key) as lock:
            locked = not isinstance(lock, NoLock)
            leftovers = [path for path in self.aside().glob(f"{key}.*") if claims.is_abandoned(path, locked)]
            aside = claims.new_folder(self.aside(), key)
            for leftover in leftovers:
                claims.take_over(leftover, aside)
            try:
                yield aside
            finally:
                claims.keep_parts_only(aside)

    @contextmanager
    def try_claim(self, key: str) -> Iterator[Path | None]:
        lock = self.lock(key)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield None
            return
        try:
            with self.claim(key) as folder:
                yield folder
        finally:
            lock.release()

    def commit(self, key: str, folder: Path, facts: Mapping[str, Any]) -> Path:
        place = self.place(key)
        if place.is_dir():
            return place
        shutil.rmtree(folder / claims.PARTS, ignore_errors=True)
        manifest = manifest_of(key, now(), folder, facts)
        (folder / MANIFEST).write_text(as_text(manifest), encoding="utf-8")
        folder.chmod(0o755)
        sync_tree(folder)
        if not place.parent.is_dir():
            write_version(self.root)
            make_folder(place.parent)
        try:
            folder.rename(place)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            # A process that did not hold the lock was first: this store is shared without working locks.
            return place
        sync(place.parent)
        self._intact.add(key)
        return place

    def used(self) -> frozenset[str]:
        return frozenset(self._intact)

    def discard(self, key: str) -> None:
        with self.lock(key):
            self._intact.discard(key)
            if self.place(key).is_dir():
                shutil.rmtree(self.place(key))

    def facts(self, key: str) -> dict[str, Any]:
        facts: dict[str, Any] = read_manifest(self.place(key))["facts"]
        return facts

    def content_digest(self, key: str) -> str:
        return digest_of(read_manifest(self.place(key))["files"])

    def entries(self) -> Iterator[Entry]:
        for path in sorted(self.root.glob(f"??/*/{MANIFEST}")):
            try:
                manifest = json.loads(path.read_text(encoding="utf-8"))
                size = sum(size for size, _ in manifest["files"].values())
                yield Entry(path.parent.name, str(manifest["created"]), size, dict(manifest["facts"]))
            except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
                continue

    def lock(self, key: str) -> BaseFileLock | NoLock:
        """Return the key's lock. Its holder may take it again, so `get` may be called inside of `claim`."""
        return lock_of(self.root / "locks" / f"{key}.lock")

    def aside(self) -> Path:
        """Return the folder in which artifacts are written before they are committed; it is made."""
        folder = self.root / "aside"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def check_version(noted: str | bytes, store: str) -> None:
    """Raise ConfigError if a newer version of the harness has written a store, so that this one could misread it.

    `noted` is the content of the store's `VERSION_FILE`, or empty.
    """
    try:
        version = json.loads(noted)["version"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return
    if not isinstance(version, int) or version > VERSION:
        what = f"a store of version {version}, and this harness knows versions up to {VERSION}"
        raise ConfigError(Problem(store, what, "update the harness, or name another --store"))


def write_version(root: Path) -> None:
    """Note the version in a store."""
    if not (root / VERSION_FILE).exists():
        write_atomically(root / VERSION_FILE, VERSION_NOTE)
