"""Artifacts: folders that are written once, found again by key, and checked before they are used.

Three verbs. ``get(key)`` returns the folder of a committed artifact or None; ``claim(key)`` is a lock for the one who
makes it; ``commit`` moves a folder written aside into its place. A reader therefore never sees a part of an artifact,
and processes can share a store. What an artifact means is none of this module's business.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import BaseFileLock, FileLock

from harness.digests import digest_file, digest_of
from harness.provenance import now

MANIFEST = "manifest.json"
CHECKED = "checked"
"""Folder of the notes that artifacts were read whole and found intact, a file each."""
SETTLED = 2.0
"""Seconds after its last change from which a file's times tell that it was changed again; some disks count in two."""
log = logging.getLogger(__name__)


class Store(Protocol):
    """Where artifacts live: on this disk, or on one that many machines share."""

    def get(self, key: str) -> Path | None:
        """Return the folder of an intact artifact; None if there is none."""

    def claim(self, key: str) -> AbstractContextManager[Path]:
        """Hold the key's lock; give an empty folder to write into, which is thrown away if not committed."""

    def commit(self, key: str, folder: Path, facts: Mapping[str, Any]) -> Path:
        """Put the folder in place with a manifest of its content and these facts; return where it lies."""


class FolderStore:
    """A store in one folder: ``<root>/<first two of key>/<key>/``, with `manifest.json` in each artifact."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._intact: set[str] = set()

    def _place(self, key: str) -> Path:
        return self.root / key[:2] / key

    def get(self, key: str) -> Path | None:
        """Return the artifact's folder if every file has the digest of the manifest.

        A damaged artifact is set aside with a warning, so that it is made again. An artifact is read and checked by
        the first process that asks for it; others go by the size, inode and times of its files, which every change
        of a file changes too.
        """
        place = self._place(key)
        if key in self._intact and place.is_dir():
            return place
        if not place.is_dir():
            return None
        signature = _signature(place)
        if signature and signature == self._checked(key):
            self._intact.add(key)
            return place
        damage = _damage(place)
        if damage:
            log.warning("artifact %s is damaged (%s); it will be made again", key, damage)
            with self._lock(key):
                if place.is_dir() and _damage(place):
                    shutil.rmtree(place)
            return None
        self._note_checked(key, place, signature)
        self._intact.add(key)
        return place

    def _checked(self, key: str) -> str:
        """The signature that an artifact had when it was last read whole; empty if none did, or nobody knows."""
        try:
            return (self.root / CHECKED / key).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    def _note_checked(self, key: str, place: Path, signature: str) -> None:
        """Remember that an artifact is intact, unless it was changed while it was read, or too short a time ago."""
        if not signature or signature != _signature(place) or time.time() - _last_change(place) < SETTLED:
            return
        note = self.root / CHECKED / key
        with contextlib.suppress(OSError):
            # Who may only read the store does without.
            note.parent.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=note.parent, prefix=".")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(signature)
            Path(aside).replace(note)

    @contextmanager
    def claim(self, key: str) -> Iterator[Path]:
        with self._lock(key):
            for left in self._aside().glob(f"{key}.*"):
                # Of a run that was killed: whoever else wrote for this key would hold its lock.
                shutil.rmtree(left, ignore_errors=True)
            aside = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=self._aside()))
            try:
                yield aside
            finally:
                shutil.rmtree(aside, ignore_errors=True)

    def commit(self, key: str, folder: Path, facts: Mapping[str, Any]) -> Path:
        place = self._place(key)
        if place.is_dir():
            return place
        manifest = {"key": key, "created": now(), "files": _contents(folder), "facts": dict(facts)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        folder.chmod(0o755)
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(place)
        self._intact.add(key)
        return place

    def discard(self, key: str) -> None:
        """Throw an artifact away, so that it is made again."""
        with self._lock(key):
            self._intact.discard(key)
            if self._place(key).is_dir():
                shutil.rmtree(self._place(key))

    def facts(self, key: str) -> dict[str, Any]:
        """Return the facts that the artifact was committed with."""
        facts: dict[str, Any] = _manifest(self._place(key))["facts"]
        return facts

    def content_digest(self, key: str) -> str:
        """Return the digest of what the artifact holds, whatever key it was made under."""
        return digest_of(_manifest(self._place(key))["files"])

    def all_facts(self) -> Iterator[dict[str, Any]]:
        """Yield the facts of every artifact, for estimates from what was made before."""
        for path in sorted(self.root.glob(f"??/*/{MANIFEST}")):
            try:
                yield json.loads(path.read_text(encoding="utf-8"))["facts"]
            except (OSError, ValueError, KeyError):
                continue

    def _lock(self, key: str) -> BaseFileLock:
        """The key's lock. Who holds it may take it again, so `get` may be called inside of `claim`."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{key}.lock", is_singleton=True)

    def _aside(self) -> Path:
        folder = self.root / "aside"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _manifest(place: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    return value


def _contents(folder: Path) -> dict[str, list[Any]]:
    """Size and SHA-256 of every file, by relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): [path.stat().st_size, digest_file(path)] for path in files}


def _signature(place: Path) -> str:
    """A digest of the names, sizes, inodes and times of all files of an artifact; empty if they cannot be looked at."""
    try:
        found = [(path.relative_to(place).as_posix(), path.stat()) for path in sorted(place.rglob("*"))]
    except OSError:
        return ""
    return digest_of([[name, at.st_size, at.st_ino, at.st_mtime_ns, at.st_ctime_ns] for name, at in found])


def _last_change(place: Path) -> float:
    """When anything in an artifact was last changed, in seconds; times in the future count as just now."""
    return max((at.stat().st_ctime for at in (place, *place.rglob("*"))), default=time.time())


def _damage(place: Path) -> str:
    """Say what is wrong with an artifact; empty if nothing is."""
    try:
        manifest = _manifest(place)
        expected = [(name, size, digest) for name, (size, digest) in manifest["files"].items()]
        dict(manifest["facts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its manifest cannot be read"
    for name, size, digest in expected:
        path = place / name
        if not path.is_file() or path.stat().st_size != size:
            return f"{name} is missing or cut"
        if digest_file(path) != digest:
            return f"{name} has another content"
    return ""
