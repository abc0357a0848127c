"""A mirror: a local folder in step with an address, for all that is no artifact: results, calibrations, LLM answers.

The rest of the harness reads and writes paths. A folder that was opened for an address knows it by a file in it, so
nobody has to carry the address along; a folder without that file is a plain one, for which everything here does
nothing. Must not know what the files mean.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from harness.files import sync, write_atomically
from harness.remembered import cache_folder
from harness.remote.objects import Objects, is_address

MARKER = ".harness-address.json"
PULLED = ".pulled.json"
AT_ONCE = 8
_mirrors: dict[Path, Mirror] = {}


class Mirror:
    """A folder and the objects that it mirrors, by the same relative names."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.objects = folder, Objects(address)

    def name_of(self, path: Path) -> str:
        """Return the name of the object that a path mirrors."""
        return path.relative_to(self.folder).as_posix()

    def pull(self, below: str, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
        """Download the objects below a name that are wanted and have changed since; return all names there are."""
        listed = self.objects.list(below)
        known = self._pulled()
        news = [
            name
            for name, found in listed.items()
            if wanted(name) and (known.get(name) != found.version or not _holds(self.folder / name, found.size))
        ]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            arrived = [name for name, came in zip(news, threads.map(self._download, news), strict=True) if came]
        if arrived:
            write_atomically(
                self.folder / PULLED, json.dumps({**known, **{name: listed[name].version for name in arrived}})
            )
        return list(listed)

    def push(self, path: Path) -> None:
        """Upload a file."""
        self.objects.upload(path, self.name_of(path))

    def push_folder(self, folder: Path, last: Callable[[Path], bool] = lambda path: False) -> None:
        """Upload all files below a folder; those that are to be `last` after the others."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for turn in (False, True):
            with ThreadPoolExecutor(AT_ONCE) as threads:
                list(threads.map(self.push, [path for path in files if last(path) == turn]))

    def remove(self, path: Path) -> None:
        """Delete the object that a path mirrors."""
        self.objects.delete(self.name_of(path))

    def _download(self, name: str) -> bool:
        path = self.folder / name
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            if not self.objects.download(name, aside):
                return False
            sync(aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        return True

    def _pulled(self) -> dict[str, str]:
        try:
            known = json.loads((self.folder / PULLED).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}


def _holds(path: Path, size: int) -> bool:
    """Whether a file is there, and as long as its object; a power cut may leave it empty, a full disk short."""
    with suppress(OSError):
        return path.is_file() and path.stat().st_size == size
    return False


def opened(place: str | Path) -> Path:
    """Return the folder of a place that a user named: the place itself, or the mirror of an address.

    Raises ConfigError, with what to install or to set, if an address cannot be read.
    """
    if not is_address(place):
        return Path(place)
    objects = Objects(str(place))
    objects.exists()
    name = re.sub(r"[^A-Za-z0-9]+", "-", objects.address).strip("-")[-60:]
    digest = hashlib.sha256(objects.address.encode()).hexdigest()[:8]
    folder = _mirrors_folder() / f"{name}-{digest}"
    if not (folder / MARKER).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / MARKER, json.dumps({"address": objects.address}))
    _mirrors.setdefault(folder, Mirror(folder, objects.address))
    return folder


def _mirrors_folder() -> Path:
    return (cache_folder() / "addresses").absolute()


def mirror_of(path: Path) -> Mirror | None:
    """Return the mirror that a path lies in; None if it lies in a plain folder.

    Mirrors are those that this process opened, and those in the cache of the user: a file of that name in a folder that
    others gave would have results sent to an address of their choice.
    """
    path, mirrors = path.absolute(), _mirrors_folder()
    for folder in (path, *path.parents):
        if folder in _mirrors:
            return _mirrors[folder]
        if folder.parent != mirrors:
            continue
        with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            address = str(json.loads((folder / MARKER).read_text(encoding="utf-8"))["address"])
            return _mirrors.setdefault(folder, Mirror(folder, address))
    return None


def shown(path: Path) -> str:
    """Return a place as its user named it: the address of a mirror, or the path."""
    mirror = mirror_of(path)
    return str(path) if mirror is None else f"{mirror.objects.address}/{mirror.name_of(path)}".removesuffix("/.")
