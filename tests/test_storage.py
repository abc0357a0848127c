"""What takes the room of a store, what is collected of it, and what a key stands for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import smallsuite
from test_cli import Leave, leave  # noqa: F401

from harness.errors import ConfigError
from harness.experiments import benchmark, storage
from harness.indexes import registry
from harness.indexes.protocol import Built
from harness.remote.places import store_in
from harness.results import running
from harness.store import FolderStore
from harness.suite.vector_indexes import VectorIndex

RATES = {"recipes": {"retriever": {"epochs": 1, "batch_size": 8, "learning_rate": 0.02, "checkpoints": 1}}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smallsuite.bi_encoder(tmp_path_factory.mktemp("model"))


def run(root: Path, folder: Path, model: Path, **more: object) -> benchmark.Finished:
    return benchmark.run(smallsuite.write(folder, model, more), root, executor=smallsuite.Here())


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the end of this process: it holds nothing."""
    monkeypatch.setattr(running, "held", lambda root, by_others=False: frozenset())


def store_of(root: Path) -> FolderStore:
    store = store_in(root)
    assert isinstance(store, FolderStore)
    return store


def test_what_the_last_outcome_used_is_kept_and_the_rest_collected(tmp_path: Path, model: Path, ended: None) -> None:
    root = tmp_path / "store"
    run(root, tmp_path / "a", model)
    store = store_of(root)
    assert storage.garbage(root, store, 0, every_result=False).artifacts == []
    before = {entry.key for entry in store.entries()}
    done = run(root, tmp_path / "a", model, **RATES)
    assert done.calls_made > 0
    found = storage.garbage(root, store_of(root), 0, every_result=False)
    assert {entry.facts.get("stage") for entry in found.artifacts} >= {"tune_retriever", "index", "retrieve"}
    assert {entry.key for entry in found.artifacts} < before
    # The earlier outcome still uses them, and they are of today.
    assert storage.garbage(root, store_of(root), 0, every_result=True).artifacts == []
    assert storage.garbage(root, store_of(root), 7, every_result=False).artifacts == []
    storage.collect(root, store_of(root), found)
    assert storage.garbage(root, store_of(root), 0, every_result=False).artifacts == []
    again = run(root, tmp_path / "a", model, **RATES)
    assert (again.calls_made, again.scores_computed) == (0, 0)
    assert run(root, tmp_path / "a", model).calls_made > 0


def test_an_outcome_of_an_earlier_version_keeps_its_calls_and_all_data_and_scores(
    tmp_path: Path, model: Path, ended: None
) -> None:
    root = tmp_path / "store"
    done = run(root, tmp_path / "a", model)
    (done.folder / "keys.json").unlink()
    assert storage.garbage(root, store_of(root), 0, every_result=False).artifacts == []


def test_what_a_running_process_works_with_is_kept(tmp_path: Path, model: Path) -> None:
    root = tmp_path / "store"
    done = run(root, tmp_path / "a", model)
    keys = {row.key for row in done.outcome.ledger}
    (root / "outcomes").rename(tmp_path / "gone")
    # This process still works with them.
    assert not {entry.key for entry in storage.garbage(root, store_of(root), 0, every_result=False).artifacts} & keys
    assert keys <= running.held(root)


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from harness.results import running; "
        f"running.hold(Path({str(tmp_path)!r}), ['a', 'b']); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        running.hold(tmp_path, ["c"])
        assert running.held(tmp_path) == {"a", "b", "c"}
        assert running.held(tmp_path, by_others=True) == {"a", "b"}
        process.kill()
        process.wait()
    assert running.held(tmp_path) == {"c"}
    assert len([*(tmp_path / running.FOLDER).glob("*.json")]) == 1


def test_what_killed_processes_leave_is_collected_once_it_is_old(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    left = store.aside() / "key.123"
    left.mkdir()
    part = tmp_path / "outcomes" / "s" / ".abc.part"
    part.parent.mkdir(parents=True)
    part.write_text("half")
    assert storage.garbage(tmp_path, store, 0, every_result=False).paths == []
    for path in (left, part):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    found = storage.garbage(tmp_path, store, 0, every_result=False)
    assert {*found.paths} == {left, part}
    storage.collect(tmp_path, store, found)
    assert not left.exists()
    assert not part.exists()


def test_what_a_process_writes_or_has_begun_to_use_is_not_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (old, used, writing) = store_of(tmp_path), (digit + "b" + "0" * 30 for digit in "acd")
    for key in (old, used):
        with store.claim(key) as folder:
            store.commit(key, folder, {})
    with store.claim(writing) as folder:
        os.utime(folder, (time.time() - 2 * 86_400,) * 2)
        found = storage.garbage(tmp_path, store, 0, every_result=False)
        assert ({entry.key for entry in found.artifacts}, found.paths) == ({old, used}, [folder])
        # A run has begun since.
        monkeypatch.setattr(storage.running, "held", lambda root: {used})
        # The lock of a process is that of a thread here.
        other = threading.Thread(target=storage.collect, args=(tmp_path, store, found))
        other.start()
        other.join()
        assert folder.is_dir()
    assert [entry.key for entry in store.entries()] == [used]


def test_damage_is_kept_aside_until_it_is_collected(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    with store.claim("ab" + "0" * 30) as folder:
        (folder / "file").write_text("content")
        place = store.commit("ab" + "0" * 30, folder, {})
    (place / "file").write_text("CONTENT")
    assert store_of(tmp_path).get("ab" + "0" * 30) is None
    found = storage.garbage(tmp_path, store, 0, every_result=False)
    assert [path.parent.name for path in found.paths] == ["quarantine"]
    assert storage.garbage(tmp_path, store, 1, every_result=False).paths == []


def index_on_server(store: FolderStore, key: str, name: str, **rule: str) -> None:
    """An artifact of an index whose vectors are on a server."""
    index = VectorIndex.model_validate({"kind": "pgvector", "address": "postgresql://db/vectors", **rule})
    with store.claim(key) as folder:
        Built(9, 4, True, name=name).write(folder)
        store.commit(key, folder, {"stage": "build_index", "call": {"spec": {"index": index.model_dump()}}})


TABLES = [f"harness_{digit * 32}" for digit in "abcd"]
MADE = [f"{number:032x}" for number in range(5)]


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of tables that were dropped; the server of the last of `TABLES` is away."""
    names: list[str] = []

    def drop(rule: VectorIndex, name: str) -> bool:
        if name == TABLES[3]:
            raise ValueError(f"PostgreSQL at {rule.address} cannot be used (gone); start it, or correct 'address'")
        names.append(name)
        return True

    monkeypatch.setattr(registry, "drop", drop)
    return names


def test_a_table_on_a_server_goes_with_the_last_artifact_that_has_it(
    tmp_path: Path, dropped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    index_on_server(store, MADE[0], TABLES[0])
    index_on_server(store, MADE[1], TABLES[0])
    index_on_server(store, MADE[2], TABLES[1])
    # The server was elsewhere then.
    index_on_server(store, MADE[3], TABLES[1], address="postgresql://old/vectors")
    index_on_server(store, MADE[4], "", kind="qdrant", address="http://localhost:6333")
    monkeypatch.setattr(storage.running, "held", lambda root: {MADE[2]})
    found = storage.garbage(tmp_path, store, 0, every_result=False)
    assert {entry.key for entry in found.artifacts} == {*MADE} - {MADE[2]}
    assert [(table.name, [*table.keys]) for table in found.tables] == [(TABLES[0], MADE[:2])]
    assert dropped == []
    storage.collect(tmp_path, store, found)
    assert dropped == [TABLES[0]]
    assert [entry.key for entry in store.entries()] == [MADE[2]]


def test_an_artifact_whose_table_cannot_be_dropped_is_kept(
    tmp_path: Path,
    dropped: list[str],
    leave: Leave,  # noqa: F811
) -> None:
    index_on_server(store_of(tmp_path), MADE[0], TABLES[0])
    index_on_server(store_of(tmp_path), MADE[1], TABLES[3])
    asked = ("store", "gc", f"--store={tmp_path}", "--days", "0")
    code, out, _ = leave(*asked)
    assert (code, dropped) == (0, [])
    assert f"{TABLES[0]} at postgresql://db/vectors" in out
    assert "Found 2 artifacts that no suite needs, 2 tables on servers" in " ".join(out.split())
    code, _, error = leave(*asked, "--delete")
    assert code == 2
    told = (
        f"{TABLES[3]} at postgresql://db/vectors: PostgreSQL at postgresql://db/vectors cannot be used (gone); start it"
    )
    assert told in " ".join(error.split())
    assert [entry.key for entry in store_of(tmp_path).entries()] == [MADE[1]]
    assert dropped == [TABLES[0]]


@pytest.mark.parametrize("name", ["", "users", "harness_x; DROP TABLE users", TABLES[0] + "0"])
def test_nothing_is_dropped_that_the_harness_did_not_name(name: str) -> None:
    with pytest.raises(ValueError, match="names nothing that an index has put on a server"):
        registry.drop(VectorIndex(kind="pgvector", address="postgresql://db/vectors"), name)


def test_a_key_is_explained(tmp_path: Path, model: Path) -> None:
    root = tmp_path / "store"
    done = run(root, tmp_path / "a", model)
    row = next(row for row in done.outcome.ledger if row.stage == "tune_retriever")
    known = storage.known(root, store_of(root), row.key[:20])
    assert known.entry.key == row.key
    assert known.entry.facts["call"]["inputs"]["triplets"]
    assert {other.facts["stage"] for other in known.used_by} >= {"index", "retrieve"}
    assert known.results == [done.folder.relative_to(root).as_posix()]
    with pytest.raises(ConfigError, match="no key begins with 'zz'"):
        storage.known(root, store_of(root), "zz")
    with pytest.raises(ConfigError, match="give more of it"):
        # Sixteen first digits, and more keys than that.
        [storage.known(root, store_of(root), digit) for digit in "0123456789abcdef"]


def test_the_commands_say_it(tmp_path: Path, model: Path, leave: Leave) -> None:  # noqa: F811
    root = tmp_path / "store"
    done = run(root, tmp_path / "a", model)
    at = f"--store={root}"
    code, out, _ = leave("store", "du", at)
    assert code == 0
    assert {"tune_retriever", "scores", "dataset", "outcomes", "all"} <= {
        line.split()[0] for line in out.splitlines()[2:]
    }
    row = next(row for row in done.outcome.ledger if row.stage == "index" and "judged" in row.label)
    code, out, _ = leave("store", "why", row.key, at)
    assert code == 0
    assert all(text in out for text in (row.key, "Made of", "input model", "Used by", "outcomes/", "index, version"))
    assert json.loads(leave("store", "why", row.key, at, "--json")[1])["key"] == row.key
    code, out, _ = leave("store", "gc", at, "--days", "0")
    assert (code, out.splitlines()[0][:18]) == (0, "Nothing to collect")
    with store_of(root).claim("ab" + "0" * 30) as folder:
        (folder / "file").write_text("x")
        store_of(root).commit("ab" + "0" * 30, folder, {})
    code, out, _ = leave("store", "gc", at, "--days", "0")
    assert code == 0
    assert "Found 1 artifact that no suite needs" in " ".join(out.split())
    assert store_of(root).has("ab" + "0" * 30)
    assert "Deleted 1 artifact" in leave("store", "gc", at, "--days", "0", "--delete")[1]
    assert not store_of(root).has("ab" + "0" * 30)
    assert leave("store", "why", at)[0] == 2
