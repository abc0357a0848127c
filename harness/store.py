"""Artifacts: folders that are written once, stored under a key, and checked before they are used.

``get(key)`` returns the folder of a committed artifact or None. ``claim(key)`` locks a key for the process that makes
the artifact; ``commit`` moves the folder that was written aside into its place. A reader therefore never sees a part of
an artifact, and processes can share a store. This module must not know what an artifact means.

An artifact is intact if every file has the digest of its manifest. The manifest also notes the times and the inode that
each file had when its digest was last right; while they and the size are the same, the file is not read again. A file
that was written to, or copied here, has others and is read. A file that decays on the disk without a trace is detected
by ``verify`` only, which reads everything (``harness store verify``).

`Store` is the protocol that all code is written against; `FolderStore` is its implementation in a folder. The one at an
address is in `remote/store.py`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from filelock import BaseFileLock, FileLock, Timeout

from harness.hashing import digest_file, digest_of
from harness.provenance import now

MANIFEST = "manifest.json"
PARTS = ".parts"
"""A folder in the folder of a claim for finished parts of the work: it outlives the process, and is not committed."""
TICK_NS = 50_000_000
"""More than the step of any clock of a file system that matters here, in nanoseconds."""
log = logging.getLogger(__name__)


class Store(Protocol):
    """Artifacts by key: in a folder, or at an address that many machines share."""

    def get(self, key: str) -> Path | None:
        """Return the folder of an intact artifact; None if there is none."""

    def has(self, key: str) -> bool:
        """Return whether an intact artifact exists."""

    def claim(self, key: str) -> AbstractContextManager[Path]:
        """Hold the key's lock; give an empty folder to write into, which is deleted if it is not committed.

        What an earlier claim of the key left in its folder `PARTS`, as it failed or was killed, is there again.
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

    def all_facts(self) -> Iterator[dict[str, Any]]:
        """Yield the facts of every artifact."""

    def verify(self) -> Iterator[tuple[Path | str, str]]:
        """Read every artifact in full; yield its place and what is wrong with it, empty if nothing is."""


class FolderStore:
    """A store in one folder: ``<root>/<first two of key>/<key>/``, with `manifest.json` in each artifact."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._intact: set[str] = set()

    def __reduce__(self) -> tuple[type[FolderStore], tuple[Path]]:
        """Another process has checked nothing yet, and may work in another folder."""
        return FolderStore, (self.root.absolute(),)

    def place(self, key: str) -> Path:
        """Return where an artifact lies, if it exists."""
        return self.root / key[:2] / key

    def get(self, key: str) -> Path | None:
        """Return the artifact's folder if every file has the digest of the manifest.

        A damaged artifact is deleted with a warning, so that it is made again. Each artifact is checked once in a
        process; its files are read only if they changed since their digests were last right.
        """
        place = self.place(key)
        if not place.is_dir():
            return None
        if key in self._intact or _unchanged(place):
            self._intact.add(key)
            return place
        damage = _damage(place)
        if damage:
            log.warning("artifact %s is damaged (%s); it will be made again", key, damage)
            with self.lock(key):
                if place.is_dir() and _damage(place):
                    shutil.rmtree(place)
            return None
        _note_times(place)
        self._intact.add(key)
        return place

    def has(self, key: str) -> bool:
        """Return whether an intact artifact exists."""
        return self.get(key) is not None

    def verify(self) -> Iterator[tuple[Path, str]]:
        """Read every artifact in full; yield its folder and what is wrong with it, empty if nothing is.

        Nothing is deleted.
        """
        for place in sorted(path for path in self.root.glob("??/*") if path.is_dir()):
            yield place, _damage(place)

    @contextmanager
    def claim(self, key: str) -> Iterator[Path]:
        with self.lock(key):
            leftovers = list(self.aside().glob(f"{key}.*"))
            aside = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=self.aside()))
            for leftover in leftovers:
                # Of a run that was killed: any other process that writes for this key would hold its lock.
                if (leftover / PARTS).is_dir() and not (aside / PARTS).exists():
                    (leftover / PARTS).rename(aside / PARTS)
                shutil.rmtree(leftover, ignore_errors=True)
            try:
                yield aside
            finally:
                _keep_parts_only(aside)

    @contextmanager
    def try_claim(self, key: str) -> Iterator[Path | None]:
        """As `claim`, but give None at once if another process holds the key."""
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
        shutil.rmtree(folder / PARTS, ignore_errors=True)
        files = contents(folder)
        manifest = {"key": key, "created": now(), "files": files, "times": _times(folder, files), "facts": dict(facts)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        folder.chmod(0o755)
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(place)
        self._intact.add(key)
        return place

    def discard(self, key: str) -> None:
        """Delete an artifact, so that it is made again."""
        with self.lock(key):
            self._intact.discard(key)
            if self.place(key).is_dir():
                shutil.rmtree(self.place(key))

    def facts(self, key: str) -> dict[str, Any]:
        """Return the facts that the artifact was committed with."""
        facts: dict[str, Any] = _manifest(self.place(key))["facts"]
        return facts

    def content_digest(self, key: str) -> str:
        """Return the digest of the artifact's files, whatever its key."""
        return digest_of(_manifest(self.place(key))["files"])

    def all_facts(self) -> Iterator[dict[str, Any]]:
        """Yield the facts of every artifact; manifests that cannot be read are skipped."""
        for path in sorted(self.root.glob(f"??/*/{MANIFEST}")):
            try:
                yield json.loads(path.read_text(encoding="utf-8"))["facts"]
            except (OSError, ValueError, KeyError):
                continue

    def lock(self, key: str) -> BaseFileLock:
        """Return the key's lock. Its holder may take it again, so `get` may be called inside of `claim`."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{key}.lock", is_singleton=True)

    def aside(self) -> Path:
        """Return the folder in which artifacts are written before they are committed; it is made."""
        folder = self.root / "aside"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _keep_parts_only(aside: Path) -> None:
    """Delete a folder that was not committed, but for finished parts of its work."""
    if not (aside / PARTS).is_dir():
        shutil.rmtree(aside, ignore_errors=True)
        return
    for path in aside.iterdir():
        if path.is_dir() and path.name != PARTS:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            path.unlink(missing_ok=True)


def _manifest(place: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    return value


def contents(folder: Path) -> dict[str, list[Any]]:
    """Size and SHA-256 of every file, by relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): [path.stat().st_size, digest_file(path)] for path in files}


def _damage(place: Path) -> str:
    """Return what is wrong with an artifact; empty if nothing is."""
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


def _times(folder: Path, names: Iterable[str]) -> dict[str, list[int]]:
    """When each file was last written to and last changed, in nanoseconds, and its inode.

    A program cannot set the time of change.
    """
    statuses = {name: (folder / name).stat() for name in names}
    return {name: [status.st_mtime_ns, status.st_ctime_ns, status.st_ino] for name, status in statuses.items()}


def _unchanged(place: Path) -> bool:
    """Return whether no file was changed since the manifest was written; False if that cannot be told.

    Sizes, times and inodes of all files must be those of the manifest, and older than it: a second change in the same
    tick of the clock has the time of the first one.
    """
    try:
        manifest = _manifest(place)
        dict(manifest["facts"])
        sizes = {name: size for name, (size, _) in manifest["files"].items()}
        times = _times(place, sizes)
        noted = (place / MANIFEST).stat().st_mtime_ns
        return bool(
            times == manifest.get("times")
            and all(changed + TICK_NS < noted for _, changed, _ in times.values())
            and all((place / name).stat().st_size == size for name, size in sizes.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _note_times(place: Path) -> None:
    """Write the times of files whose digests are right into the manifest.

    So a store that was copied or restored is read only once. Nothing is noted in a store that cannot be written to.
    """
    with suppress(OSError):
        manifest = _manifest(place)
        times = _times(place, manifest["files"])
        # Written beside the artifact, so that no reader sees a part of it.
        written = place.parent / f".{place.name}.{os.getpid()}.{threading.get_ident()}"
        written.write_text(json.dumps({**manifest, "times": times}, indent=1, sort_keys=True), encoding="utf-8")
        written.replace(place / MANIFEST)
