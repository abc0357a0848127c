"""Manifests of artifacts: what was committed, and whether it is still what it was.

Beside size and digest of each file, a manifest notes the times and the inode that the file had when its digest was last
right. Its `seal` is a digest of all else that is read from it, so a manifest that decayed is noticed, too. See `store`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from harness.files import PART, sync
from harness.hashing import digest_file

MANIFEST = "manifest.json"
NOT_ITS_OWN = "is not one of its files"
TICK_NS = 50_000_000
"""More than the step of any clock of a file system that matters here, in nanoseconds."""
OF_SYSTEM = re.compile(r"\.(nfs[0-9a-f]+|fuse_hidden[0-9a-f]+|DS_Store)")
"""Names of files that a file system or a desktop puts into any folder, and no loader reads."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a manifest of any content raises."""


class Entry(NamedTuple):
    """An artifact as its manifest tells it: when it was committed (ISO 8601), the bytes of its files, its facts."""

    key: str
    created: str
    size: int
    facts: Mapping[str, Any]


class Damage(NamedTuple):
    """What is wrong with a file: size and SHA-256 as the manifest has them, and as they are; None if it is missing.

    `expected` is None for a manifest that cannot be read, and for a file that the manifest does not name.
    """

    file: str
    expected: Sequence[Any] | None
    found: Sequence[Any] | None

    @property
    def is_stray(self) -> bool:
        """Whether the file was added: the manifest does not name it, and all that it names is right."""
        return self.expected is None and self.file != MANIFEST

    def __str__(self) -> str:
        if self.is_stray:
            return f"{printable(self.file)} {NOT_ITS_OWN}"
        if self.expected is None:
            return "its manifest cannot be read"
        if self.file == MANIFEST:
            return "its manifest is not the one that was written"
        cut = self.found is None or self.found[0] != self.expected[0]
        return f"{printable(self.file)} {'is missing or cut' if cut else 'has another content'}"


def printable(name: str) -> str:
    """Return the name of a file as it may be printed: control characters would speak to the terminal."""
    return name if name.isprintable() else ascii(name)


def as_text(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as it is written."""
    return json.dumps(manifest, indent=1, sort_keys=True)


def manifest_of(key: str, created: str, folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of what lies in a folder."""
    files = contents(folder)
    manifest = {"key": key, "created": created, "files": files, "facts": json.loads(json.dumps(dict(facts)))}
    return {**manifest, "seal": seal_of(manifest), "times": times_of(folder, files)}


def seal_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of all of a manifest that decides anything.

    Facts may hold numbers that are not finite, such as the loss of a training: it must not be lost for that.
    """
    decides = [manifest[name] for name in ("key", "created", "files", "facts")]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def read_manifest(place: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    return value


def contents(folder: Path) -> dict[str, list[Any]]:
    """Size and SHA-256 of every file, by relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): [path.stat().st_size, digest_file(path)] for path in files}


def names_in(place: Path) -> set[str]:
    """Return the names of all files of an artifact but the manifest, and of links to folders, which are not followed.

    A folder that cannot be read counts as a file.
    """
    closed: list[OSError] = []
    found = set()
    for root, folders, files in os.walk(place, onerror=closed.append):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        found |= {(Path(root) / name).relative_to(place).as_posix() for name in (*files, *links)}
    return (found | {Path(error.filename).relative_to(place).as_posix() for error in closed}) - {MANIFEST}


def strays_in(place: Path, named: Iterable[str]) -> list[str]:
    """Return the names of files in an artifact that are not among those that its manifest names."""
    added = names_in(place) - set(named)
    return sorted(name for name in added if not OF_SYSTEM.fullmatch(name.rpartition("/")[2]))


def damage_of(place: Path) -> Damage | None:
    """Return the first thing that is wrong with an artifact; None if nothing is. An added file comes last."""
    try:
        manifest = read_manifest(place)
        expected = [(name, [int(size), str(digest)]) for name, (size, digest) in manifest["files"].items()]
        sealed = is_sealed(manifest, place.name)
    except UNREADABLE:
        return Damage(MANIFEST, None, _as_found(place / MANIFEST))
    if not sealed:
        return Damage(MANIFEST, [None, manifest.get("seal", "")], _as_found(place / MANIFEST))
    present = names_in(place)
    for name, wanted in expected:
        # A name that leads out of the folder, or through a link, is none of the artifact.
        found = _as_found(place / name) if name in present else None
        if found != wanted:
            return Damage(name, wanted, found)
    strays = strays_in(place, manifest["files"])
    return Damage(strays[0], None, _as_found(place / strays[0])) if strays else None


def is_sealed(manifest: Mapping[str, Any], key: str) -> bool:
    """Whether a manifest is the one that was written, and lies where it was put. Older versions wrote no seal."""
    dict(manifest["facts"])
    return bool(manifest["key"] == key and manifest.get("seal", seal_of(manifest)) == seal_of(manifest))


def _as_found(path: Path) -> list[Any] | None:
    """Size and digest of a file; None if there is none. For one that cannot be read: no size, and why."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # A pipe would be waited for.
            return [None, "no regular file"]
        return [path.stat().st_size, digest_file(path)]
    except FileNotFoundError:
        return None
    except OSError as error:
        return [None, error.strerror]


def times_of(folder: Path, names: Iterable[str]) -> dict[str, list[int]]:
    """When each file was last written to and last changed, in nanoseconds, and its inode.

    A program cannot set the time of change.
    """
    statuses = {name: (folder / name).stat() for name in names}
    return {name: [status.st_mtime_ns, status.st_ctime_ns, status.st_ino] for name, status in statuses.items()}


def is_unchanged(place: Path) -> bool:
    """Return whether no file was changed or added since the manifest was written; False if that cannot be told.

    Sizes, times and inodes of all files must be those of the manifest, and older than it: a second change in the same
    tick of the clock has the time of the first one.
    """
    try:
        manifest = read_manifest(place)
        sizes = {name: size for name, (size, _) in manifest["files"].items()}
        times = times_of(place, sizes)
        noted = (place / MANIFEST).stat().st_mtime_ns
        return bool(
            is_sealed(manifest, place.name)
            and set(sizes) <= names_in(place)
            and not strays_in(place, sizes)
            and times == manifest.get("times")
            and all(changed + TICK_NS < noted for _, changed, _ in times.values())
            and all((place / name).stat().st_size == size for name, size in sizes.items())
        )
    except UNREADABLE:
        return False


def note_times(place: Path) -> None:
    """Write the times of files whose digests are right into the manifest.

    So a store that was copied or restored is read only once. Nothing is noted in a store that cannot be written to.
    """
    with suppress(OSError):
        manifest = read_manifest(place)
        times = times_of(place, manifest["files"])
        # Written beside the artifact, so that no reader sees a part of it.
        beside = place.parent / f".{place.name}.{uuid.uuid4().hex}{PART}"
        try:
            beside.write_text(as_text({**manifest, "times": times}), encoding="utf-8")
            sync(beside)
            beside.replace(place / MANIFEST)
        finally:
            beside.unlink(missing_ok=True)
