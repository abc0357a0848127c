"""A file that was added to an artifact is found before it is used: a loader might read it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from test_store import KEY, again, flip, put, settled

import harness.manifests
from harness.manifests import MANIFEST
from harness.quarantine import ADDED, DAMAGE_FILE, QUARANTINE
from harness.store import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def planted(name: str) -> Callable[[Path], Path]:
    def add(place: Path) -> Path:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("evil")
        return path

    return add


def linked(name: str, folder: bool) -> Callable[[Path], Path]:
    def add(place: Path) -> Path:
        target = place.parents[2] / "elsewhere"
        target.mkdir()
        (target / "weights.safetensors").write_text("evil")
        (place / name).symlink_to(target if folder else target / "weights.safetensors")
        return place / name

    return add


def pipe(place: Path) -> Path:
    os.mkfifo(place / "pipe")
    return place / "pipe"


ADDED_FILES: dict[str, Callable[[Path], Path]] = {
    "weights": planted("model.safetensors"), "code": planted("part/modeling.py"), "hidden": planted(".config.json"),
    "in a folder of its own": planted("1_Pooling/config.json"), "a strange name": planted("a\n\x1b[2J.json"),
    "a name of two dots": planted("..json"), "a link to a file": linked("link.json", False),
    "a link to a folder": linked("extra", True), "a pipe": pipe, "a second manifest": planted(f"part/{MANIFEST}"),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDED_FILES)
def test_a_file_that_was_added_is_taken_out_before_the_artifact_is_used(
    name: str, store: FolderStore, caplog: pytest.LogCaptureFixture
) -> None:
    place = settled(put(store))
    added = ADDED_FILES[name](place)
    ((_, why),) = again(store).verify()
    assert "is not one of its files" in why
    assert why.isprintable()
    with caplog.at_level(logging.WARNING):
        assert again(store).get(KEY) == place
    assert why in caplog.text
    assert not os.path.lexists(added)
    assert (place / "part" / "file.txt").read_text() == "written"
    (kept,) = (store.root / QUARANTINE).iterdir()
    note = json.loads((kept / DAMAGE_FILE).read_text())
    assert (note["key"], note["expected"]) == (KEY, None)
    assert os.path.lexists(kept / ADDED / note["file"])
    assert dict(again(store).verify())[place] == ""
    caplog.clear()
    assert again(store).get(KEY) == place
    assert caplog.text == ""


def test_a_file_that_was_added_to_a_damaged_artifact_goes_with_it(store: FolderStore) -> None:
    place = put(store)
    planted("evil.json")(place)
    flip(place)
    assert again(store).get(KEY) is None
    (kept,) = (store.root / QUARANTINE).iterdir()
    assert (kept / "evil.json").is_file()
    assert (kept / "part" / "file.txt").is_file()


def test_a_folder_that_is_a_link_now_is_damage_whatever_it_leads_to(store: FolderStore, tmp_path: Path) -> None:
    place = put(store)
    (place / "part").rename(tmp_path / "part")
    (place / "part").symlink_to(tmp_path / "part")
    assert "part/file.txt is missing" in dict(again(store).verify())[place]
    assert again(store).get(KEY) is None
    assert (tmp_path / "part" / "file.txt").is_file()


@pytest.mark.parametrize(
    "name", [".nfs000000000a1b2c3d", ".fuse_hidden0000001200000001", ".DS_Store", "part/.DS_Store"]
)
def test_what_a_file_system_puts_into_a_folder_is_no_damage(name: str, store: FolderStore) -> None:
    place = put(store)
    planted(name)(place)
    assert again(store).get(KEY) == place
    assert (place / name).is_file()
    assert dict(again(store).verify())[place] == ""


@pytest.mark.parametrize("name", ["../else", "part/../../else", "/etc/hostname"])
def test_a_manifest_that_names_a_file_elsewhere_is_damage(name: str, store: FolderStore) -> None:
    place = put(store)
    (place.parent / "else").write_text("x")
    found = (place / name).read_bytes()
    manifest = json.loads((place / MANIFEST).read_text())
    manifest["files"][name] = [len(found), hashlib.sha256(found).hexdigest()]
    manifest["seal"] = harness.manifests.seal_of(manifest)
    manifest["times"] = harness.manifests.times_of(place, manifest["files"])
    (place / MANIFEST).write_text(json.dumps(manifest))
    settled(place)
    assert again(store).get(KEY) is None


def test_a_manifest_that_is_nested_deeply_is_damage(store: FolderStore) -> None:
    place = put(store)
    (place / MANIFEST).write_text("[" * 100_000)
    assert list(again(store).entries()) == []
    assert again(store).get(KEY) is None
