"""Files are whole or not there, and what was written is flushed before it gets its name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.files import (
    FSYNC_VARIABLE,
    can_be_replaced,
    link_to,
    sync_tree,
    write_atomically,
    written,
    written_folder,
)


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


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "above" / "out"
    with written_folder(place) as aside:
        (aside / "models").mkdir()
        (aside / "models" / "weights").write_text("one")
        assert not place.exists()
    assert (place / "models" / "weights").read_text() == "one"
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, KeyError, OSError])
def test_an_interrupted_folder_leaves_nothing(error: type[BaseException], there: bool, tmp_path: Path) -> None:
    place = tmp_path / "out"
    if there:
        place.mkdir()

    def interrupted() -> None:
        with written_folder(place) as aside:
            (aside / "half").write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert list(tmp_path.rglob("*")) == ([place] if there else [])


def test_a_folder_that_is_filled_meanwhile_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "out"

    def filled() -> None:
        with written_folder(place):
            place.mkdir()
            (place / "mine").write_text("mine")

    with pytest.raises(OSError, match="not empty") as caught:
        filled()
    assert caught.value.filename == str(place)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_a_folder_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FSYNC_VARIABLE, "1")
    done: list[str] = []
    plain, replace = os.fsync, Path.replace

    def noted(handle: int) -> None:
        done.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        plain(handle)

    def placed(self: Path, target: Path) -> Path:
        done.append("in place")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", placed)
    with written_folder(tmp_path / "out") as aside:
        (aside / "weights").write_text("one")
    assert done == ["weights", aside.name, "in place", tmp_path.name]


def test_which_folders_can_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    assert can_be_replaced(tmp_path / "out")
    assert can_be_replaced(tmp_path / "new")
    assert not can_be_replaced(tmp_path)
    assert not can_be_replaced(Path())
    assert not can_be_replaced(Path("/proc"))
