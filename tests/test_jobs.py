"""Calls side by side: the same results, children that share a machine, and probes that have it to themselves."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import planted
import pocket
import psutil
import pytest
from stage_inputs import silent
from toy_stages import request

from harness import provenance
from harness.data.datasets import load_dataset
from harness.errors import ConfigError, OutOfMemory, StageFailed
from harness.execution import executors, machine
from harness.execution.child_processes import ChildExecutor
from harness.execution.executors import Cost, OneAtATime, Request, run
from harness.execution.machine import jobs_of, threads_of
from harness.execution.scheduler import carry_out
from harness.execution.score_cache import ScoreCache
from harness.execution.session import Session
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.planning.resources import Resources
from harness.store import FolderStore
from harness.suite.files import load_suite
from harness.values.records import Progress


class Threads:
    """Runs planted calls in threads, `jobs` at a time; notes how many were in flight when each began, and its stage."""

    def __init__(self, jobs: int = 1) -> None:
        self.jobs, self.planted, self.lock = jobs, planted.Planted(), threading.Lock()
        self.flying = 0
        self.begun: list[tuple[str, int, bool]] = []
        MADE.append(self)

    def resources(self) -> Resources:
        return Resources(self.jobs)

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        with self.lock:
            self.flying += 1
            self.begun.append((request.stage, self.flying, request.beside))

        def work() -> Cost:
            time.sleep(0.002)
            try:
                return self.planted.run(request, progress)
            finally:
                with self.lock:
                    self.flying -= 1

        return pocket.later(work)

    def cancel(self) -> None:
        raise AssertionError("nothing fails here")


MADE: list[Threads] = []
PAGE = (Path(__file__).parent.parent / "docs" / "jobs.md").read_text(encoding="utf-8")


def session(folder: Path, executor: Any) -> tuple[Session, Plan]:
    folder.mkdir()
    planted.write_dataset(folder / "data")
    suite, _ = load_suite(planted.write_suite(folder))
    session = Session(suite, folder / "root", executor=executor)
    return session, build_plan(suite, load_dataset(suite.dataset, suite.evaluate.split))


def test_scores_and_keys_are_the_same_for_any_number_of_jobs(tmp_path: Path) -> None:
    found = []
    for jobs in (1, 3):
        executor = Threads(jobs)
        one, plan = session(tmp_path / str(jobs), executor)
        done = one.execute(plan, load_dataset(one.suite.dataset, one.suite.evaluate.split))
        assert min(2, jobs) <= max(flying for _, flying, _ in executor.begun) <= jobs
        assert all(beside == (jobs > 1) for _, _, beside in executor.begun)
        found.append((done.rows, list(done.execution.rows), done.execution.failed))
    assert found[0] == found[1]


def test_probes_run_when_nothing_else_does_and_have_the_whole_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, ahead, plain = Threads(3), list[str](), ScoreCache._computed

    def noted(self: ScoreCache, *args: Any) -> Any:
        found = plain(self, *args)
        ahead.append(threading.current_thread().name)
        return found

    monkeypatch.setattr(ScoreCache, "_computed", noted)
    one, plan = session(tmp_path / "suite", executor)
    one.execute(plan, load_dataset(one.suite.dataset, one.suite.evaluate.split))
    scored = len(ahead)
    assert 0 < scored == sum(name.startswith("scores") for name in ahead)
    latencies = one.latencies(plan)
    for system in plan.systems:
        latencies.measure(system)
    probes = [(flying, beside) for stage, flying, beside in executor.begun if stage == "probe"]
    assert len(probes) > 1
    assert set(probes) == {(1, False)}
    assert len(ahead) == scored, "what is computed ahead, beside stages, has ended before the first probe"


def test_timing_runs_are_taken_one_after_another(tmp_path: Path) -> None:
    executor = Threads(3)
    one, plan = session(tmp_path / "suite", executor)
    assert one.time(plan).failed == {}
    assert {(flying, beside) for _, flying, beside in executor.begun} == {(1, False)}


# Children


class Toys(ChildExecutor):
    """Children that copy a text whatever they are asked for; those of a stage are killed."""

    def __init__(self, jobs: int, killed: str = "") -> None:
        super().__init__(jobs)
        self.killed, self.most = killed, 0

    def resources(self) -> Resources:
        return Resources(self.jobs)

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        toy = ("killed", "SIGKILL") if request.stage == self.killed else ("copy", request.stage)
        changed = request._replace(function=f"toy_stages:{toy[0]}", spec_class="toy_stages:Toy", inputs={})
        future = super().submit(changed._replace(spec={"text": toy[1]}), progress)
        self.most = max(self.most, len(self._futures))
        return future


def test_a_child_that_dies_takes_along_what_needs_it_and_its_neighbours_go_on(tmp_path: Path) -> None:
    plan = build_plan(pocket.suite({"seeds": [3, 4]}), pocket.dataset())
    store, executor = FolderStore(tmp_path), Toys(2, killed="mine")
    plan.artifacts.publish(store)
    done = carry_out(plan, store, executor, pocket.Pretender())
    mines = [key for key, planned in plan.calls.items() if planned.call.stage == "mine"]
    needing = {key for key in plan.calls if set(plan.upstream([key])) & {*mines}}
    assert done.failed.keys() == needing
    assert done.rows.keys() == plan.calls.keys() - needing
    assert all("killed by SIGKILL" in reason for reason in done.failed.values())
    assert executor.most == 2
    heavy = [row for row in done.rows.values() if row.stage != "fuse"]
    assert all(row.share == 0.5 for row in heavy)
    assert heavy[0].machine_seconds == heavy[0].seconds / 2


def test_an_interrupt_ends_all_children(tmp_path: Path) -> None:
    executor, told = ChildExecutor(2), threading.Event()
    folders = [tmp_path / "one", tmp_path / "two"]
    started = [threading.Event(), threading.Event()]
    futures = []
    for folder, event in zip(folders, started, strict=True):
        folder.mkdir()
        endless = request("count", folder, size=10**9)._replace(beside=True)
        futures.append(executor.submit(endless, lambda done, total, event=event: event.set()))  # type: ignore[misc]
    assert all(event.wait(60) for event in started)
    pids = [child.pid for child in executor._children.values()]
    assert len(set(pids)) == 2
    executor.cancel()
    assert all(isinstance(future.exception(60), StageFailed) for future in futures)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not told.is_set()


def noted(executor: ChildExecutor, out: Path, text: str, **fields: Any) -> dict[str, Any]:
    return dict(run(executor, request("environment", out, text=text)._replace(**fields), silent).usage.notes)


def test_children_beside_others_get_their_share_of_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = ChildExecutor(2)
    whole = noted(executor, tmp_path, "")["threads"]
    monkeypatch.setattr(machine, "threads_of", lambda jobs: 3 * jobs)
    found = noted(executor, tmp_path, "OMP_NUM_THREADS", beside=True)
    # Of every library, those included that read their variables when they were imported.
    assert (found["threads"], found["OMP_NUM_THREADS"], found["pools"]) == (6, "6", [6])
    assert noted(executor, tmp_path, "")["threads"] == whole


@pytest.mark.parametrize(
    ("beside", "set_aside", "most"),
    [(True, None, float("inf")), (True, 100.0, 500.0), (True, 600.0, 900.0), (False, 100.0, 1000.0)],
)
def test_a_call_gets_its_share_of_the_memory_or_what_it_is_known_to_need(
    beside: bool, set_aside: float | None, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that fits beside others must not fail because it needs more than its share."""
    monkeypatch.setattr(machine, "available_mb", lambda: 1000.0)
    asked = request("copy", tmp_path)._replace(beside=beside, memory_mb=set_aside)
    assert ChildExecutor(2)._most_mb(asked) == pytest.approx(most)


class Short(Threads):
    """Too little memory for a stage that has others beside it, or for that stage in any case."""

    def __init__(self, stage: str, alone_too: bool) -> None:
        super().__init__(2)
        self.stage, self.alone_too = stage, alone_too
        self.asked: list[tuple[str, float | None]] = []

    def resources(self) -> Resources:
        return Resources(2, memory_mb=100_000)

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        self.asked.append((request.stage, request.memory_mb))
        if request.stage != self.stage or (request.memory_mb is None and not self.alone_too):
            return super().submit(request, progress)

        def fails() -> Cost:
            raise OutOfMemory(f"{self.stage}: out of memory; use smaller batches")

        return pocket.later(fails)


@pytest.mark.parametrize("alone_too", [False, True])
def test_a_call_that_finds_too_little_memory_beside_others_runs_again_alone(
    alone_too: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executor = Short("tune_retriever", alone_too)
    session_, plan = session(tmp_path / "suite", executor)
    plan.artifacts.publish(session_.store)
    done = carry_out(plan, session_.store, executor, executors.InlineExecutor())
    short = [key for key, one in plan.calls.items() if one.call.stage == "tune_retriever"]
    assert short
    asked = [memory for stage, memory in executor.asked if stage == "tune_retriever"]
    assert len(asked) == 2 * len(short), "each is tried once beside others, and once alone"
    assert asked.count(None) == len(short)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"{plan.calls[key].label}: out of memory beside other calls; it will run again alone" for key in short
    ]
    if alone_too:
        assert all(done.failed[key].endswith("out of memory; use smaller batches") for key in short)
    else:
        assert done.failed == {}
        assert done.rows.keys() == plan.calls.keys()


@pytest.mark.parametrize(("cores", "jobs", "threads"), [(16, 1, None), (16, 2, 8), (16, 5, 3), (2, 4, 1)])
def test_threads_are_divided_unless_the_user_has_chosen(
    cores: int, jobs: int, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "usable_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads_of(jobs) == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads_of(jobs) is None


def test_each_call_on_a_gpu_has_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ["3", "GPU-5"])
    executor = ChildExecutor(3)
    assert executor.resources().gpus == 2
    flying = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        endless = request("count", tmp_path / name, size=10**9)._replace(beside=True, gpu=True)
        flying.append(executor.submit(endless, silent))
    assert sorted(executor._gpus.values()) == ["3", "GPU-5"]
    executor.cancel()
    assert all(future.exception(60) for future in flying)
    assert executor._gpus == {}
    asked = request("environment", tmp_path, text="CUDA_VISIBLE_DEVICES")._replace(beside=True, gpu=True)
    cost = run(executor, asked, silent)
    assert (cost.usage.notes["CUDA_VISIBLE_DEVICES"], cost.share) == ("3", 0.5)
    alone = run(executor, asked._replace(beside=False), silent)
    assert (alone.usage.notes["CUDA_VISIBLE_DEVICES"], alone.share) == (os.environ.get("CUDA_VISIBLE_DEVICES"), 1.0)


# The machine


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text + "\n")
    return folder


def test_memory_is_what_the_kernel_and_every_cgroup_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = "anon 5\nactive_file 30\ninactive_file 20"
    open_ = write(tmp_path, memory_max="max", memory_current="100", memory_stat=stat)
    job = write(tmp_path / "slurm" / "job", memory_max="1000", memory_current="700", memory_stat=stat)
    assert (machine._left(open_), machine._left(job)) == (None, 350)
    old = {"memory_limit_in_bytes": "2000", "memory_stat": "active_file 9\ntotal_active_file 7\ntotal_inactive_file 3"}
    assert machine._left(write(tmp_path / "old", memory_usage_in_bytes="1500", **old)) == 510
    assert machine._left(write(tmp_path / "full", memory_usage_in_bytes="2500", **old)) == 0
    assert machine._left(tmp_path / "none") is None
    limited = write(tmp_path / "limited", memory_max=str(3 * 2**20), memory_current="0", memory_stat="anon 0")
    monkeypatch.setattr(machine, "_cgroups", lambda controller: iter([open_, limited, tmp_path / "none"]))
    assert machine.available_mb() == 3.0


def test_cores_are_those_that_a_container_has_the_time_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [
        write(tmp_path / "two", cpu_max="250000 100000"),
        write(tmp_path / "open", cpu_max="max 100000"),
        write(tmp_path / "old", cpu_cfs_quota_us="150000", cpu_cfs_period_us="100000"),
        write(tmp_path / "unlimited", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000"),
        tmp_path / "none",
    ]
    assert [machine._quota(folder) for folder in folders] == [2.5, None, 1.5, None, None]
    monkeypatch.setattr(provenance, "usable_cores", lambda: 16)
    monkeypatch.setattr(machine, "_cgroups", lambda controller: iter(folders[:2]))
    assert machine.cores() == 3
    monkeypatch.setattr(machine, "_cgroups", lambda controller: iter(folders[1:2]))
    assert machine.cores() == 16


def test_the_cgroups_of_this_process_are_found_where_there_are_any() -> None:
    assert all(
        folder.is_relative_to(machine.CGROUPS) for name in ("cpu", "memory") for folder in machine._cgroups(name)
    )
    assert machine.available_mb() > 10
    assert 1 <= machine.cores() <= provenance.usable_cores()


def test_memory_of_this_process_is_told_and_of_one_that_has_ended_is_none() -> None:
    assert 10 < machine.held_mb([os.getpid()]) < 100_000
    assert machine.held_mb([2**22 + 1]) == 0
    assert machine.held_mb([]) == 0


def test_resources_count_what_the_children_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_mb", lambda: 100.0)
    monkeypatch.setattr(machine, "held_mb", lambda processes: 11.0 * len(processes))
    monkeypatch.setattr(machine, "gpus", lambda: ["0"])
    assert machine.resources(2, [1, 2]) == Resources(2, 1, 122.0)
    assert machine.resources(1) == Resources()
    assert ChildExecutor(4).resources() == Resources(4, 1, 100.0)
    assert OneAtATime(ChildExecutor(4)).resources() == Resources(1, 1, 100.0)


@pytest.mark.parametrize(("value", "jobs"), [("1", 1), (3, 3), ("auto", 8)])
def test_jobs_are_a_number_or_one_for_two_cores(value: str | int, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "usable_cores", lambda: 16)
    assert jobs_of(value) == jobs
    monkeypatch.setattr(provenance, "usable_cores", lambda: 1)
    assert jobs_of("auto") == 1


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "", 0])
def test_other_jobs_are_refused(value: str | int) -> None:
    with pytest.raises(ConfigError, match="no number of calls that can run side by side; give 1 or more, or 'auto'"):
        jobs_of(value)


def test_an_executor_in_this_process_takes_one_job() -> None:
    with pytest.raises(ConfigError, match="'inline' runs one call at a time; leave out 'jobs'"):
        Session(pocket.suite(), executor="inline", jobs=2)


# The command


def command(*arguments: str) -> int:
    import sys

    from harness.cli import main as cli

    before = sys.argv
    sys.argv = ["harness", *arguments]
    try:
        with pytest.raises(SystemExit) as caught:
            cli.main()
    finally:
        sys.argv = before
    return int(caught.value.code or 0)


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    planted.write_dataset(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(machine, "available_mb", lambda: 64_000.0)
    monkeypatch.setitem(executors.EXECUTORS, "child", f"{__name__}:Threads")
    return str(planted.write_suite(tmp_path))


def outcome_of(folder: Path) -> list[Any]:
    """What an outcome says of scores, without times."""
    value = json.loads((folder / "outcomes" / "planted" / "latest" / "outcome.json").read_text(encoding="utf-8"))
    return [
        [(row["system"], row["seed"], row["measure"], row["mean"], row["n"]) for row in value["summaries"]],
        [(row["system"], row["measure"], row["difference"], row["verdict"]) for row in value["comparisons"]],
        [row["key"] for row in value["ledger"]],
    ]


def test_every_example_of_the_page_runs_and_gives_the_same_outcome(
    suite: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    asked = [line.partition("#")[0].split() for line in lines]
    assert [words[words.index("harness") + 1] for words in asked] == ["plan", "run", "diagnose", "run"]
    for words in asked:
        before, arguments = words[: words.index("harness")], words[words.index("harness") + 1 :]
        for setting in before:
            monkeypatch.setenv(*setting.split("=", 1))
        assert command(*(suite if word == "suites/support" else word for word in arguments)) == 0, capsys.readouterr()
        if arguments[0] != "plan":
            assert MADE[-1].jobs == jobs_of(arguments[-1])
    assert command("run", suite, "--store", "alone") == 0
    assert outcome_of(Path("alone")) == outcome_of(Path(".harness"))
    capsys.readouterr()
    assert command("plan", suite, "--json", "-j", "2") == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["seconds"], value["seconds_with_jobs"], value["longest_path"]) == (0, 0, [])


@pytest.mark.parametrize("verb", ["run", "plan", "diagnose", "curve"])
def test_no_jobs_are_refused_with_one_sentence(verb: str, suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(verb, suite, *(["retriever"] if verb == "curve" else []), "--jobs", "0") == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error == (
        "error: --jobs: '0' is no number of calls that can run side by side; give 1 or more, or 'auto' for one per "
        "two cores\n"
    )


def test_plan_tells_the_time_with_jobs_and_the_longest_path(suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", suite) == 0
    plain = " ".join(capsys.readouterr().out.split())
    assert "with 2 jobs" not in plain
    assert re.search(r"longest path about (\d+ min )?[\d.]+ s: .+ -> tune .+ -> .+", plain)
    assert command("plan", suite, "--jobs", "2") == 0
    words = " ".join(capsys.readouterr().out.split())
    assert re.search(r"time about [\d. mins]+ one after another, about [\d. mins]+ with 2 jobs", words)
    assert command("plan", suite, "--jobs", "2", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert value["jobs"] == 2
    labels = {row["call"]: row for row in value["calls"]}
    assert value["longest_path_seconds"] == pytest.approx(
        sum(labels[name]["seconds"] for name in value["longest_path"])
    )
    assert value["seconds"] == pytest.approx(sum(row["seconds"] for row in value["calls"]))
    assert 0 < value["longest_path_seconds"] <= value["seconds_with_jobs"]
    assert command("plan", suite, "--json") == 0
    assert json.loads(capsys.readouterr().out)["seconds_with_jobs"] == pytest.approx(value["seconds"])
