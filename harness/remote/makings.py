"""What a store at an address holds: for each key the making that counts, named by its manifest.

A making is ``store/<first two of key>/<key>/<making>/`` with files that are written once. ``manifest.json`` beside it
names the making, and size and digest of each of its files. It is created last, and only if there is none: the first one
counts, and files of two makings are never mixed. A damaged manifest, or one of damaged files, is renamed to
``damaged-<making>.json``: the files stay for whoever wants to look at them, and the artifact is made again.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError, HarnessError, Problem
from harness.hashing import digest_file, digest_of
from harness.manifests import MANIFEST, as_text, contents, is_sealed, seal_of
from harness.provenance import now
from harness.remote.objects import Objects
from harness.store import VERSION_FILE, VERSION_NOTE, check_version

FOLDER = "store"
VERSIONED = f"{FOLDER}/{VERSION_FILE}"
DAMAGED = "damaged-"
AT_ONCE = 8
ABANDONED = 86_400.0
"""Seconds after which files that no manifest names are those of a writer that was killed."""
UNREADABLE = "its manifest cannot be read"
log = logging.getLogger(__name__)


class Making(NamedTuple):
    """A manifest: the name of the making that counts, its files with size and digest, and its facts."""

    name: str
    files: dict[str, list[Any]]
    facts: dict[str, Any]
    created: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())

    @property
    def content_digest(self) -> str:
        """The digest of the files, whatever their key and their making."""
        return digest_of(self.files)


class Makings:
    """The makings at an address. A manifest is read once; that there is none is looked up each time."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[str, Making] = {}
        self._version: bytes | None = None

    def find(self, key: str) -> Making | None:
        """Return the making that counts; None if there is none, or if its manifest was damaged.

        Raises ConfigError if a newer version of the harness has written the store.
        """
        self._check()
        if key not in self._known:
            making = self._read(key)
            if making is None:
                return None
            self._known[key] = making
        return self._known[key]

    def forget(self, key: str) -> None:
        """Read the manifest again when it is asked for."""
        self._known.pop(key, None)

    def all(self) -> dict[str, Making | None]:
        """Return every making by key; None for one whose manifest cannot be read. Raises ConfigError as `find` does."""
        self._check()
        names = [name.split("/") for name in self._objects.list(FOLDER) if name.endswith(f"/{MANIFEST}")]
        keys = sorted(parts[2] for parts in names if len(parts) == 4)
        unread = [key for key in keys if key not in self._known]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            read = threads.map(lambda key: self._objects.read(_manifest(key)) or b"", unread)
            makings = dict(zip(unread, map(_parsed, read), strict=True))
        self._known |= {key: making for key, making in makings.items() if making is not None}
        return {key: self._known.get(key) for key in keys}

    def address_of(self, key: str) -> str:
        """Return where an artifact lies, for people."""
        return f"{self._objects.address}/{_place(key)}"

    def fetch(self, key: str, making: Making, folder: Path) -> str:
        """Download the files of a making into a folder; return what is wrong with them, empty if nothing is."""

        def wrong(item: tuple[str, list[Any]]) -> str:
            name, (size, digest) = item
            path = folder / name
            if not self._objects.download(f"{_place(key)}/{making.name}/{name}", path) or path.stat().st_size != size:
                return f"{name} is missing or cut"
            return "" if digest_file(path) == digest else f"{name} has another content"

        with ThreadPoolExecutor(AT_ONCE) as threads:
            return next(filter(None, threads.map(wrong, making.files.items())), "")

    def reject(self, key: str, making: Making, damage: str) -> None:
        """Take a damaged making out of the way, unless another machine has replaced it."""
        self.forget(key)
        content = self._objects.read(_manifest(key))
        if content is not None and _parsed(content) == making:
            self._quarantine(key, content, making.name, damage)

    def publish(self, key: str, place: Path, facts: Mapping[str, Any]) -> bool:
        """Upload the files of a folder, and create their manifest unless there is one by now; return whether it counts.

        If something fails, what was uploaded is left: a request without a reply may have created the manifest.
        """
        if not self._check():
            self._objects.create(VERSIONED, VERSION_NOTE.encode())
            self._version = None
        making = Making(uuid.uuid4().hex, contents(place), json.loads(json.dumps(dict(facts))), now())
        self._upload(key, making, place)
        value = {"key": key, "created": making.created, "files": making.files, "facts": making.facts}
        sealed = {**value, "making": making.name, "seal": seal_of(value)}
        counts = self._objects.create(_manifest(key), as_text(sealed).encode())
        with suppress(HarnessError):
            if counts:
                self._known[key] = making
                self._delete_abandoned(key, making)
            else:
                self.forget(key)
                self._objects.delete_below(f"{_place(key)}/{making.name}")
        return counts

    def discard(self, key: str) -> None:
        """Delete the making that counts, unless another machine has made it since this process looked."""
        known, making = self._known.pop(key, None), self._read(key)
        if making is not None and (known is None or known.name == making.name):
            self._objects.delete(_manifest(key))
            self._objects.delete_below(f"{_place(key)}/{making.name}")

    def _check(self) -> bytes:
        """Return the note of the store's version, empty if there is none. Raises ConfigError for a newer one."""
        if self._version is None:
            noted = self._objects.read(VERSIONED) or b""
            check_version(noted, self._objects.address)
            self._version = noted
        return self._version

    def _read(self, key: str) -> Making | None:
        content = self._objects.read(_manifest(key))
        if content is None:
            return None
        making = _parsed(content)
        if making is None:
            self._quarantine(key, content, uuid.uuid4().hex, UNREADABLE)
        return making

    def _quarantine(self, key: str, content: bytes, name: str, damage: str) -> None:
        log.warning("artifact %s at %s is damaged (%s); it will be made again", key, self._objects.address, damage)
        self._objects.write(f"{_place(key)}/{DAMAGED}{name}.json", content)
        self._objects.delete(_manifest(key))

    def _upload(self, key: str, making: Making, place: Path) -> None:
        above = f"{_place(key)}/{making.name}"
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda name: self._objects.upload(place / name, f"{above}/{name}"), making.files))
        there = {name.removeprefix(f"{above}/"): listed.size for name, listed in self._objects.list(above).items()}
        if there != {name: size for name, (size, _) in making.files.items()}:
            what = "was not uploaded in full"
            raise ConfigError(Problem(f"{self._objects.address}/{above}", what, "run the same command again"))

    def _delete_abandoned(self, key: str, making: Making) -> None:
        """Delete what writers that were killed have left of other makings; damaged ones are kept."""
        listed = self._objects.list(_place(key))
        parts = {name.removeprefix(f"{_place(key)}/"): found.written for name, found in listed.items()}
        kept = {making.name, *(name.removeprefix(DAMAGED).removesuffix(".json") for name in parts)}
        latest = max(parts.values(), default=0.0)
        for name in _folders(parts) - kept:
            newest = max(written for part, written in parts.items() if part.startswith(f"{name}/"))
            if newest and latest - newest > ABANDONED:
                self._objects.delete_below(f"{_place(key)}/{name}")


def lease_of(key: str) -> str:
    """Return the name of the lease of a key."""
    return f"{_place(key)}/lease.json"


def _place(key: str) -> str:
    return f"{FOLDER}/{key[:2]}/{key}"


def _manifest(key: str) -> str:
    return f"{_place(key)}/{MANIFEST}"


def _folders(names: Iterable[str]) -> set[str]:
    return {name.partition("/")[0] for name in names if "/" in name}


def _parsed(content: bytes) -> Making | None:
    """A manifest as it was written; None if it cannot be read, or if the name of a file leads out of its folder."""
    try:
        value = json.loads(content)
        files = {str(name): [int(size), str(digest)] for name, (size, digest) in value["files"].items()}
        name, facts, created = value["making"], dict(value["facts"]), str(value["created"])
        whole = (
            is_sealed(value, value["key"])
            and re.fullmatch(r"[0-9a-f]{32}", name)
            and not any({"", ".", ".."} & {*file.split("/")} for file in files)
        )
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return Making(name, files, facts, created) if whole else None
