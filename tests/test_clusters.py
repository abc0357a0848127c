"""Calls on other machines: what is sent, who commits, and what happens when a worker dies or is not as planned."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import planted
import pocket
import psutil
import pytest
import yaml
from clusters import Cluster, Worker, child
from hypothesis import given
from hypothesis import strategies as st
from pocket import Pretender
from stage_inputs import silent
from test_jobs import command, outcome_of

from harness import provenance
from harness.errors import ConfigError, StageFailed
from harness.execution import executors, ray_executor, remote, slurm_executor, worker
from harness.execution.environments import Environment, for_another_machine, without_secrets
from harness.execution.executors import run
from harness.execution.making import make
from harness.execution.notes import Notes
from harness.execution.ray_executor import RayExecutor
from harness.execution.scheduler import Execution, carry_out
from harness.execution.session import Session
from harness.execution.slurm_executor import GONE_AFTER, WORKER_MB, SlurmExecutor
from harness.execution.slurm_words import ADVICE, ENDED, HOPELESS, LOST, Queued, raised
from harness.execution.worker import Place, Sent
from harness.planning.calls import planned
from harness.planning.graph import ExpectedWork, Plan, PlannedCall
from harness.planning.plan import build_plan
from harness.planning.resources import Needs
from harness.provenance import Machine
from harness.stages import load_stage
from harness.store import FolderStore
from harness.suite.execution import RayCluster

__all__ = ["child"]
HERE = Path(__file__).parent
SHARED = "name a folder with --store that all machines share, under one path, or an address that all of them reach"


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """Stages run on this machine again after each test."""
    yield
    provenance.stages_run_on(None)


@pytest.fixture
def plan() -> Plan:
    return build_plan(pocket.suite(), pocket.dataset())


def made(plan: Plan, folder: Path, executor: Any) -> tuple[FolderStore, Execution]:
    store = FolderStore(folder / "store")
    plan.artifacts.publish(store)
    if isinstance(executor, Cluster):
        executor.connect(plan.suite, folder)
    return store, carry_out(plan, store, executor, Pretender())


def place(folder: Path, **environment: str) -> Place:
    return Place(Environment(environment), 1, folder, str(folder), "progress")


def is_heavy(stage: str) -> bool:
    return load_stage(stage).heavy


def stages(plan: Plan, name: str) -> list[PlannedCall]:
    return [one for one in plan.calls.values() if one.call.stage == name]


def test_a_cluster_makes_the_same_artifacts_as_this_machine(plan: Plan, tmp_path: Path, child: Worker) -> None:
    (far, there), (near, here) = made(plan, tmp_path / "far", Cluster()), made(plan, tmp_path / "near", Pretender())
    assert there.failed == here.failed == {}
    assert list(there.rows) == list(here.rows) == list(plan.calls)
    assert {key: far.content_digest(key) for key in plan.calls} == {key: near.content_digest(key) for key in plan.calls}
    heavy = [row for row in there.rows.values() if is_heavy(row.stage)]
    assert {row.machine for row in heavy} == {provenance.machine_class()}
    assert {row.attempts for row in heavy} == {1}
    assert {row.machine for row in here.rows.values()} == {""}
    for row in heavy:
        assert far.facts(row.key)["speed"] == near.facts(row.key)["speed"]
    assert list((tmp_path / "far" / "workers").iterdir()) == []


def test_what_is_sent_is_small_and_has_no_keys(
    plan: Plan, tmp_path: Path, child: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    monkeypatch.setenv("HF_TOKEN", "hf_secret_value")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cluster = Cluster()
    made(plan, tmp_path, cluster)
    assert len(cluster.sent) == 1 + sum(is_heavy(one.call.stage) for one in plan.calls.values())
    assert max(map(len, cluster.sent)) < 20_000
    assert not [sent for sent in cluster.sent if b"secret" in sent]
    assert all(b"HF_HUB_OFFLINE" in sent for sent in cluster.sent)


def test_a_call_whose_worker_dies_is_sent_again_and_the_ledger_counts_it(
    plan: Plan, tmp_path: Path, child: Worker
) -> None:
    (mine,) = stages(plan, "mine")[:1]
    store, done = made(plan, tmp_path, Cluster(dying=lambda task, attempt: task.name == mine.key and attempt == 1))
    assert done.failed == {}
    assert {key for key, row in done.rows.items() if row.attempts == 2} == {mine.key}
    assert store.facts(mine.key)["attempts"] == 2
    assert child.asked.count("mine") == len(stages(plan, "mine"))


def test_a_call_whose_workers_all_die_takes_along_only_what_needs_it(plan: Plan, tmp_path: Path, child: Worker) -> None:
    (mine,) = stages(plan, "mine")[:1]
    _, done = made(plan, tmp_path, Cluster(dying=lambda task, attempt: task.name == mine.key))
    assert done.failed.keys() == {key for key in plan.calls if mine.key in plan.upstream([key])}
    assert done.failed[mine.key] == f"{mine.label}: its worker died; it was sent 3 times"


def test_a_stage_that_fails_is_not_sent_again(plan: Plan, tmp_path: Path, child: Worker) -> None:
    child.trouble = pocket.failing("mine")
    cluster = Cluster()
    _, done = made(plan, tmp_path, cluster)
    assert done.failed[stages(plan, "mine")[0].key].endswith("mine: the machine may be out of memory")
    assert len(cluster.sent) == 1 + len(child.asked) + len(stages(plan, "mine"))


def test_what_a_worker_finished_is_in_the_store_though_nobody_waited(plan: Plan, tmp_path: Path, child: Worker) -> None:
    store = FolderStore(tmp_path / "store")
    plan.artifacts.publish(store)
    first = next(one for one in plan.calls.values() if set(one.call.inputs.values()).isdisjoint(plan.calls))
    assert worker.make_call(Sent(first, {}, ""), place(tmp_path)).failure == ""
    again = worker.make_call(Sent(first, {}, ""), place(tmp_path))
    assert (again.reused, again.cost) == (True, None)
    done = carry_out(plan, FolderStore(store.root), Pretender())
    assert done.rows[first.key].reused
    assert child.asked == [first.call.stage]


def test_calls_that_ask_an_endpoint_stay_here(tmp_path: Path, child: Worker) -> None:
    asks = {"llm.synthesizer": {"base_url": "http://localhost:9/v1", "model": "m"}}
    plan = build_plan(pocket.suite(asks), pocket.dataset())
    cluster = Cluster()
    asking = {one.call.stage for one in plan.calls.values() if not cluster.takes(one)}
    assert asking == {"synthesize"}


def test_an_artifact_of_no_plan_is_made_by_a_worker(plan: Plan, tmp_path: Path, child: Worker) -> None:
    store, cluster = FolderStore(tmp_path / "store"), Cluster()
    plan.artifacts.publish(store)
    cluster.connect(plan.suite, tmp_path)
    first = next(one for one in plan.calls.values() if set(one.call.inputs.values()).isdisjoint(plan.calls))
    assert make(first, store, cluster).machine == provenance.machine_class()
    assert store.has(first.key)


def test_progress_comes_back(tmp_path: Path) -> None:
    notes, tell = Notes(str(tmp_path)), worker._progress_of(place(tmp_path))
    notes.folder.mkdir()
    assert worker.progress_in(notes, "progress") is None
    tell(1, 9)
    tell(2, 9)
    assert worker.progress_in(notes, "progress") == (1, 9)
    tell(9, 9)
    assert worker.progress_in(notes, "progress") == (9, 9)
    for damaged in (b"[3", b"[3]", b"3", b"\xff"):
        notes.write("progress", damaged)
        assert worker.progress_in(notes, "progress") is None
    assert [path.name for path in notes.folder.iterdir()] == ["progress"]


# Workers that are not as planned


def refused(plan: Plan, tmp_path: Path, **changes: Any) -> str:
    store = FolderStore(tmp_path / "store")
    plan.artifacts.publish(store)
    first = next(one for one in plan.calls.values() if one.call.packages and one.call.device == "cpu")
    from dataclasses import replace

    changed = replace(first, call=replace(first.call, **changes))
    return worker.make_call(Sent(changed, {}, ""), place(tmp_path)).failure


def test_a_worker_refuses_what_it_would_make_another_artifact_of(plan: Plan, tmp_path: Path, child: Worker) -> None:
    assert "computes on 'cpu', and the plan is for 'H200'; send the calls to machines of one kind" in refused(
        plan, tmp_path, device="H200"
    )
    assert "has torch " in (why := refused(plan, tmp_path, packages={"torch": "1.0"}))
    assert why.endswith("and the plan is for 1.0; install the same packages on all machines")
    assert "has version" in refused(plan, tmp_path, version=99)
    assert refused(plan, tmp_path, inputs={"queries": "0" * 64}).endswith(f"; {SHARED}")
    assert child.asked == []


def test_a_worker_that_does_not_see_the_folder_of_the_store_is_refused(
    plan: Plan, tmp_path: Path, child: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Notes, "read", lambda self, name: None)
    with pytest.raises(ConfigError) as caught:
        Cluster().connect(plan.suite, tmp_path)
    assert str(caught.value) == (
        f"--executor fake: {os.uname().nodename} does not see {tmp_path}, the folder of the store; {SHARED}"
    )
    assert [*(tmp_path / "workers").iterdir()] == []


def test_what_was_committed_elsewhere_is_told(
    plan: Plan, tmp_path: Path, child: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "VISIBLE_SECONDS", 0.0)
    monkeypatch.setattr(worker, "make_call", lambda *given: worker.Result("far"))
    monkeypatch.setattr("pickle.dumps", lambda value: value)
    monkeypatch.setattr("pickle.loads", lambda value: value)
    _, done = made(plan, tmp_path, Cluster())
    assert all(
        "far has committed it, and it is not in the store here; name a folder" in one for one in done.failed.values()
    )
    assert len(done.failed) == len(plan.calls)


# The page

PAGE = (HERE.parent / "docs" / "clusters.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_sections_on_the_page_are_what_a_suite_takes() -> None:
    sections = [yaml.safe_load(text) for text in examples("yaml")]
    assert [[*section["execution"]] for section in sections] == [["ray"], ["slurm"]]
    plain = pocket.suite().execution
    for section in sections:
        assert pocket.suite(section).execution != plain


def test_the_commands_on_the_page_run_and_give_the_outcome_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line.partition("#")[0].split() for text in examples("sh") for line in text.splitlines() if line]
    asked = [words[1:] for words in lines if words[0] == "harness"]
    assert [words[-2:] for words in asked] == [["--executor", "ray"], ["--executor", "slurm"]]
    extras = re.findall(r'pip install "rag-tuning-harness\[(\w+)\]"', PAGE)
    assert extras == ["ray", "slurm"]
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*extras} < {*project["optional-dependencies"]}
    planted.write_dataset(tmp_path / "data")
    suite = str(planted.write_suite(tmp_path))
    monkeypatch.chdir(tmp_path)
    child = Worker(planted.Planted())
    monkeypatch.setattr(worker, "_children", lambda one_call: child)
    for name in ("ray", "slurm"):
        monkeypatch.setitem(executors.EXECUTORS, name, "clusters:Cluster")
    monkeypatch.setitem(executors.EXECUTORS, "child", "planted:Planted")
    for words in asked:
        where = ["--store", words[-1]]
        assert command(*(suite if word == "suites/support" else word for word in words), *where) == 0
    assert child.environments
    assert command("run", suite, "--store", "here") == 0
    assert outcome_of(Path("ray")) == outcome_of(Path("slurm")) == outcome_of(Path("here"))
    capsys.readouterr()


def test_the_states_and_attempts_on_the_page_are_those_of_the_executor() -> None:
    rows = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+)", PAGE, re.MULTILINE)
    again, fails, more = (set(re.findall(r"[A-Z_]+", row)) for row in rows[:3])
    assert again == LOST - {"REVOKED"}
    assert more == {"OUT_OF_MEMORY"}
    assert fails | more == ADVICE.keys()
    assert PAGE.count("three times in all") == 2
    assert remote.ATTEMPTS == 3


def test_a_reason_on_the_page_is_one_that_never_ends() -> None:
    assert {*re.findall(r"`(Partition\w+)`", PAGE)} <= HOPELESS


# The machine of the workers


def test_keys_and_provenance_have_the_device_of_the_workers() -> None:
    before = build_plan(pocket.suite(), pocket.dataset())
    provenance.stages_run_on(Machine("H200", "a node, H200"))
    after = build_plan(pocket.suite(), pocket.dataset())
    assert {one.call.device for one in after.calls.values()} == {"any", "H200"}
    heavy = {key for key, one in before.calls.items() if one.call.device == "cpu"}
    assert heavy
    assert heavy.isdisjoint(after.calls)
    assert provenance.device_class() == "cpu"
    assert provenance.collect(Path("suite.yaml"))["machine"] == "a node, H200"


def test_a_session_plans_for_its_executor(tmp_path: Path, child: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "connect", lambda self, suite, root: Machine("H200", "a node"))
    Session(pocket.suite(), tmp_path, executor=Cluster())
    assert provenance.stage_device() == "H200"
    Session(pocket.suite(), tmp_path, executor=Pretender())
    assert provenance.stage_device() == provenance.device_class()


def test_calls_of_unknown_memory_run_beside_each_other_on_a_cluster(plan: Plan, tmp_path: Path, child: Worker) -> None:
    cluster = Cluster()
    made(plan, tmp_path, cluster)
    made(build_plan(pocket.suite({"seeds": [5]}), pocket.dataset()), tmp_path, again := Cluster())
    assert {needs.memory_mb for needs in cluster.needs[1:]} <= {0.0, 120.0}
    assert any(needs.memory_mb == pytest.approx(120.0) for needs in again.needs)


# The environment

NAMES = ["OPENAI_API_KEY", "HF_TOKEN", "HF_HOME", "AWS_SECRET_ACCESS_KEY", "PATH", "CUDA_VISIBLE_DEVICES", "KEYBOARD"]
NAMES += ["HARNESS_DEVICE", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "XDG_CACHE_HOME", "DB_PASSWORD"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text()))
def test_only_what_means_the_same_elsewhere_is_sent(variables: dict[str, str]) -> None:
    sent = {"HF_HOME", "HARNESS_DEVICE", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"}
    found = for_another_machine(variables)
    assert {name: value for name, value in found.items() if name in variables} == {
        name: value for name, value in variables.items() if name in sent
    }
    secret = {"OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"}
    assert without_secrets(variables).keys() == variables.keys() - secret


def test_an_address_with_a_password_is_sent_nowhere_whatever_its_variable_is_called() -> None:
    given = {
        "HF_ENDPOINT": "https://me:pw-of-mine@hub.example", "HTTPS_PROXY": "http://me:pw-of-mine@proxy.example",
        "HARNESS_X": "sk-proj-PASTEDKEY0123456789", "MYSQL_PWD": "x", "PGPASSWORD": "x", "SSHPASS": "x",
        "GITHUBTOKEN": "x", "TEAM_KEY2": "x", "PASSWORD_1": "x", "MY_PWD_2": "x", "SSH_PASSPHRASE": "x",
        "OLDPWD": "/", "PWD": "/work",
        "HF_HOME": "/models", "HARNESS_DATA": "https://data.example/a",
    }  # fmt: skip
    assert set(without_secrets(given)) == {"PWD", "OLDPWD", "HF_HOME", "HARNESS_DATA"}
    assert set(for_another_machine(given)) == {"HF_HOME", "HARNESS_DATA"}


def test_a_worker_keeps_its_own_variables_and_gets_its_cores(
    plan: Plan, tmp_path: Path, child: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made(plan, tmp_path, Cluster())
    assert {one["CUDA_VISIBLE_DEVICES"] for one in child.environments} == {"3"}
    assert {one["OMP_NUM_THREADS"] for one in child.environments} == {"1"}
    assert {one["HARNESS_DEVICE"] for one in child.environments[1:]} == {"cpu"}


def test_a_call_has_the_share_of_the_machine_that_it_asks_for(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computes = next(one for one in plan.calls.values() if one.call.device == "cpu")
    on_gpu = replace(computes, call=replace(computes.call, device="NVIDIA H200"))
    monkeypatch.setattr("harness.execution.machine.cores", lambda: 8)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("harness.execution.machine.DRIVER_GPUS", tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert (worker._share(computes, 2), worker._share(on_gpu, 2)) == (0.25, 1.0)
    # A job of Slurm sees its own cores and GPUs alone.
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for number in range(8):
        (tmp_path / f"0000:{number}").mkdir()
    assert (worker._share(computes, 8), worker._share(on_gpu, 8)) == (0.125, 0.125)


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A worker that is killed leaves nothing behind that goes on computing."""
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path\n"
        "from toy_stages import request\n"
        "from harness.execution.child_processes import ChildExecutor\n"
        "executor = ChildExecutor()\n"
        f"future = executor.submit(request('sleep', Path({str(tmp_path)!r})), lambda *_: None)\n"
        "future.result()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    note, deadline = tmp_path / "process", time.monotonic() + 200
    while not note.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process = int(note.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while psutil.pid_exists(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(process)


# Ray


class FakeRay(SimpleNamespace):
    """Notes how it was initialised."""

    def __init__(self, error: Exception | None = None, nodes: Any = ({"CPU": 4.0, "memory": 2.0**30},)) -> None:
        super().__init__(asked={}, error=error)
        self.nodes = lambda: [{"Alive": True, "Resources": node} for node in nodes]

    def is_initialized(self) -> bool:
        return False

    def init(self, **asked: Any) -> None:
        self.asked = asked
        if self.error:
            raise self.error


def reached(suite: Any, monkeypatch: pytest.MonkeyPatch, ray: FakeRay) -> RayExecutor:
    monkeypatch.setattr(ray_executor, "_imported", lambda: ray)
    executor = RayExecutor()
    executor.reach(suite)
    return executor


@pytest.mark.parametrize(
    ("written", "variable", "address", "words"),
    [
        (None, None, "local", "start a Ray cluster on this machine"),
        (None, "two:1", "two:1", "connect to the Ray cluster two:1"),
        ("one:1", "two:1", "one:1", "connect to the Ray cluster one:1"),
    ],
)
def test_a_ray_cluster_is_always_named(
    written: str | None, variable: str | None, address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address, ray.init joins any cluster that somebody runs on this machine (ray-project/ray#26678)."""
    # Whatever is set by the code under test is undone.
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    suite, ray = pocket.suite({"execution.ray.address": written} if written else {}), FakeRay()
    executor = reached(suite, monkeypatch, ray)
    assert ray.asked["address"] == address
    assert executor.where(suite) == words
    assert ("num_cpus" in ray.asked) == (address == "local")
    assert ("RAY_AUTH_TOKEN" in os.environ) == (address == "local")


def test_a_ray_cluster_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = pocket.suite({"execution.ray.address": "gone:1"})
    with pytest.raises(ConfigError) as caught:
        reached(suite, monkeypatch, FakeRay(ConnectionError("Tracing\nno GCS at gone:1.")))
    assert str(caught.value) == (
        "execution.ray.address or RAY_ADDRESS: no Ray cluster at 'gone:1': no GCS at gone:1; start one with "
        "`ray start --head`, or name none to start one here; if it asks for a token, set RAY_AUTH_MODE"
    )


def test_more_cores_than_a_machine_has_are_refused_and_more_memory_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait for ever for a machine that has them."""
    with pytest.raises(
        ConfigError, match=r"execution.ray.cpus: a call asks for 8 CPUs, and no machine .* than 4; give"
    ):
        reached(pocket.suite({"execution.ray.cpus": 8}), monkeypatch, FakeRay())
    # A cluster that starts machines on demand may have none now.
    reached(pocket.suite({"execution.ray.cpus": 8, "execution.ray.address": "head:1"}), monkeypatch, FakeRay())
    executor = reached(pocket.suite({"execution.ray.resources": {"fast": 0.5}}), monkeypatch, FakeRay())
    task = executor._task(worker.make_call, None, Environment(), Needs(5000.0, gpu=True))
    assert executor._asked(task) == {
        "num_cpus": 1, "num_gpus": 1, "max_retries": 0, "resources": {"fast": 0.5}, "memory": 2**30,
    }  # fmt: skip


def test_memory_is_that_of_a_machine_that_has_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine with the GPU may have less memory than others."""
    nodes = ({"CPU": 4.0, "memory": 2.0**33}, {"CPU": 4.0, "GPU": 1.0, "memory": 2.0**30})
    executor = reached(pocket.suite(), monkeypatch, FakeRay(nodes=nodes))
    for gpu, most in ((True, 2**30), (False, 2**33)):
        task = executor._task(worker.make_call, None, Environment(), Needs(1e6, gpu=gpu))
        assert executor._asked(task)["memory"] == most


class Errors(SimpleNamespace):
    """The exceptions of Ray."""

    class RayError(Exception):
        """Any of them."""

    class GetTimeoutError(RayError):
        """There is no answer yet."""

    WorkerCrashedError = NodeDiedError = LocalRayletDiedError = OutOfMemoryError = type("Lost", (RayError,), {})


class WaitingRay(FakeRay):
    """A cluster whose tasks wait for a machine that has what they ask for; it gets one after some looks, or never."""

    def __init__(self, comes: int | None) -> None:
        super().__init__()
        self.exceptions, self.looks, self.comes, self.cancelled = Errors(), 0, comes, []
        self.nodes = self.machines
        self.remote = lambda function: SimpleNamespace(
            options=lambda **asked: SimpleNamespace(remote=lambda *arguments: "reference")
        )
        self.cancel = lambda reference, force: self.cancelled.append(reference)

    def machines(self) -> list[Any]:
        self.looks += 1
        came = self.comes is not None and self.looks > self.comes
        return [{"Alive": True, "Resources": {"CPU": 4.0, "memory": 2.0**30, **({"fast": 1.0} if came else {})}}]

    def get(self, reference: str, timeout: float) -> Any:
        if self.comes is not None and self.looks > self.comes:
            return "the answer"
        raise self.exceptions.GetTimeoutError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Each look at the clock of the executor takes a minute."""
    passed = [0.0]

    def monotonic() -> float:
        passed[0] += 60
        return passed[0]

    monkeypatch.setattr(ray_executor, "time", SimpleNamespace(monotonic=monotonic))
    return passed


@pytest.mark.parametrize("comes", [3, None])
def test_a_task_that_no_machine_can_run_is_told_and_does_not_wait_for_ever(
    comes: int | None, clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cluster may start a machine when it is asked; otherwise Ray waits without a word (ray-project/ray#45909)."""
    ray = WaitingRay(comes)
    executor = reached(pocket.suite({"execution.ray.resources": {"fast": 0.5}}), monkeypatch, ray)
    task = executor._task(worker.make_call, None, Environment(), Needs())
    if comes:
        assert executor.run_task(task, 1, lambda: None) == "the answer"  # type: ignore[comparison-overlap]
    else:
        with pytest.raises(StageFailed) as caught:
            executor.run_task(task, 1, lambda: None)
        assert str(caught.value) == (
            "no machine of the Ray cluster has 1 CPU and 0.5 fast, and none came in 10 minutes; correct "
            "execution.ray.cpus or execution.ray.resources, or start such a machine"
        )
        assert ray.cancelled == ["reference"]
    assert [record.getMessage() for record in caplog.records] == [
        "no machine of the Ray cluster has 1 CPU and 0.5 fast; waiting for one"
    ]


def test_a_cluster_that_goes_away_fails_its_calls_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*given: Any, **more: Any) -> Any:
        raise ConnectionError("GCS has died.")

    ray = WaitingRay(0)
    ray.cluster_resources = lambda: {"CPU": 4.0}
    executor = reached(pocket.suite(), monkeypatch, ray)
    assert executor.capacity().jobs == 4
    ray.cluster_resources = ray.get = gone
    assert executor.capacity().jobs == 4
    with pytest.raises(StageFailed, match=r"does not answer any more \(GCS has died\); see whether its head is up"):
        executor.run_task(executor._task(worker.make_call, None, Environment(), Needs()), 1, lambda: None)


def test_settings_of_a_cluster_are_part_of_no_key() -> None:
    plain = build_plan(pocket.suite(), pocket.dataset())
    changes = {"execution": {"ray": {"cpus": 4}, "slurm": {"partition": "long", "options": {"qos": "high"}}}}
    assert plain.calls.keys() == build_plan(pocket.suite(changes), pocket.dataset()).calls.keys()
    assert RayCluster().address is None


# Slurm


class Job(SimpleNamespace):
    """A submitted job, and its answer once it has one."""

    def __init__(self, folder: Path, number: str = "7") -> None:
        paths = SimpleNamespace(result_pickle=folder / f"{number}_0_result.pkl", stderr=folder / f"{number}_0_log.err")
        super().__init__(job_id=number, paths=paths)

    def result(self) -> worker.Result:
        return worker.Result("node")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs a task of a job whose states in the queue are these, one a look."""
    monkeypatch.setattr(SlurmExecutor, "polls", 0.01)
    monkeypatch.setattr("harness.execution.slurm_executor.ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("harness.execution.slurm_executor.subprocess.run", lambda *given, **options: None)

    def go(
        *states: str | None, reason: str = "None", answered: bool = False, logged: bool = True, attempt: int = 2,
        needs: Needs | None = None, found: bool = False, cancelled: bool = False,
    ) -> worker.Result:  # fmt: skip
        executor, job, left = SlurmExecutor(), Job(tmp_path), list(states)
        monkeypatch.setattr(executor, "_submit", lambda name, task, attempt: job)
        monkeypatch.setattr(executor, "_running", lambda name: job if found else None)
        if logged:
            job.paths.stderr.touch()

        def look() -> None:
            state = left.pop(0) if len(left) > 1 else left[0]
            if state is None:
                return
            executor._looked = time.monotonic()
            executor._queue = {"7": Queued("7", "harness-key", state, reason)} if state else {}
            if answered and len(left) == 1:
                job.paths.result_pickle.touch()

        monkeypatch.setattr(executor, "_look", look)
        task = executor._task(worker.make_call, None, Environment(), needs or Needs())
        if cancelled:
            task.cancelled.set()
        return executor.run_task(task, attempt, lambda: None)

    return go


def test_a_job_is_waited_for_until_it_has_an_answer(slurm: Any) -> None:
    assert slurm("PENDING", "RUNNING", "COMPLETING", "COMPLETED", answered=True) == worker.Result("node")


@pytest.mark.parametrize("state", sorted(ADVICE))
def test_the_end_of_a_job_is_one_sentence_with_what_to_do(slurm: Any, state: str) -> None:
    with pytest.raises(StageFailed, match=rf"^its Slurm job 7 ended with {state}.*; {ADVICE[state]}; its log is /"):
        slurm("RUNNING", state)


@pytest.mark.parametrize("state", sorted(LOST))
def test_a_job_that_the_cluster_took_away_may_be_submitted_again(slurm: Any, state: str) -> None:
    with pytest.raises(remote.WorkerLost, match=f"its Slurm job 7 ended with {state}; its log is"):
        slurm("PENDING", "RUNNING", state)


def test_a_job_that_took_more_memory_than_was_known_is_sent_again_with_more(slurm: Any) -> None:
    needs = Needs(500.0)
    for attempt in (1, 2):
        with pytest.raises(remote.WorkerLost, match=r"7 ended with OUT_OF_MEMORY$"):
            slurm("RUNNING", "OUT_OF_MEMORY", attempt=attempt, needs=needs)
    with pytest.raises(StageFailed, match=r"OUT_OF_MEMORY; raise execution.slurm.memory_mb"):
        slurm("RUNNING", "OUT_OF_MEMORY", attempt=3, needs=needs)
    executor = SlurmExecutor()
    assert (executor._memory_mb("a", needs), executor._memory_mb("a", Needs())) == (500 + WORKER_MB, None)
    executor._doubled["a"] = 2
    assert (executor._memory_mb("a", needs), executor._memory_mb("b", needs)) == (
        4 * (500 + WORKER_MB),
        500 + WORKER_MB,
    )


def test_a_job_has_no_variables_of_the_job_that_it_is_sent_from() -> None:
    given = {"SLURM_CPU_BIND": "x", "SLURM_JOB_ID": "7", "SLURM_CONF": "/c", "SBATCH_ACCOUNT": "a", "PGPASSWORD": "x"}
    assert slurm_executor._own_variables(given) == {"SLURM_CONF": "/c", "SBATCH_ACCOUNT": "a"}


def test_a_job_of_another_run_is_left_to_it(
    slurm: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = list[list[str]]()
    monkeypatch.setattr(slurm_executor.subprocess, "run", lambda words, **options: asked.append(words))
    for found in (True, False):
        with pytest.raises(StageFailed, match="cancelled"):
            slurm("RUNNING", attempt=1, found=found, cancelled=True)
    assert asked == [["scancel", "7"]]
    assert caplog.messages == ["Slurm job 7 is that of another run, and is left to it"]
    # And if that run cancels it, the call is sent again.
    with pytest.raises(remote.WorkerLost, match="7 ended with CANCELLED"):
        slurm("COMPLETING", "CANCELLED", attempt=1, found=True)


def test_a_job_that_the_queue_has_forgotten_is_lost(slurm: Any) -> None:
    with pytest.raises(remote.WorkerLost, match="ended with no answer"):
        slurm("RUNNING", "")


def test_a_job_is_not_lost_while_the_controller_does_not_answer(slurm: Any) -> None:
    silence = [None] * (GONE_AFTER + 3)
    assert slurm(*silence, "RUNNING", *silence, "COMPLETED", answered=True) == worker.Result("node")


def test_a_job_that_found_no_folder_for_its_log_is_told_what_to_set(slurm: Any) -> None:
    with pytest.raises(remote.WorkerLost, match=r"wrote no log: let execution.slurm.folder name a folder that all"):
        slurm("RUNNING", "FAILED", logged=False)


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, list[float]]]:
    """Submits a job through submitit to an `sbatch` that refuses it some times, and notes how long was waited."""
    pytest.importorskip("submitit")

    def submit(refusal: str, times: int) -> tuple[Any, list[float]]:
        (programs := tmp_path / "programs").mkdir()
        count = tmp_path / "count"
        sbatch = f"""#!/bin/sh
echo x >> {count}
[ $(wc -l < {count}) -gt {times} ] && echo Submitted batch job 7 && exit
echo 'sbatch: error: {refusal}' >&2
exit 1
"""
        for name, script in {"sbatch": sbatch, "srun": "#!/bin/sh\n"}.items():
            (programs / name).write_text(script)
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        executor, waited = SlurmExecutor(), list[float]()
        executor._submitit, executor._folder = slurm_executor._imported(), tmp_path
        monkeypatch.setattr("harness.execution.slurm_executor.time.monotonic", lambda: sum(waited))
        task = executor._task(worker.make_call, None, Environment(), Needs())
        monkeypatch.setattr(task.cancelled, "wait", waited.append)
        return executor._submit("harness-key", task, 1).job_id, waited

    return submit


@pytest.mark.parametrize(
    "refusal",
    [
        "Batch job submission failed: Socket timed out on send/recv operation",
        "Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "Batch job submission failed: Zero Bytes were transmitted or received",
        "Slurm temporarily unable to accept job, sleeping and retrying",
        "QOSMaxSubmitJobPerUserLimit\nBatch job submission failed: Job violates accounting/QOS policy",
    ],
)
def test_a_busy_controller_is_asked_again(controller: Any, refusal: str) -> None:
    assert controller(refusal, 3) == ("7", [5.0, 10.0, 20.0])


def test_a_controller_that_stays_busy_is_told(controller: Any) -> None:
    with pytest.raises(StageFailed, match=r"took no job for 10 minutes: Socket timed out on send/recv operation; run"):
        controller("Batch job submission failed: Socket timed out on send/recv operation", 100)


def test_a_job_that_is_refused_for_what_it_asks_is_not_sent_again(controller: Any) -> None:
    with pytest.raises(StageFailed, match=r"^sbatch refused its job: Invalid partition name specified; see"):
        controller("Batch job submission failed: Invalid partition name specified", 1)


def test_the_files_of_a_job_that_succeeded_are_deleted_and_no_others(tmp_path: Path) -> None:
    executor = SlurmExecutor()
    executor._folder = tmp_path / "workers"
    (folder := executor._folder).mkdir()
    for number in ("7", "17"):
        (folder / f"{number}_0_log.err").touch()
        (folder / f"{number}_submission.sh").touch()
        (folder / f".submission_file_{number}.sh").symlink_to(folder / f"{number}_submission.sh")
    executor._tidy("7")
    kept = {".submission_file_17.sh", "17_0_log.err", "17_submission.sh"}
    assert {path.name for path in folder.iterdir()} == kept


def test_what_a_job_raised_is_found_in_its_traceback() -> None:
    """submitit tells a traceback and then the paths of its logs."""
    text = "Job failed with trace:\n  File x\nModuleNotFoundError: No module named 'harness'\n---\nlogs:\n  - /a/b.out"
    assert raised(text) == "ModuleNotFoundError: No module named 'harness'"
    assert raised("a line\n  - /a/b.out\n") == "- /a/b.out"


def test_a_job_that_would_wait_for_ever_fails(slurm: Any) -> None:
    with pytest.raises(
        StageFailed, match=r"would wait for ever \(PartitionTimeLimit\); see the section execution.slurm"
    ):
        slurm("PENDING", reason="PartitionTimeLimit")


def test_a_job_that_waits_in_the_queue_is_told_of_once(
    slurm: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(slurm_executor, "WAITING_SECONDS", 0.0)
    slurm("PENDING", "PENDING", "PENDING", "RUNNING", "COMPLETED", reason="Priority", answered=True)
    assert [one.getMessage() for one in caplog.records] == ["Slurm job 7 has waited for 0 minutes (Priority)"]


def test_a_machine_that_is_no_login_node_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="this machine has no command 'sbatch'; run the harness on a login node"):
        Session(pocket.suite(), tmp_path, executor="slurm")
    assert ENDED >= LOST


def test_an_interrupt_cancels_what_is_in_flight(plan: Plan, tmp_path: Path) -> None:
    class Endless(Cluster):
        def run_task(self, task: Any, attempt: int, watch: Any) -> worker.Result:
            started.set()
            assert task.cancelled.wait(60)
            raise StageFailed("cancelled")

    started, cluster = threading.Event(), Endless()
    one = planned("index", "index", {"kind": "bm25"}, {"corpus": "0" * 64}, ExpectedWork(1))
    future = cluster.send(one, {}, FolderStore(tmp_path), Needs(), silent)
    assert started.wait(60)
    cluster.cancel()
    with pytest.raises(StageFailed, match="cancelled"):
        future.result(60)
    assert cluster._flying == {}


def test_a_request_is_run_by_a_worker_for_one_who_commits(tmp_path: Path, child: Worker, plan: Plan) -> None:
    from toy_stages import request

    cluster = Cluster()
    cluster.connect(plan.suite, tmp_path)
    (tmp_path / "out").mkdir()
    assert run(cluster, request("copy", tmp_path / "out", text="x"), silent).peak_memory_mb == 100.0
    assert child.asked == ["copy"]
