"""Manifests of artifacts: what was committed, and whether it is still what it was.

Beside size and digest of each file, a manifest notes the times and the inode that the file had when its digest was last
right. Its `seal` is a digest of all else that is read from it, so a manifest that decayed is noticed, too. See `store`.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from harness.files import PART, sync
from harness.hashing import digest_file

MANIFEST = "manifest.json"
TICK_NS = 50_000_000
"""More than the step of any clock of a file system that matters here, in nanoseconds."""


class Entry(NamedTuple):
    """An artifact as its manifest tells it: when it was committed (ISO 8601), the bytes of its files, its facts."""

    key: str
    created: str
    size: int
    facts: Mapping[str, Any]


class Damage(NamedTuple):
    """What is wrong with a file: size and SHA-256 as the manifest has them, and as they are; None if it is missing."""

    file: str
    expected: Sequence[Any] | None
    found: Sequence[Any] | None

    def __str__(self) -> str:
        if self.expected is None:
            return "its manifest cannot be read"
        if self.file == MANIFEST:
            return "its manifest is not the one that was written"
        cut = self.found is None or self.found[0] != self.expected[0]
        return f"{self.file} {'is missing or cut' if cut else 'has another content'}"


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


def damage_of(place: Path) -> Damage | None:
    """Return the first thing that is wrong with an artifact; None if nothing is."""
    try:
        manifest = read_manifest(place)
        expected = [(name, [int(size), str(digest)]) for name, (size, digest) in manifest["files"].items()]
        sealed = is_sealed(manifest, place.name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Damage(MANIFEST, None, _as_found(place / MANIFEST))
    if not sealed:
        return Damage(MANIFEST, [None, manifest.get("seal", "")], _as_found(place / MANIFEST))
    for name, wanted in expected:
        found = _as_found(place / name)
        if found != wanted:
            return Damage(name, wanted, found)
    return None


def is_sealed(manifest: Mapping[str, Any], key: str) -> bool:
    """Whether a manifest is the one that was written, and lies where it was put. Older versions wrote no seal."""
    dict(manifest["facts"])
    return bool(manifest["key"] == key and manifest.get("seal", seal_of(manifest)) == seal_of(manifest))


def _as_found(path: Path) -> list[Any] | None:
    """Size and digest of a file; None if there is none. For one that the disk cannot read: no size, and why."""
    try:
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
    """Return whether no file was changed since the manifest was written; False if that cannot be told.

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
            and times == manifest.get("times")
            and all(changed + TICK_NS < noted for _, changed, _ in times.values())
            and all((place / name).stat().st_size == size for name, size in sizes.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
