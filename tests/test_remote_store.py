"""Every store keeps the same promises: in a folder, at an address in memory, at an address on disk."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from faulty import Faults
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from harness.errors import ConfigError
from harness.manifests import MANIFEST
from harness.remote import leases, objects, store
from harness.remote.bounded_cache import BOUND_VARIABLE, bound
from harness.remote.makings import ABANDONED, VERSIONED, Making, Makings, lease_of
from harness.remote.objects import Objects
from harness.remote.store import RemoteStore
from harness.store import VERSION, FolderStore, Store

KEY = "ab" + "0" * 30
OTHER = "cd" + "0" * 30
FACTS = {"stage": "index", "seconds": 1.5}
ROOMY = 10**12
Drivers = Callable[[], Store]
"""Makes a driver of one store: on a machine of its own, except for a folder."""


def folder_drivers(tmp_path: Path) -> Drivers:
    return lambda: FolderStore(tmp_path / "store")


def remote_drivers(tmp_path: Path, address: str, most: int = ROOMY) -> Callable[[], RemoteStore]:
    number = count()
    return lambda: RemoteStore(Objects(address), FolderStore(tmp_path / f"copies-{next(number)}"), most)


def memory(name: str = "memory") -> str:
    return f"{name}://{uuid.uuid4().hex}/a prefix"


@pytest.fixture(params=["folder", "memory", "file"])
def drivers(request: pytest.FixtureRequest, tmp_path: Path) -> Drivers:
    if request.param == "folder":
        return folder_drivers(tmp_path)
    return remote_drivers(tmp_path, memory() if request.param == "memory" else f"file://{tmp_path}/at an address")


@pytest.fixture
def remote(tmp_path: Path) -> Callable[[], RemoteStore]:
    return remote_drivers(tmp_path, memory())


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    Faults.plan(-1, after=False)
    yield
    Faults.plan(-1, after=False)


def write(folder: Path, text: str) -> None:
    (folder / "part").mkdir()
    (folder / "part" / "100% of [22] #1?.txt").write_text(text)
    (folder / "other.txt").write_text(text)
    (folder / "empty").touch()


def put(store: Store, key: str = KEY, text: str = "written") -> Path:
    with store.claim(key) as folder:
        write(folder, text)
        return store.commit(key, folder, FACTS)


def text_of(place: Path | None) -> str:
    """What a making says. Both of its files must say the same."""
    assert place is not None
    texts = {path.read_text() for path in (place / "part" / "100% of [22] #1?.txt", place / "other.txt")}
    assert len(texts) == 1
    assert (place / "empty").read_bytes() == b""
    return texts.pop()


class TestEveryStore:
    def test_an_artifact_is_absent_then_committed_then_found_by_everybody(self, drivers: Drivers) -> None:
        one, two = drivers(), drivers()
        assert one.get(KEY) is None
        assert not two.has(KEY)
        place = put(one)
        assert one.get(KEY) == place
        assert two.has(KEY)
        assert text_of(two.get(KEY)) == text_of(place) == "written"
        assert one.facts(KEY) == two.facts(KEY) == FACTS
        assert one.content_digest(KEY) == two.content_digest(KEY)
        assert [entry.facts for entry in drivers().entries()] == [FACTS]
        assert two.get(OTHER) is None

    def test_what_is_not_committed_is_thrown_away(self, drivers: Drivers) -> None:
        one = drivers()
        with one.claim(KEY) as folder:
            write(folder, "half")
        assert not folder.exists()
        with pytest.raises(RuntimeError), one.claim(KEY) as folder:
            raise RuntimeError
        assert not drivers().has(KEY)
        assert [entry.facts for entry in drivers().entries()] == []
        assert text_of(put(one)) == "written"

    def test_the_first_commit_stays(self, drivers: Drivers) -> None:
        one, two = drivers(), drivers()
        assert not two.has(KEY)
        put(one, text="first")
        assert text_of(put(two, text="second")) == "first"
        assert text_of(put(one, text="third")) == "first"
        assert text_of(drivers().get(KEY)) == "first"

    def test_what_is_discarded_is_made_again(self, drivers: Drivers) -> None:
        one, two = drivers(), drivers()
        put(one, text="first")
        assert two.has(KEY)
        one.discard(KEY)
        one.discard(KEY)
        assert not one.has(KEY)
        assert one.get(KEY) is None
        assert text_of(put(one, text="second")) == "second"
        assert text_of(drivers().get(KEY)) == "second"

    def test_a_held_key_is_not_waited_for_by_who_only_tries(self, drivers: Drivers) -> None:
        one, two = drivers(), drivers()
        with one.claim(KEY):
            tried: list[object] = []
            thread = threading.Thread(target=lambda: tried.append(_try(two, KEY)))
            thread.start()
            thread.join(30)
            assert tried == [None]
        assert _try(two, KEY) is not None

    def test_facts_of_nothing_raise(self, drivers: Drivers) -> None:
        with pytest.raises(FileNotFoundError):
            drivers().facts(KEY)
        with pytest.raises(FileNotFoundError):
            drivers().content_digest(KEY)

    def test_verifying_reads_everything(self, drivers: Drivers) -> None:
        one = drivers()
        put(one)
        put(one, OTHER)
        assert list(dict(drivers().verify()).values()) == ["", ""]

    def test_an_artifact_without_files_is_one(self, drivers: Drivers) -> None:
        one = drivers()
        with one.claim(KEY) as folder:
            one.commit(KEY, folder, {})
        place = drivers().get(KEY)
        assert place is not None
        assert [path.name for path in place.iterdir()] == [MANIFEST]


def _try(store: Store, key: str) -> Path | None:
    with store.try_claim(key) as folder:
        return folder


# ---- what only an address has


def objects_of(driver: RemoteStore) -> Objects:
    return driver._makings._objects


def names(driver: RemoteStore) -> list[str]:
    return sorted({*objects_of(driver).list("")} - {VERSIONED})


def test_the_manifest_names_one_making_and_nothing_else_is_left(remote: Callable[[], RemoteStore]) -> None:
    one = remote()
    put(one)
    there = names(one)
    manifest = json.loads(objects_of(one).read(f"store/ab/{KEY}/{MANIFEST}") or b"")
    assert there == sorted(
        [f"store/ab/{KEY}/{MANIFEST}", *(f"store/ab/{KEY}/{manifest['making']}/{name}" for name in manifest["files"])]
    )


def test_a_store_of_a_newer_harness_is_refused_and_left_alone(remote: Callable[[], RemoteStore]) -> None:
    one = remote()
    put(one)
    noted, manifest = objects_of(one).read(VERSIONED), f"store/ab/{KEY}/{MANIFEST}"
    assert json.loads(noted or b"") == {"version": VERSION}
    # One that an earlier version has written has none.
    objects_of(one).delete(VERSIONED)
    assert remote().get(KEY) is not None
    objects_of(one).write(VERSIONED, json.dumps({"version": VERSION + 1}).encode())
    objects_of(one).write(manifest, b'{"of": "the future"}')
    for work in (RemoteStore.get, RemoteStore.has):
        with pytest.raises(ConfigError, match="update the harness"):
            work(remote(), KEY)
    with pytest.raises(ConfigError, match="update the harness"):
        list(remote().entries())
    with pytest.raises(ConfigError, match="update the harness"):
        put(remote(), OTHER)
    assert objects_of(one).read(manifest) == b'{"of": "the future"}'


def test_a_lost_race_takes_the_other_making_and_leaves_no_files(remote: Callable[[], RemoteStore]) -> None:
    one, two = remote(), remote()
    with one.claim(KEY) as slow:
        write(slow, "slow")
        # Two lost its lease, or never saw it.
        with two._copies.claim(KEY) as fast:
            write(fast, "fast")
            two.commit(KEY, fast, FACTS)
        assert text_of(one.commit(KEY, slow, FACTS)) == "fast"
    assert len([name for name in names(one) if name.endswith("empty")]) == 1
    assert text_of(remote().get(KEY)) == "fast"


def test_two_that_commit_at_once_agree(remote: Callable[[], RemoteStore]) -> None:
    for turn in range(5):
        key, both = f"{turn:032x}", threading.Barrier(2)
        texts: list[str] = []

        def commit(text: str, key: str = key, both: threading.Barrier = both, texts: list[str] = texts) -> None:
            driver = remote()
            with driver._copies.claim(key) as folder:
                write(folder, text)
                both.wait()
                texts.append(text_of(driver.commit(key, folder, FACTS)))

        threads = [threading.Thread(target=commit, args=(text,)) for text in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(texts) == 2
        assert set(texts) == {text_of(remote().get(key))}


def test_a_claim_waits_for_the_commit_of_another_machine(
    remote: Callable[[], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "POLL", 0.01)
    one, two = remote(), remote()
    made: list[str] = []

    def wait() -> None:
        with two.claim(KEY):
            made.append(text_of(two.get(KEY)))

    with one.claim(KEY) as folder:
        thread = threading.Thread(target=wait)
        thread.start()
        write(folder, "one")
        one.commit(KEY, folder, FACTS)
        thread.join(30)
    assert made == ["one"]


def test_a_stale_lease_is_taken_over(remote: Callable[[], RemoteStore], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = remote(), remote()
    objects_of(one).write(lease_of(KEY), json.dumps({"owner": "gone", "renewed": 0}).encode())
    assert _try(two, KEY) is not None
    # A clock that is ahead: its lease looks fresh, and is stale once it was watched for long enough.
    objects_of(one).write(lease_of(KEY), json.dumps({"owner": "gone", "renewed": 9e12}).encode())
    assert _try(two, KEY) is None
    monkeypatch.setattr(leases, "STALE", -1.0)
    assert _try(two, KEY) is not None


def test_a_lease_of_a_process_that_was_killed_is_taken_over_by_the_next_on_its_machine(
    remote: Callable[[], RemoteStore],
) -> None:
    killed, other = remote(), remote()
    assert killed._leases.acquire(lease_of(KEY))
    assert _try(other, KEY) is None
    assert _try(RemoteStore(objects_of(killed), FolderStore(killed._copies.root), ROOMY), KEY) is not None


def test_a_lease_of_an_earlier_attempt_at_the_same_work_is_taken_over(
    remote: Callable[[], RemoteStore], tmp_path: Path
) -> None:
    died, *others = (
        RemoteStore(objects_of(remote()), FolderStore(tmp_path / str(number)), ROOMY, sender)
        for number, sender in enumerate(("one", "", "another", "one"))
    )
    objects_of(died).write(lease_of(KEY), died._leases._content())
    assert [other._leases.acquire(lease_of(KEY)) for other in others] == [False, False, True]


def test_a_lease_is_renewed_while_it_is_held(
    remote: Callable[[], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.01)
    one = remote()
    with one.claim(KEY):
        first = objects_of(one).read(lease_of(KEY))
        for _ in range(500):
            if objects_of(one).read(lease_of(KEY)) != first:
                break
            threading.Event().wait(0.01)
        assert objects_of(one).read(lease_of(KEY)) not in (first, None)


def test_a_lease_is_renewed_once_a_full_disk_has_room_again(
    remote: Callable[[], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.01)
    one, failures, write = remote(), [OSError(28, "No space left on device")] * 3, Objects.write

    def full(self: Objects, name: str, content: bytes) -> None:
        if failures:
            raise failures.pop()
        write(self, name, content)

    with one.claim(KEY):
        monkeypatch.setattr(Objects, "write", full)
        first = objects_of(one).read(lease_of(KEY))
        for _ in range(500):
            if objects_of(one).read(lease_of(KEY)) != first:
                break
            threading.Event().wait(0.01)
        assert not failures
        assert objects_of(one).read(lease_of(KEY)) not in (first, None)


def test_a_lease_that_was_taken_over_is_not_given_back(remote: Callable[[], RemoteStore]) -> None:
    one, other = remote(), json.dumps({"owner": "other", "renewed": 9e12}).encode()
    with one.claim(KEY):
        objects_of(one).write(lease_of(KEY), other)
    assert objects_of(one).read(lease_of(KEY)) == other


def flip(objects: Objects, name: str) -> None:
    content = objects.read(name) or b""
    objects.write(name, bytes([content[0] ^ 1]) + content[1:])


DAMAGES: dict[str, Callable[[Objects, str, str], None]] = {
    "other.txt has another content": lambda objects, manifest, file: flip(objects, file),
    "other.txt is missing or cut": lambda objects, manifest, file: objects.delete(file),
    "its manifest cannot be read": lambda objects, manifest, file: objects.write(manifest, b"{"),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_damage_is_told_set_aside_and_made_again(
    words: str, remote: Callable[[], RemoteStore], caplog: pytest.LogCaptureFixture
) -> None:
    one = remote()
    put(one)
    file = next(name for name in names(one) if name.endswith("other.txt"))
    DAMAGES[words](objects_of(one), f"store/ab/{KEY}/{MANIFEST}", file)
    assert list(dict(remote().verify()).values()) == [words]
    two = remote()
    with caplog.at_level(logging.WARNING):
        assert two.get(KEY) is None
    assert words in caplog.text
    assert any("/damaged-" in name for name in names(one))
    assert not two.has(KEY)
    before = {name for name in names(one) if MANIFEST not in name}
    assert text_of(put(two, text="again")) == "again"
    assert before <= set(names(one))
    assert text_of(remote().get(KEY)) == "again"


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a//b", "a/./b"])
def test_a_manifest_whose_files_lie_elsewhere_is_damaged(name: str, remote: Callable[[], RemoteStore]) -> None:
    one = remote()
    manifest = {"making": "0" * 32, "facts": {}, "files": {name: [0, "0"]}}
    objects_of(one).write(f"store/ab/{KEY}/{MANIFEST}", json.dumps(manifest).encode())
    assert one.get(KEY) is None


def test_a_damaged_copy_is_fetched_again(remote: Callable[[], RemoteStore]) -> None:
    one = remote()
    place = put(one)
    (place / "other.txt").write_text("another")
    again = RemoteStore(objects_of(one), FolderStore(one._copies.root), ROOMY)
    assert text_of(again.get(KEY)) == "written"


def test_a_copy_of_what_was_discarded_elsewhere_is_not_put_back(remote: Callable[[], RemoteStore]) -> None:
    one, two = remote(), remote()
    put(one)
    assert two.get(KEY) is not None
    one.discard(KEY)
    later = RemoteStore(objects_of(two), FolderStore(two._copies.root), ROOMY)
    assert not later.has(KEY)
    assert later.get(KEY) is None
    assert text_of(put(later, text="second")) == "second"


def test_what_was_made_again_elsewhere_is_not_discarded(remote: Callable[[], RemoteStore]) -> None:
    one, two = remote(), remote()
    put(one)
    assert two.has(KEY)
    one.discard(KEY)
    put(one, text="second")
    two.discard(KEY)
    assert text_of(two.get(KEY)) == "second"


def test_a_copy_of_an_older_making_is_replaced(remote: Callable[[], RemoteStore]) -> None:
    one, two = remote(), remote()
    put(one)
    assert two.get(KEY) is not None
    one.discard(KEY)
    put(one, text="second")
    assert text_of(RemoteStore(objects_of(two), FolderStore(two._copies.root), ROOMY).get(KEY)) == "second"


def test_files_of_writers_that_were_killed_are_deleted_after_a_day(
    remote: Callable[[], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = remote()
    objects_of(one).write(f"store/ab/{KEY}/{'1' * 32}/file", b"of a writer that was killed")
    put(one)
    assert any("1" * 32 in name for name in names(one))
    one.discard(KEY)
    monkeypatch.setattr("harness.remote.makings.ABANDONED", -1.0)
    put(one)
    assert not any("1" * 32 in name for name in names(one))
    assert text_of(remote().get(KEY)) == "written"
    assert ABANDONED > 3600


# ---- the bound of the copies


def test_copies_that_were_used_least_recently_are_dropped(tmp_path: Path) -> None:
    drivers = remote_drivers(tmp_path, memory())
    keys = [f"{number:032x}" for number in range(4)]
    for key in keys:
        put(drivers(), key, "x" * 1000)
    first = RemoteStore(objects_of(drivers()), FolderStore(tmp_path / "mine"), ROOMY)
    places = [first.get(key) for key in keys[:3]]
    one = sum(path.stat().st_size for path in places[0].rglob("*") if path.is_file())  # type: ignore[union-attr]
    second = RemoteStore(objects_of(first), FolderStore(tmp_path / "mine"), int(2.5 * one))
    # What a living process was given stays, even beyond the bound.
    assert second.get(keys[3]) is not None
    assert all(first._copies.place(key).is_dir() for key in keys)
    first._cache._alive.release()  # type: ignore[union-attr]
    second._cache.make_room(0)
    assert [first._copies.place(key).is_dir() for key in keys] == [False, False, True, True]
    assert text_of(second.get(keys[0])) == "x" * 1000


def test_a_copy_that_another_process_drops_while_it_is_looked_at_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was seen, and is gone before it is noted as given; once it is noted, nobody drops it."""
    put(maker := remote_drivers(tmp_path, memory())(), KEY)
    one, other = (RemoteStore(objects_of(maker), FolderStore(tmp_path / "mine"), ROOMY) for _ in range(2))
    assert other.get(KEY)
    other.release()
    looked, calls = one._copy, list[bool]()

    def dropped_after(key: str, making: Making) -> Path | None:
        place = looked(key, making)
        calls.append(place is not None)
        if len(calls) == 1:
            assert other._cache._dropped(key) > 0
        return place

    monkeypatch.setattr(one, "_copy", dropped_after)
    place = one.get(KEY)
    assert calls == [True, False]
    assert place is not None
    assert place.is_dir()
    assert other._cache._dropped(KEY) == 0
    assert place.is_dir()


def test_copies_that_were_released_may_be_dropped(tmp_path: Path) -> None:
    one = remote_drivers(tmp_path, memory(), most=1)()
    put(one, KEY)
    put(one, OTHER)
    assert one._copies.place(KEY).is_dir()
    one.release()
    assert [*one._copies.root.rglob("given/*")] == []
    one._cache.make_room(0)
    assert not one._copies.place(KEY).exists()
    assert text_of(one.get(KEY)) == "written"
    # What is given after that is kept again.
    one._cache.make_room(0)
    assert one._copies.place(KEY).is_dir()


def test_a_making_that_is_not_at_the_address_yet_is_not_dropped(tmp_path: Path) -> None:
    drivers = remote_drivers(tmp_path, memory("faulty"), most=1)
    one = drivers()
    Faults.plan(0, after=False)
    with one._copies.claim(KEY) as folder:
        write(folder, "kept")
        place = one._copies.commit(KEY, folder, FACTS)
    with pytest.raises(ConfigError):
        one._publish(KEY, place)
    put(one, OTHER)
    assert one._copies.place(KEY).is_dir()
    assert text_of(one.get(KEY)) == "kept"
    assert text_of(drivers().get(KEY)) == "kept"


@pytest.mark.parametrize("text", ["0", "-1", "much", "nan", "inf"])
def test_a_bound_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BOUND_VARIABLE, text)
    with pytest.raises(ConfigError, match=BOUND_VARIABLE):
        bound()
    monkeypatch.setenv(BOUND_VARIABLE, "0.5")
    assert bound() == 500_000_000


# ---- faults


def counted_calls(tmp_path: Path) -> int:
    """How many calls a commit, and a reading by somebody else, make."""
    drivers = remote_drivers(tmp_path / "counted", memory("faulty"))
    Faults.plan(-1, after=False)
    put(drivers())
    drivers().get(KEY)
    return Faults.calls


@pytest.mark.parametrize("after", [False, True])
def test_whatever_call_fails_the_next_try_completes(
    after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PATIENCE", 0.0)
    number_of_calls = counted_calls(tmp_path)
    assert number_of_calls > 10
    kept = 0
    for number in range(number_of_calls):
        drivers = remote_drivers(tmp_path / f"{number}-{after}", memory("faulty"))
        one, two = drivers(), drivers()
        Faults.plan(number, after)
        failed = False
        for attempt in ("first", "second"):
            try:
                put(one, text=attempt)
                two.get(KEY)
                break
            except ConfigError:
                failed = True
        Faults.plan(-1, after=False)
        first, second, third = (text_of(driver.get(KEY)) for driver in (one, two, drivers()))
        assert first == second == third
        assert list(dict(drivers().verify()).values()) == [""]
        kept += failed and first == "first"
    # Some makings that could not be uploaded at once were not made a second time.
    assert kept > 0


# ---- two drivers, step by step


class TwoDrivers(RuleBasedStateMachine):
    """Two machines claim, write, commit, discard and read keys of one store, in any order.

    Each step is taken by the protocol alone, with leases that may be lost at any time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(self._temporary())
        make = remote_drivers(self.folder, memory())
        self.drivers = [make(), make()]
        self.fresh = make
        self.counts: dict[str, str | None] = {}
        self.claims: dict[tuple[int, str], tuple[Any, Path]] = {}
        self.number = 0

    @staticmethod
    def _temporary() -> str:
        import tempfile

        return tempfile.mkdtemp()

    def teardown(self) -> None:
        for context, _ in self.claims.values():
            context.__exit__(None, None, None)
        shutil.rmtree(self.folder, ignore_errors=True)

    keys, which = st.sampled_from([KEY, OTHER]), st.integers(0, 1)

    @rule(which=which, key=keys, lost=st.booleans())
    def claim(self, which: int, key: str, lost: bool) -> None:
        if (which, key) in self.claims:
            return
        driver = self.drivers[which]
        if lost:
            objects_of(driver).delete(lease_of(key))
        context = driver.try_claim(key)
        folder = context.__enter__()
        if folder is None:
            context.__exit__(None, None, None)
            assert not lost
            assert (1 - which, key) in self.claims
            return
        self.claims[which, key] = context, folder

    @precondition(lambda self: self.claims)
    @rule(pick=st.integers(0, 3))
    def commit(self, pick: int) -> None:
        (which, key), (context, folder) = list(self.claims.items())[pick % len(self.claims)]
        driver = self.drivers[which]
        if not driver.has(key):
            self.number += 1
            write(folder, f"making {self.number}")
            assert self.counts.get(key) is None
            self.counts[key] = text_of(driver.commit(key, folder, {"number": self.number}))
            assert self.counts[key] == f"making {self.number}"
        context.__exit__(None, None, None)
        del self.claims[which, key]

    @precondition(lambda self: self.claims)
    @rule(pick=st.integers(0, 3))
    def commit_without_looking(self, pick: int) -> None:
        """As somebody who looked before the other one committed."""
        (which, key), (context, folder) = list(self.claims.items())[pick % len(self.claims)]
        driver = self.drivers[which]
        self.number += 1
        write(folder, f"making {self.number}")
        made = text_of(driver.commit(key, folder, {"number": self.number}))
        if self.counts.get(key) is None:
            self.counts[key] = made
        context.__exit__(None, None, None)
        del self.claims[which, key]

    @precondition(lambda self: self.claims)
    @rule(pick=st.integers(0, 3))
    def give_up(self, pick: int) -> None:
        place = list(self.claims)[pick % len(self.claims)]
        context, _ = self.claims.pop(place)
        context.__exit__(None, None, None)

    @rule(key=keys)
    def discard(self, key: str) -> None:
        # By a third one who has just looked; the two others may still know the older making.
        self.fresh().discard(key)
        self.counts[key] = None
        for number, driver in enumerate(self.drivers):
            self.drivers[number] = RemoteStore(objects_of(driver), FolderStore(driver._copies.root), ROOMY)
            self.claims = {place: claim for place, claim in self.claims.items() if place[0] != number or _closed(claim)}

    @rule(which=which, key=keys)
    def read(self, which: int, key: str) -> None:
        counts = self.counts.get(key)
        place = self.drivers[which].get(key)
        assert (place is None) == (counts is None)
        if place is not None:
            assert text_of(place) == counts

    @rule(key=keys)
    def read_afresh(self, key: str) -> None:
        driver, counts = self.fresh(), self.counts.get(key)
        assert driver.has(key) == (counts is not None)
        if counts is not None:
            assert text_of(driver.get(key)) == counts
        assert set(dict(driver.verify()).values()) <= {""}


def _closed(claim: tuple[Any, Path]) -> bool:
    claim[0].__exit__(None, None, None)
    return False


TestTwoDrivers = TwoDrivers.TestCase
TestTwoDrivers.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_manifests_are_read_once(remote: Callable[[], RemoteStore], monkeypatch: pytest.MonkeyPatch) -> None:
    put(remote())
    two, read = remote(), list[str]()
    plain = Objects.read
    monkeypatch.setattr(Objects, "read", lambda self, name: (read.append(name), plain(self, name))[1])
    for _ in range(3):
        assert two.has(KEY)
        assert two.facts(KEY) == FACTS
        assert [entry.facts for entry in two.entries()] == [FACTS]
    assert read == [VERSIONED, f"store/ab/{KEY}/{MANIFEST}"]
    assert isinstance(two._makings, Makings)
