"""Files are whole or not there, and what was written is flushed before it gets its name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.files import FSYNC_VARIABLE, link_to, sync_tree, write_atomically, written


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_what_fails_leaves_the_old_content_and_nothing_else(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    monkeypatch.setenv(FSYNC_VARIABLE, "1")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if fails == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    if fails == "replace":
        monkeypatch.setattr(Path, "replace", full)
    if fails == "write":
        monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_writer_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(KeyError), written(tmp_path / "file.txt"):
        raise KeyError("a bug")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_flushed_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FSYNC_VARIABLE, "1")
    plain = os.fsync

    def files_only(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink().is_dir():
            raise OSError(errno.EINVAL, "not for folders")
        plain(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    write_atomically(tmp_path / "a" / "file.txt", "text")
    sync_tree(tmp_path)


def test_a_link_is_moved_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        link_to(tmp_path / "latest", tmp_path / name)
        assert (tmp_path / "latest").resolve() == (tmp_path / name).resolve()
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "latest"}
