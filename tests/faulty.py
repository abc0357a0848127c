"""A file system in memory whose n-th change fails, before or after it was made: ``faulty://``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Faults:
    """When a call fails: the n-th from now, not before all calls were counted; -1 for never."""

    left: ClassVar[int] = -1
    after: ClassVar[bool] = False
    calls: ClassVar[int] = 0

    @classmethod
    def plan(cls, number: int, after: bool) -> None:
        cls.left, cls.after, cls.calls = number, after, 0

    @classmethod
    def guard(cls, call: Callable[[], Any]) -> Any:
        cls.calls += 1
        hit = cls.left == 0
        cls.left -= cls.left >= 0
        if hit and not cls.after:
            raise ConnectionResetError("the connection was reset before")
        value = call()
        if hit:
            raise ConnectionResetError("the connection was reset after")
        return value


class FaultyFileSystem(MemoryFileSystem):
    """Memory of its own, with faults in all that reads or changes an object."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("faulty://", "memory://"))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        Faults.guard(lambda: super(FaultyFileSystem, self).pipe_file(path, value, mode, **options))

    def cat_file(self, path: str, *places: Any, **options: Any) -> bytes:
        content: bytes = Faults.guard(lambda: super(FaultyFileSystem, self).cat_file(path, *places, **options))
        return content

    def put_file(self, lpath: str, rpath: str, *places: Any, **options: Any) -> None:
        Faults.guard(lambda: super(FaultyFileSystem, self).put_file(lpath, rpath, *places, **options))

    def get_file(self, rpath: str, lpath: str, *places: Any, **options: Any) -> None:
        Faults.guard(lambda: super(FaultyFileSystem, self).get_file(rpath, lpath, *places, **options))

    def rm_file(self, path: str) -> None:
        Faults.guard(lambda: super(FaultyFileSystem, self).rm_file(path))

    def find(self, path: str, *places: Any, **options: Any) -> Any:
        return Faults.guard(lambda: super(FaultyFileSystem, self).find(path, *places, **options))


fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
