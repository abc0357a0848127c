"""Runs of a small suite on real clusters of this machine, each in a process of its own that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import smallsuite

from harness.remote.objects import Objects
from harness.remote.places import root_of, store_in
from harness.results import sharing

HERE = Path(__file__).parent
PATHS = os.pathsep.join(filter(None, [str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH")]))
SECONDS = 1500
"""How long a run may take on a machine that is busy."""


class Runs:
    """Runs of one suite in `folder`; `variables` are set for each, `execution` is its section.

    Stores are folders there, or lie at an `address`. Then each machine makes artifacts in its own of the `caches`.
    """

    def __init__(
        self, folder: Path, variables: Mapping[str, str], execution: Mapping[str, Any], address: str = "",
        caches: Sequence[Path] = (),
    ) -> None:  # fmt: skip
        self.folder, self.address, self.caches = folder, address, caches
        self.suite = smallsuite.write(folder, smallsuite.bi_encoder(folder / "model"), {"execution": dict(execution)})
        cache = {"XDG_CACHE_HOME": str(folder / "cache")}
        # One thread each, so that results are the same to the last bit whatever runs beside what.
        self.variables = {**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1", **cache, **variables}
        self.variables["OPENAI_API_KEY"] = "sk-not-to-be-found-anywhere"

    def place(self, store: str) -> str:
        """What `--store` names."""
        return f"{self.address}/{store}" if self.address and store != HERE_STORE else str(self.folder / store)

    def started(self, store: str, executor: str) -> subprocess.Popen[str]:
        where = ["--store", self.place(store), "--executor", executor]
        command = [sys.executable, "-m", "harness", "run", str(self.suite), *where]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(self, store: str, executor: str) -> str:
        """What a run prints that has to succeed."""
        return ended(self.started(store, executor))

    @cached_property
    def here(self) -> str:
        """The store of a run in child processes, in a folder."""
        self.run(HERE_STORE, "child")
        return HERE_STORE

    def artifacts(self, store: str) -> dict[str, str]:
        """Digests of the stage calls of a store; the index of bm25 has its words in the order of a set."""
        held = store_in(self.place(store))
        return {key: held.content_digest(key) for key, facts in self.facts(store).items() if facts["label"] != BM25}

    def facts(self, store: str) -> dict[str, Mapping[str, Any]]:
        """Facts of the stage calls of a store by key."""
        return {key: facts for key, (_, facts) in self.manifests(store).items()}

    def manifests(self, store: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """When each stage call was committed, with its facts; a store may note other times of files later."""
        entries = store_in(self.place(store)).entries()
        return {entry.key: (entry.created, entry.facts) for entry in entries if "speed" in entry.facts}

    def begun(self, store: str) -> Iterator[str]:
        """Keys of what is being made in a store."""
        places = ["rag-tuning-harness/addresses/*/store/aside/*"] if self.address else [f"{store}/store/aside/*"]
        for root in self.caches if self.address else [self.folder]:
            yield from (path.name.partition(".")[0] for pattern in places for path in root.glob(pattern))

    def notes(self, store: str) -> list[str]:
        """What workers left beside a store."""
        if self.address:
            return [*Objects(f"{self.place(store)}/workers").list("")]
        return [path.name for path in (self.folder / store / "workers").iterdir()]

    def scores(self, store: str) -> Any:
        """What the latest outcome says of quality."""
        path = sharing.latest_of(root_of(self.place(store)), "toy") / "outcome.json"
        value = json.loads(path.read_text(encoding="utf-8"))
        return [(row["system"], row["seed"], row["measure"], row["mean"], row["n"]) for row in value["summaries"]]


HERE_STORE, BM25 = "here", "index for bm25"


def ended(run: subprocess.Popen[str]) -> str:
    out, _ = run.communicate(timeout=SECONDS)
    assert run.returncode == 0, out
    return out


def wait_for(condition: Callable[[], Any], run: subprocess.Popen[Any]) -> Any:
    """What a condition says once it says something; fails if the run ends before."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return value


def processes(words: str) -> list[psutil.Process]:
    """Processes of this machine whose command line has these words."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if words in " ".join(process.cmdline()):
                found.append(process)
    return found


def worker_of_ray(key: str) -> psutil.Process | None:
    """The worker that makes a call."""
    return next(iter(processes(f"ray::harness {key[:12]}")), None)


def worker_of_slurm(key: str) -> psutil.Process | None:
    """The Python of the job that makes a call."""
    running = processes("submitit.core._submit")
    return next((one for one in running if key in one.environ().get("SLURM_JOB_NAME", "")), None)


def kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)


def check_same(runs: Runs, store: str, executor: str) -> str:
    """A run on a cluster has the artifacts and the scores of one on this machine. Return what it prints."""
    said = runs.run(store, executor)
    assert runs.artifacts(store) == runs.artifacts(runs.here)
    assert runs.scores(store) == runs.scores(runs.here)
    machines = {facts.get("machine") for facts in runs.facts(store).values()}
    assert len(machines) == 1
    assert machines != {None}
    assert runs.notes(store) == []
    return said


def check_retried(runs: Runs, store: str, executor: str, worker: Callable[[str], psutil.Process | None]) -> None:
    """A worker that is killed while it makes a call costs an attempt, and the run is complete.

    `worker` finds the process that makes the call of a key.
    """
    calls = {*runs.facts(runs.here)}
    run = runs.started(store, executor)

    def begun() -> str | None:
        """The key of a call that a worker has begun to make; this process puts the dataset there."""
        return next((key for key in runs.begun(store) if key in calls), None)

    key = wait_for(begun, run)
    process = worker(key)
    assert process is not None
    kill(process)
    ended(run)
    assert {key: facts["attempts"] for key, facts in runs.facts(store).items() if "attempts" in facts} == {key: 2}
    assert runs.artifacts(store) == runs.artifacts(runs.here)


def check_continued(runs: Runs, store: str, executor: str) -> None:
    """A run that is killed and started again makes nothing twice."""
    run = runs.started(store, executor)
    wait_for(lambda: len(runs.facts(store)) >= 3, run)
    kill(psutil.Process(run.pid))
    run.communicate()
    before = runs.manifests(store)
    # Jobs of the run that was killed go on, and may end before anybody asks for them.
    assert 3 <= len(before) < len(runs.facts(runs.here))
    runs.run(store, executor)
    after = runs.manifests(store)
    assert {key: after[key] for key in before} == before
    assert runs.artifacts(store) == runs.artifacts(runs.here)
