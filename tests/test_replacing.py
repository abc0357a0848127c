"""A folder that takes the place of another one is on the disk before the other one goes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness.results import replacing


def test_new_content_is_flushed_before_the_old_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, new = tmp_path / "suite", tmp_path / ".aside"
    for place, text in ((folder, "old"), (new, "new")):
        place.mkdir()
        (place / "NOTES.md").write_text(text)
    monkeypatch.setenv("HARNESS_FSYNC", "1")
    events, fsync, rename, rmtree = list[tuple[str, str]](), os.fsync, Path.replace, shutil.rmtree

    def flushed(handle: int) -> None:
        events.append(("flushed", Path(f"/proc/self/fd/{handle}").readlink().name))
        fsync(handle)

    def renamed(path: Path, to: Path) -> Path:
        events.append(("renamed", path.name))
        return rename(path, to)

    def deleted(path: Path, ignore_errors: bool = False) -> None:
        events.append(("deleted", path.name))
        rmtree(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(shutil, "rmtree", deleted)
    replacing.swap(folder, new)
    assert events == [
        ("flushed", "NOTES.md"), ("flushed", ".aside"), ("deleted", ".suite.replaced"),
        ("renamed", "suite"), ("renamed", ".aside"), ("flushed", tmp_path.name), ("deleted", ".suite.replaced"),
    ]  # fmt: skip
    assert (folder / "NOTES.md").read_text() == "new"
