"""Workers of a cluster and a store at an address: each machine opens it itself, with copies of its own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import drivers
import planted
import pocket
import pytest
from clusters import Cluster, Worker, child
from pocket import Pretender
from stage_inputs import silent
from test_jobs import command, outcome_of
from toy_stages import request

from harness import locks, provenance
from harness.errors import ConfigError
from harness.execution import executors, worker
from harness.execution.environments import Environment
from harness.execution.executors import InlineExecutor, run
from harness.execution.notes import Notes
from harness.execution.remote import Task
from harness.execution.scheduler import carry_out
from harness.execution.slurm_executor import SlurmExecutor
from harness.execution.worker import Place, Result, Sent
from harness.planning.graph import Plan, PlannedCall
from harness.planning.plan import build_plan
from harness.remote.mirror import opened
from harness.remote.objects import Objects
from harness.remote.places import root_of, store_in
from harness.stages import load_stage
from harness.store import FolderStore

__all__ = ["child"]
FAR = threading.Lock()


class FarCluster(Cluster):
    """Workers on a machine that has a cache of its own, one at a time: all of them are this process."""

    def __init__(self, cache: Path, **options: Any) -> None:
        super().__init__(**options)
        self.cache = cache

    def run_task(self, task: Task, attempt: int, watch: Callable[[], None]) -> Result:
        with FAR, drivers.machine(self.cache):
            return super().run_task(task, attempt, watch)


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[None]:
    """This machine has a cache of its own, and stages run on it again after each test."""
    with drivers.machine(tmp_path / "here"):
        yield
    provenance.stages_run_on(None)


@pytest.fixture
def plan() -> Plan:
    return build_plan(pocket.suite(), pocket.dataset())


@pytest.fixture
def address() -> str:
    return f"memory://{uuid.uuid4().hex}/a team"


def first_of(plan: Plan) -> PlannedCall:
    return next(one for one in plan.calls.values() if set(one.call.inputs.values()).isdisjoint(plan.calls))


def place(folder: Path, store: str) -> Place:
    return Place(Environment(), 1, folder, store, "progress")


@contextmanager
def far(folder: Path) -> Iterator[None]:
    with drivers.machine(folder / "far"):
        yield


def test_machines_share_an_address_and_no_folder(plan: Plan, tmp_path: Path, child: Worker, address: str) -> None:
    near = FolderStore(tmp_path / "near")
    plan.artifacts.publish(near)
    assert carry_out(plan, near, Pretender(), Pretender()).failed == {}

    root, cluster = root_of(address), FarCluster(tmp_path / "far")
    store = store_in(root)
    plan.artifacts.publish(store)
    cluster.connect(plan.suite, root)
    done = carry_out(plan, store, cluster, Pretender())
    assert done.failed == {}
    heavy = {key for key, one in plan.calls.items() if load_stage(one.call.stage).heavy}
    assert {key: store.content_digest(key) for key in plan.calls} == {
        key: near.content_digest(key) for key in plan.calls
    }
    assert {done.rows[key].machine for key in heavy} == {provenance.machine_class()}
    # Nothing that a worker made was copied here, and what is sent names no folder of the store.
    inputs_of_light = {key for one in plan.calls.values() for key in one.call.inputs.values() if one.key not in heavy}
    copied = {path.name for path in (root / "store").glob("??/*")}
    assert copied.isdisjoint(heavy - inputs_of_light)
    assert not [sent for sent in cluster.sent if str(root).encode() in sent]
    assert list(Objects(f"{address}/workers").list("")) == []
    # The copies of a worker that goes on may be dropped: it reads none of them any more.
    assert [*(tmp_path / "far").rglob("*.keys")] == []
    assert [*(tmp_path / "far").rglob("used/*")]


@pytest.mark.slow
def test_a_suite_on_a_cluster_at_an_address_has_the_outcome_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], child: Worker, address: str
) -> None:
    planted.write_dataset(tmp_path / "data")
    suite, cluster = str(planted.write_suite(tmp_path)), FarCluster(tmp_path / "far")
    child.other = planted.Planted()
    monkeypatch.setitem(executors.EXECUTORS, "child", "planted:Planted")
    with monkeypatch.context() as patch:
        patch.setattr("harness.execution.session.executor_named", lambda name, jobs: cluster)
        assert command("run", suite, "--store", address, "--executor", "ray") == 0
    assert {"retrieve", "probe"} <= {*child.stages}
    assert command("run", suite, "--store", str(tmp_path / "near")) == 0
    assert outcome_of(opened(address)) == outcome_of(tmp_path / "near")
    capsys.readouterr()


def test_what_a_request_reads_and_writes_goes_through_the_store(
    plan: Plan, tmp_path: Path, child: Worker, address: str
) -> None:
    child.other = InlineExecutor()
    root = root_of(address)
    store = store_in(root)
    with store.claim("ab" * 16) as folder:
        (folder / "text").write_text("stored ")
        store.commit("ab" * 16, folder, {})
    cluster = FarCluster(tmp_path / "far")
    cluster.connect(plan.suite, root)
    (out := tmp_path / "out").mkdir()
    asked = request("copy", out, text="said ")._replace(inputs={"it": root}, keys={"it": "ab" * 16})
    assert run(cluster, asked, silent).usage.llm_calls == 2
    assert (out / "text").read_text() == "said stored 0"


def test_a_call_whose_worker_died_does_not_wait_for_its_lease(
    plan: Plan, tmp_path: Path, child: Worker, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, first = store_in(address), first_of(plan)
    plan.artifacts.publish(store)
    with store_in(address, "the same").try_claim(first.key) as claimed:
        assert claimed is not None
        with far(tmp_path):
            waited = list[float]()
            # Other threads of this process may sleep.
            monkeypatch.setattr("harness.remote.store.time", SimpleNamespace(sleep=waited.append))
            assert worker.make_call(Sent(first, {}, "the same"), place(tmp_path, address), 2).failure == ""
            assert waited == []
    assert store_in(address).facts(first.key)["attempts"] == 2


def test_a_making_that_could_not_be_uploaded_is_uploaded_by_the_next_attempt(
    plan: Plan, tmp_path: Path, child: Worker, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, upload = first_of(plan), Objects.upload
    plan.artifacts.publish(store_in(address))

    def gone(*_: Any) -> None:
        raise ConfigError("s3://bucket: cannot be reached")

    with far(tmp_path):
        monkeypatch.setattr(Objects, "upload", gone)
        failed = worker.make_call(Sent(first, {}, "a"), place(tmp_path, address))
        assert failed.failure == f"s3://bucket: cannot be reached (on {failed.host})"
        monkeypatch.setattr(Objects, "upload", upload)
        assert worker.make_call(Sent(first, {}, "b"), place(tmp_path, address)).reused
    assert child.asked == [first.call.stage]
    assert store_in(address).get(first.key) is not None


# What a worker cannot reach


def test_an_address_that_only_this_process_knows_is_refused(
    plan: Plan, tmp_path: Path, child: Worker, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(Notes, "read", lambda self, name: None)
    with pytest.raises(ConfigError, match=rf"does not see {address}, the address of the store; name a folder with"):
        FarCluster(tmp_path / "far").connect(plan.suite, root_of(address))
    assert list(Objects(f"{address}/workers").list("")) == []


def test_what_is_wrong_on_a_worker_names_the_machine(plan: Plan, tmp_path: Path, child: Worker) -> None:
    met = worker.meet("seen", place(tmp_path, "nowhere://bucket/team"))
    assert met.failure.startswith("nowhere://bucket/team: unknown protocol nowhere://")
    assert met.failure.endswith(f" (on {met.host})")


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("no flock here")])
def test_a_worker_whose_home_folder_has_no_locks_is_told_what_to_set(
    tmp_path: Path, child: Worker, address: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Network file systems may have none (ComparativeGenomicsToolkit/cactus#1299)."""

    def none(*_: Any, **__: Any) -> None:
        raise error

    for store in (address, str(tmp_path)):
        Notes(store).folder.mkdir(exist_ok=True)
        Notes(store).write("seen", b"")
        locks.refusal.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr("fcntl.flock" if isinstance(error, OSError) else "harness.locks.FileLock.acquire", none)
            met = worker.meet("seen", place(tmp_path, store))
        assert f"{met.host} cannot lock and write files in {tmp_path}" in met.failure
        assert "; name a folder with file locks" in met.failure
    locks.refusal.cache_clear()
    assert child.asked == []


# Slurm, which needs a folder for its own files


@pytest.mark.parametrize(
    ("settings", "store", "folder"),
    [
        ({}, "memory://bucket/team", ".harness/workers"),
        ({"folder": "shared/jobs"}, "memory://bucket/team", "shared/jobs"),
        ({"folder": "shared/jobs"}, "store", "shared/jobs"),
        ({}, "store", "store/workers"),
    ],
)
def test_files_of_jobs_are_where_all_nodes_see_them(
    settings: dict[str, str], store: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    executor = SlurmExecutor()
    executor._settings = pocket.suite({"execution.slurm": settings}).execution.slurm
    executor.prepare(opened(store))
    assert executor._jobs_folder() == tmp_path / folder
    assert (tmp_path / folder).is_dir()
