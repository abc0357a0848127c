"""`harness store verify`: silent damage of a disk is reported, and nothing is deleted."""

from __future__ import annotations

import json
from pathlib import Path

from test_cli import Leave, leave  # noqa: F401

from harness.remote.places import store_in

KEY = "ab" + "0" * 30


def test_damage_is_reported_and_ends_with_two(tmp_path: Path, leave: Leave) -> None:  # noqa: F811
    store = store_in(tmp_path)
    with store.claim(KEY) as folder:
        (folder / "file").write_text("content")
        place = store.commit(KEY, folder, {})
    at = f"--store={tmp_path}"
    code, out, error = leave("store", "verify", at)
    assert (code, out, error) == (0, "Every file is as it was written: 1 artifact.\n", "")
    assert leave("store", "verify", at, "--quiet") == (0, "", "")
    (place / "file").write_text("CONTENT")
    code, out, error = leave("store", "verify", at, "--json")
    assert code == 2
    assert json.loads(out) == {"artifacts": 1, "damaged": {str(place): "file has another content"}}
    assert f"{place}: file has another content; the next run that needs it puts it into quarantine" in " ".join(
        error.split()
    )
    assert place.is_dir()
    (place / "file").write_text("content")
    (place / "more").write_text("added")
    code, _, error = leave("store", "verify", at)
    assert code == 2
    assert f"{place}: more is not one of its files; the next run that needs it puts that file into" in " ".join(
        error.split()
    )


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path, leave: Leave) -> None:  # noqa: F811
    assert leave("store", "verif") == (2, "", "error: no action 'verif'; did you mean 'verify'?\n")
    code, _, error = leave("store", "verify", f"--store={tmp_path / 'none'}")
    assert code == 2
    assert "no such folder" in error


def test_a_folder_without_artifacts_is_not_called_intact(tmp_path: Path, leave: Leave) -> None:  # noqa: F811
    code, out, error = leave("store", "verify", f"--store={tmp_path}")
    assert (code, out) == (2, "")
    assert "holds no artifact; name the folder of a store" in " ".join(error.split())
