"""Artifacts are found whole or not at all, made once, and made again when they are damaged."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harness.manifests
from harness.errors import ConfigError
from harness.files import FSYNC_VARIABLE
from harness.manifests import MANIFEST, TICK_NS
from harness.quarantine import DAMAGE_FILE, QUARANTINE
from harness.store import VERSION, VERSION_FILE, FolderStore

KEY = "ab" + "0" * 62
OTHER = "cd" + "0" * 62


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def put(store: FolderStore, key: str = KEY, text: str = "written") -> Path:
    with store.claim(key) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "file.txt").write_text(text)
        (folder / "empty").touch()
        return store.commit(key, folder, {"seconds": 1.5})


def again(store: FolderStore) -> FolderStore:
    """The same store as another process sees it: nothing was checked yet."""
    return FolderStore(store.root)


def test_an_artifact_is_absent_then_committed_then_found(store: FolderStore) -> None:
    assert store.get(KEY) is None
    place = put(store)
    assert store.get(KEY) == place == again(store).get(KEY)
    assert (place / "part" / "file.txt").read_text() == "written"
    assert store.facts(KEY) == {"seconds": 1.5}
    assert [entry.facts for entry in store.entries()] == [{"seconds": 1.5}]
    assert store.get(OTHER) is None


def test_the_manifest_names_every_file(store: FolderStore) -> None:
    manifest = json.loads((put(store) / MANIFEST).read_text())
    assert manifest["key"] == KEY
    assert set(manifest["files"]) == {"part/file.txt", "empty"}
    assert manifest["files"]["empty"][0] == 0


def test_what_is_not_committed_is_thrown_away(store: FolderStore) -> None:
    with store.claim(KEY) as folder:
        (folder / "file.txt").write_text("half")
    assert store.get(KEY) is None
    assert not folder.exists()


def test_what_raised_is_thrown_away_and_the_lock_is_free_again(store: FolderStore) -> None:
    with pytest.raises(RuntimeError), store.claim(KEY) as folder:
        raise RuntimeError
    assert not folder.exists()
    assert put(store).is_dir()


def test_the_first_commit_stays(store: FolderStore) -> None:
    put(store, text="first")
    place = put(store, text="second")
    assert (place / "part" / "file.txt").read_text() == "first"


def flip(place: Path) -> None:
    path = place / "part" / "file.txt"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def shorten(place: Path) -> None:
    (place / "part" / "file.txt").write_text("writte")


def lose(place: Path) -> None:
    (place / "empty").unlink()


def manifest(text: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (place / MANIFEST).write_bytes(text.encode("latin-1"))

    damage.__name__ = f"manifest {text!r}"
    return damage


DAMAGES = [
    (flip, "has another content"),
    (shorten, "missing or cut"),
    (lose, "empty is missing"),
    (lambda place: (place / MANIFEST).unlink(), "manifest cannot be read"),
    *(
        (manifest(text), "manifest cannot be read")
        for text in ("", "{", "\xff", "[]", "null", "{}", '{"files": []}', '{"files": {}}', '{"files": {"a": 1}}')
    ),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_damaged_artifact_is_put_aside_with_a_warning_and_can_be_made_again(
    damage: Callable[[Path], None], words: str, store: FolderStore, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, OTHER)
    place = put(store)
    damage(place)
    with caplog.at_level(logging.WARNING):
        assert again(store).get(KEY) is None
    assert KEY in caplog.text
    assert words in caplog.text
    assert "made again" in caplog.text
    assert not place.exists()
    kept = next((store.root / QUARANTINE).iterdir())
    note = json.loads((kept / DAMAGE_FILE).read_text())
    assert note["key"] == KEY
    assert note["expected"] != note["found"] or not (kept / MANIFEST).exists()
    assert put(again(store)) == place
    assert again(store).get(KEY) == place
    assert again(store).get(OTHER) is not None


def changed_fact(manifest: dict[str, Any]) -> None:
    manifest["facts"]["seconds"] = 0.1


def changed_digest_and_size(manifest: dict[str, Any]) -> None:
    manifest["files"]["empty"] = [1, "0" * 64]


def of_another_key(manifest: dict[str, Any]) -> None:
    manifest["key"] = OTHER


def lost_a_file(manifest: dict[str, Any]) -> None:
    del manifest["files"]["empty"]


@pytest.mark.parametrize("change", [changed_fact, changed_digest_and_size, of_another_key, lost_a_file])
def test_a_manifest_that_is_not_the_one_that_was_written_is_damage(
    change: Callable[[dict[str, Any]], None], store: FolderStore, caplog: pytest.LogCaptureFixture
) -> None:
    place = put(store)
    manifest = json.loads((place / MANIFEST).read_text())
    change(manifest)
    (place / MANIFEST).write_text(json.dumps(manifest))
    settled(place)
    assert dict(again(store).verify())[place] == "its manifest is not the one that was written"
    assert again(store).get(KEY) is None


def test_an_artifact_in_the_place_of_another_is_damage(store: FolderStore) -> None:
    other, place = settled(put(store, OTHER, "other")), put(store)
    shutil.rmtree(place)
    other.rename(place)
    assert again(store).get(KEY) is None


def test_a_commit_that_finds_its_place_taken_was_second(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks may not work on a shared file system: the first commit counts."""
    with store.claim(KEY) as folder:
        (folder / "file.txt").write_text("second")
        first = again(store)
        monkeypatch.setattr(first, "lock", lambda key: nullcontext())
        with first.claim(KEY) as other:
            (other / "file.txt").write_text("first")
            # Both look before one of them has committed.
            looked = FolderStore.place(store, KEY).is_dir()
            place = first.commit(KEY, other, {})
        monkeypatch.setattr(Path, "is_dir", lambda path: looked if path == place else os.path.isdir(path))  # noqa: PTH112
        assert store.commit(KEY, folder, {}) == place
    assert (place / "file.txt").read_text() == "first"


def test_files_names_and_folders_are_flushed_before_an_artifact_counts(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FSYNC_VARIABLE, "1")
    flushed: list[str] = []
    plain_sync, plain_rename = os.fsync, Path.rename

    def fsync(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        plain_sync(handle)

    def rename(self: Path, target: Path) -> Path:
        flushed.append("renamed")
        return plain_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    with store.claim(KEY) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "file.txt").write_text("text")
        name = folder.name
        store.commit(KEY, folder, {})
    at = flushed.index("renamed")
    assert {"file.txt", "part", MANIFEST, name} <= {*flushed[:at]}
    assert flushed.index("file.txt") < flushed.index("part") < flushed.index(name)
    assert flushed[at + 1 :] == [KEY[:2]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, "\ud800", {"a": [None, {}]}])
def test_facts_of_any_value_are_kept(value: object, store: FolderStore) -> None:
    """A loss that is not a number must not cost a finished training."""
    with store.claim(KEY) as folder:
        (folder / "file").write_text("weights")
        place = store.commit(KEY, folder, {"loss": value})
    assert again(store).get(KEY) == place
    assert repr(again(store).facts(KEY)["loss"]) == repr(value)


def test_a_store_of_a_newer_harness_is_refused_and_an_old_one_is_taken_over(store: FolderStore) -> None:
    put(store)
    assert json.loads((store.root / VERSION_FILE).read_text()) == {"version": VERSION}
    (store.root / VERSION_FILE).unlink()
    assert again(store).get(KEY) is not None
    put(again(store), OTHER)
    assert json.loads((store.root / VERSION_FILE).read_text()) == {"version": VERSION}
    for version in (VERSION + 1, "3", None):
        (store.root / VERSION_FILE).write_text(json.dumps({"version": version}))
        with pytest.raises(ConfigError, match="update the harness"):
            again(store)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_file_goes_unseen(where: int, bit: int, store: FolderStore) -> None:
    place = put(store, text="a longer text, so that there is something to flip")
    path = place / "part" / "file.txt"
    content = bytearray(path.read_bytes())
    content[where % len(content)] ^= 1 << bit
    path.write_bytes(content)
    assert again(store).get(KEY) is None


class Counted:
    """How often a file was read for its digest."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[str] = []
        plain = harness.manifests.digest_file

        def digest_file(path: Path) -> str:
            self.files.append(path.name)
            return plain(path)

        monkeypatch.setattr(harness.manifests, "digest_file", digest_file)


def settled(place: Path) -> Path:
    """An artifact whose files are older than its manifest by more than a tick of the clock."""
    later = (place / MANIFEST).stat().st_mtime_ns + 2 * TICK_NS
    os.utime(place / MANIFEST, ns=(later, later))
    return place


@pytest.mark.parametrize("ask", [FolderStore.get, FolderStore.has])
def test_what_did_not_change_is_not_read(
    ask: Callable[[FolderStore, str], object], store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(put(store))
    read = Counted(monkeypatch)
    assert ask(again(store), KEY)
    assert not ask(again(store), OTHER)
    assert read.files == []


def test_what_was_written_in_the_tick_of_its_manifest_is_read_until_the_manifest_is_later(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = put(store)
    changed = (place / "empty").stat().st_ctime_ns
    os.utime(place / MANIFEST, ns=(changed, changed))
    read = Counted(monkeypatch)
    assert again(store).get(KEY) == place
    assert sorted(read.files) == ["empty", "file.txt"]
    settled(place)
    assert again(store).get(KEY) == place
    assert sorted(read.files) == ["empty", "file.txt"]


def test_a_file_that_took_the_place_of_another_is_read(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    place = settled(put(store))
    shutil.copy2(place / "empty", place / "copy")
    (place / "copy").replace(place / "empty")
    read = Counted(monkeypatch)
    assert again(store).get(KEY) == place
    assert sorted(read.files) == ["empty", "file.txt"]


def test_verifying_reads_everything_and_deletes_nothing(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other, place = put(store, OTHER), settled(put(store))
    assert dict(again(store).verify()) == {place: "", other: ""}
    flip(place)
    # A disk that decays leaves no trace: the times are noted as they are now.
    harness.manifests.note_times(place)
    settled(place)
    assert again(store).get(KEY) == place
    assert dict(again(store).verify()) == {place: "part/file.txt has another content", other: ""}
    assert place.is_dir()


def test_a_copied_store_is_read_once_and_then_known(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store)
    shutil.copytree(store.root, tmp_path / "copy")
    read = Counted(monkeypatch)
    for expected in (2, 2, 2):
        assert FolderStore(tmp_path / "copy").has(KEY)
        settled(tmp_path / "copy" / KEY[:2] / KEY)
        assert len(read.files) == expected
    copied, first = FolderStore(tmp_path / "copy"), again(store)
    assert copied.facts(KEY) == first.facts(KEY)
    assert copied.content_digest(KEY) == first.content_digest(KEY)
    assert [path.name for path in (tmp_path / "copy" / KEY[:2]).iterdir()] == [KEY]


def test_a_store_that_nobody_may_write_to_is_read(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    place = put(store)
    os.utime(place / "empty", ns=(1, 1))

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refused)
    assert again(store).has(KEY)
    assert again(store).get(KEY) == place


def test_an_artifact_of_an_older_harness_has_no_times_and_is_read(store: FolderStore) -> None:
    place = put(store)
    written = json.loads((place / MANIFEST).read_text())
    del written["times"]
    (place / MANIFEST).write_text(json.dumps(written))
    assert again(store).has(KEY)
    assert set(json.loads((place / MANIFEST).read_text())["times"]) == {"part/file.txt", "empty"}
    flip(place)
    assert not again(store).has(KEY)


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_damage_that_was_written_is_seen_by_asking_alone(
    damage: Callable[[Path], None], words: str, store: FolderStore, caplog: pytest.LogCaptureFixture
) -> None:
    place = put(store)
    times = (place / "part" / "file.txt").stat()
    damage(place)
    if (place / "part" / "file.txt").exists():
        # Whoever wrote it may have put the time of writing back; the time of the change tells.
        os.utime(place / "part" / "file.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    with caplog.at_level(logging.WARNING):
        assert not again(store).has(KEY)
    assert words in caplog.text
    assert not place.exists()


def test_what_was_thrown_away_is_not_there(store: FolderStore) -> None:
    put(store)
    fresh = again(store)
    assert fresh.has(KEY)
    fresh.discard(KEY)
    assert not fresh.has(KEY)


def test_an_artifact_that_vanishes_is_absent(store: FolderStore) -> None:
    place = put(store)
    place.rename(store.root / "gone")
    assert store.get(KEY) is None


def test_asking_inside_of_a_claim_does_not_wait_for_oneself(store: FolderStore) -> None:
    place = put(store)
    flip(place)
    fresh = again(store)
    with fresh.claim(KEY) as folder:
        assert fresh.get(KEY) is None
        assert fresh.commit(KEY, folder, {}) == place


def test_equal_content_has_an_equal_digest_under_any_key(store: FolderStore) -> None:
    put(store, KEY, "one")
    put(store, OTHER, "one")
    different = "ef" + "0" * 62
    put(store, different, "two")
    assert store.content_digest(KEY) == store.content_digest(OTHER) != store.content_digest(different)


def test_the_name_of_a_file_is_part_of_the_content(store: FolderStore) -> None:
    for key, name in ((KEY, "a"), (OTHER, "b")):
        with store.claim(key) as folder:
            (folder / name).write_text("same")
            store.commit(key, folder, {})
    assert store.content_digest(KEY) != store.content_digest(OTHER)


def process(root: Path, body: str) -> subprocess.Popen[str]:
    """A process that has `store`, KEY and `log(word)` at hand."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom harness.store import FolderStore\n"
        f"store, KEY = FolderStore(Path({str(root / 'store')!r})), {KEY!r}\n"
        f"def log(word):\n    with open({str(root / 'log')!r}, 'a') as file: file.write(word + '\\n')\n"
        f"{body}"
    )
    return subprocess.Popen([sys.executable, "-c", code], text=True, stdout=subprocess.PIPE)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.01)


MAKE_ONCE = """
log("up")
while len(open(LOG).readlines()) < 3: time.sleep(0.01)
with store.claim(KEY) as folder:
    if store.get(KEY) is None:
        log("made")
        (folder / "file.txt").write_text("whole")
        time.sleep(0.3)
        store.commit(KEY, folder, {})
assert (store.get(KEY) / "file.txt").read_text() == "whole"
"""


def test_processes_that_claim_one_key_make_it_once(tmp_path: Path) -> None:
    body = MAKE_ONCE.replace("LOG", repr(str(tmp_path / "log")))
    processes = [process(tmp_path, body) for _ in range(3)]
    assert [one.wait(60) for one in processes] == [0, 0, 0]
    for one in processes:
        one.communicate()
    assert (tmp_path / "log").read_text().split() == ["up"] * 3 + ["made"]


HALF = """
with store.claim(KEY) as folder:
    (folder / "one.txt").write_text("one")
    log("half")
    time.sleep(60)
"""


def test_a_writer_is_unseen_and_what_it_leaves_when_killed_is_cleaned_up(store: FolderStore, tmp_path: Path) -> None:
    writer = process(tmp_path, HALF)
    wait_for(tmp_path / "log")
    aside = store.root / "aside"
    with store.claim(OTHER) as elsewhere:
        # Claims of other keys neither wait for a writer nor touch what it writes.
        assert store.get(KEY) is None
        assert len(list(aside.glob(f"{KEY}.*"))) == 1
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    assert store.get(KEY) is None
    left = list(aside.iterdir())
    assert [(path.name[:2], (path / "one.txt").read_text()) for path in left] == [("ab", "one")]
    with store.claim(KEY) as folder:
        assert list(aside.iterdir()) == [folder]
        assert list(folder.iterdir()) == []
    assert not elsewhere.exists()
    assert list(aside.iterdir()) == []
