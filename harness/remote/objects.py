"""Objects: whole files below an address, read and written through fsspec.

An object appears at once and whole, or not at all; `create` says who came first. Listings are never cached: another
machine may have written in the meantime. Must not know what the objects mean.

`create` is exclusive where the file system can say so: S3 (``If-None-Match: *``), GCS, Azure, a local folder (a hard
link), memory. Elsewhere, two machines that create the same object within one request of each other may both believe to
be first; the object of the later one stays. What is written under a name of its own is never touched by that.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from harness.errors import ConfigError, HarnessError, Problem
from harness.remote.failures import is_missing_bucket, is_passing, problem_of, protocol_of
from harness.suite.secrets import mask, wrong_in_address

LOCAL = ("file", "local")
S3 = ("s3", "s3a")
WITHOUT_FOLDERS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory")
"""Protocols whose objects need no folder made for them. Asking S3 to make one could make a bucket."""
WRITTEN_FIELDS = ("mtime", "LastModified", "last_modified", "updated", "created")
VERSION_FIELDS = ("size", "ETag", "etag", *WRITTEN_FIELDS)
PATIENCE = 60.0
"""Seconds for which a call is repeated that cannot reach an address, if one before could."""
PAUSES = (1.0, 10.0)
"""Seconds before the first repetition, and the most before any."""
FULL = (errno.ENOSPC, errno.EDQUOT)
ASIDE = ".aside-"
FLATTENED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)


_EXCLUSIVE = threading.Lock()
"""Held while an object is created: the file system in memory does not look and write in one step."""
_ANSWERED: set[str] = set()
"""Buckets that this process, or the one that sent it its work, has reached."""


class Listed(NamedTuple):
    """An object in a listing: its size in bytes, a text that changes when it is written again, and the time of that.

    The time is in seconds, by the clock of the address; 0 if it is not known.
    """

    size: int
    version: str
    written: float


def is_address(place: str | Path) -> bool:
    """Whether a place is an address, and no folder. Raises ConfigError for one that `Path` has made a path of."""
    text = str(place)
    if FLATTENED.match(text):
        raise ConfigError(Problem(text, "an address that was made a path", "give it as a text, with '://'"))
    return "://" in text


def expect(address: str | Path) -> None:
    """Be patient with an address from the first call on: whoever names it has just reached it."""
    if is_address(address):
        _ANSWERED.add(_bucket_of(str(address)))


def _bucket_of(address: str) -> str:
    protocol, _, path = address.partition("://")
    return f"{protocol}://{path.partition('/')[0]}"


def _patient(method: Callable[Concatenate[Objects, P], T]) -> Callable[Concatenate[Objects, P], T]:
    """Repeat a call for a while if the bucket cannot be reached, and could before: servers start again, networks fail.

    At a bucket that never answered, the first failure is told at once: it is likely to be misspelt.
    """

    @functools.wraps(method)
    def call(self: Objects, /, *args: P.args, **named: P.kwargs) -> T:
        deadline, pause = time.monotonic() + PATIENCE, PAUSES[0]
        while True:
            try:
                result = method(self, *args, **named)
            except ConfigError as error:
                may_pass = self.bucket in _ANSWERED and is_passing(error.__cause__)
                if not may_pass or time.monotonic() + pause > deadline:
                    raise
                log.warning("%s; trying again", error.problems[0].what)
                time.sleep(pause)
                pause = min(2 * pause, PAUSES[1])
            else:
                _ANSWERED.add(self.bucket)
                return result

    return call


class Objects:
    """The objects below one address.

    Every method raises ConfigError, with what to do, if the address cannot be used.
    """

    def __init__(self, address: str) -> None:
        secret = wrong_in_address(address)
        self.address = mask(address).rstrip("/")
        self.bucket = _bucket_of(self.address)
        if secret:
            raise ConfigError(Problem(self.address, secret, "set it in the environment instead"))
        if "::" in address:
            raise ConfigError(Problem(self.address, "holds a chain of addresses", "name the last one alone"))
        with self._explained():
            from fsspec.core import url_to_fs

            protocol = protocol_of(address)
            options = {"auto_mkdir": True} if protocol in LOCAL else {}
            self.fs, base = url_to_fs(address, use_listings_cache=False, **options)
            self.base = str(base).rstrip("/")
            # For parallel ranges, s3fs would ask for the size first, and for a listing if there is no such object.
            self._at_once = {"max_concurrency": 1} if protocol in S3 else {}
            self._is_local, self._has_folders = protocol in LOCAL, protocol not in WITHOUT_FOLDERS

    @_patient
    def exists(self) -> bool:
        """Whether there is anything below the address. Raises ConfigError if its bucket does not exist."""
        with self._explained():
            self.fs.invalidate_cache()
            try:
                return bool(self.fs.ls(self.base, detail=False))
            except FileNotFoundError as error:
                if is_missing_bucket(error):
                    raise
                return False

    @_patient
    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None if there is none."""
        with self._explained():
            try:
                content: bytes = self.fs.cat_file(self._path(name), **self._at_once)
            except FileNotFoundError as error:
                if is_missing_bucket(error):
                    raise
                return None
            return content

    @_patient
    def write(self, name: str, content: bytes) -> None:
        """Write an object, in the place of the one that has the name."""
        with self._explained():
            path = self._prepared(name)
            if self._is_local:
                _written_aside(path, content).replace(path)
            else:
                self.fs.pipe_file(path, content)

    @_patient
    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless one has the name; return whether this call wrote it.

        Contents of two callers must differ. A request that was repeated after a lost reply finds its own content.
        """
        with self._explained():
            path = self._prepared(name)
            if self._is_local:
                return create_file(path, content)
            with _EXCLUSIVE:
                current = self.read(name)
                if current is None:
                    try:
                        self.fs.pipe_file(path, content, mode="create")
                    except (OSError, NotImplementedError, TypeError) as error:
                        # Servers word a lost race in several ways: what counts is whether the object exists now.
                        if self.read(name) is None:
                            if not _lacks_conditions(error):
                                raise
                            self.fs.pipe_file(path, content)
                    current = self.read(name)
                return current == content

    @_patient
    def upload(self, path: Path, name: str) -> None:
        """Copy a file here."""
        with self._explained():
            self.fs.put_file(str(path), self._prepared(name))

    @_patient
    def download(self, name: str, path: Path) -> bool:
        """Copy an object into a file, whose folder is made; return False if there is no such object."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            try:
                self.fs.get_file(self._path(name), str(path))
            except FileNotFoundError as error:
                if is_missing_bucket(error):
                    raise
                return False
            return True

    @_patient
    def list(self, below: str) -> dict[str, Listed]:
        """Return all objects below a name, by their whole names; those whose name leads elsewhere are left out."""
        with self._explained():
            self.fs.invalidate_cache()
            try:
                found: dict[str, dict[str, Any]] = self.fs.find(self._path(below), detail=True)
            except FileNotFoundError as error:
                if is_missing_bucket(error):
                    raise
                return {}
        return {
            name: Listed(int(info.get("size") or 0), _version(info), _written(info))
            for name, info in ((path[len(self.base) + 1 :], info) for path, info in found.items())
            if info.get("type") != "directory" and _is_plain(name)
        }

    @_patient
    def delete(self, name: str) -> None:
        """Delete an object, if it exists."""
        with self._explained(), suppress(FileNotFoundError):
            self.fs.rm_file(self._path(name))

    def delete_below(self, name: str) -> None:
        """Delete all objects below a name."""
        for found in self.list(name):
            self.delete(found)

    def _path(self, name: str) -> str:
        return f"{self.base}/{name}" if name else self.base

    def _prepared(self, name: str) -> str:
        """The path of an object that is to be written, with its folder where the file system has folders."""
        path = self._path(name)
        if self._has_folders:
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        return path

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (HarnessError, KeyboardInterrupt, GeneratorExit):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            raise ConfigError(problem_of(error, self.address)) from error


def _lacks_conditions(error: Exception) -> bool:
    """Whether a file system, or its server, does not know how to create exclusively."""
    return not isinstance(error, OSError) or error.errno == errno.ENOSYS


def _version(info: dict[str, Any]) -> str:
    return " ".join(f"{field}={info[field]}" for field in VERSION_FIELDS if field in info)


def _written(info: dict[str, Any]) -> float:
    times = [info[field] for field in WRITTEN_FIELDS if info.get(field) is not None]
    time = times[0] if times else 0.0
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, int | float) else 0.0


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return not {"", ".", ".."} & {*parts} and not parts[-1].startswith(ASIDE)


def _written_aside(path: str | Path, content: bytes) -> Path:
    aside = Path(path).with_name(f"{ASIDE}{uuid.uuid4().hex}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return aside


def create_file(path: str | Path, content: bytes) -> bool:
    """Make a local file, whole, unless there is one; return whether this call made it."""
    aside = _written_aside(path, content)
    try:
        # Fails if the name is taken.
        os.link(aside, path)
    except FileExistsError:
        return Path(path).read_bytes() == content
    except OSError:
        # A file system without hard links.
        with suppress(FileExistsError), Path(path).open("xb") as file:
            file.write(content)
        return Path(path).read_bytes() == content
    finally:
        aside.unlink(missing_ok=True)
    return True
