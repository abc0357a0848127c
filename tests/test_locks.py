"""On a file system without locks, a store works: the first commit counts."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path

import pytest

from harness import locks
from harness.store import FolderStore

KEY = "ab" + "0" * 30


@pytest.mark.parametrize("number", sorted(locks.NO_LOCKS))
def test_a_store_without_locks_is_told_of_once_and_works(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    one, other = FolderStore(tmp_path), FolderStore(tmp_path)
    with caplog.at_level(logging.WARNING), one.claim(KEY) as first, other.claim(KEY) as second:
        assert first != second
        for folder in (first, second):
            (folder / "file").write_text(str(folder == first))
        assert one.commit(KEY, first, {}) == other.commit(KEY, second, {})
    with other.try_claim("cd" + "0" * 30) as third:
        assert third is not None
    assert (one.place(KEY) / "file").read_text() == "True"
    assert [record.message.count("no locks on this file system") for record in caplog.records] == [1]
    assert [path.name for path in (tmp_path / "locks").iterdir()] == []


def test_another_error_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(handle: int, how: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output error"):
        locks.lock_of(tmp_path / "key.lock")
