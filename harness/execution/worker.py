"""What a worker of a cluster does: make a call and commit it, or run a request for one who waits for its cost.

A worker runs the stage in a child process of its own, as this machine would. It claims and commits by itself, so what
it finishes is in the store even if nobody waits for it any more. Where its device, packages or models are not those of
the key, it refuses. A failure comes back as a value, since not every cluster brings back an exception as it was raised.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from harness import provenance
from harness.errors import HarnessError, StageFailed
from harness.execution import machine
from harness.execution.child_processes import ChildExecutor
from harness.execution.environments import DEFAULTS, Environment
from harness.execution.executors import Cost, Request, request_for, run
from harness.models.loaders import model_digest
from harness.planning.graph import PlannedCall
from harness.planning.ledger import facts_of
from harness.provenance import Machine
from harness.stages import load_stage
from harness.store import Store
from harness.suite.fields import Spec
from harness.values.records import Progress, Usage

PROGRESS_EVERY = 1.0
"""Seconds between two lines of progress that a worker writes."""
THREADS = "OMP_NUM_THREADS"


class Place(NamedTuple):
    """Where a worker works: the variables that are set for it, its cores, its folder, and the file of its progress."""

    environment: Environment
    cpus: int
    folder: Path
    progress: Path


class Sent(NamedTuple):
    """A planned call on its way to a worker, with the calls that make its inputs: they say how its time is classed."""

    planned: PlannedCall
    makers: Mapping[str, PlannedCall]
    store: Store


class Result(NamedTuple):
    """What a worker answers: the cost of a request, or why it failed; `reused` if a call was in the store already."""

    host: str
    cost: Cost | None = None
    failure: str = ""
    reused: bool = False


class Look(Spec):
    """A file that this machine has written, and the worker has to see."""

    seen: str


def look(spec: Look, inputs: Mapping[str, Path], out: Path, seed: int, progress: Progress) -> Usage:
    """Note the machine that this process runs on, and whether it sees the file."""
    device, name = provenance.device_class(), provenance.machine_class()
    return Usage(notes={"device": device, "machine": name, "seen": Path(spec.seen).exists()})


def perform_request(request: Request, place: Place, attempt: int = 1) -> Result:
    """Run a request, whose folders lie where all machines see them."""

    def work(environment: Environment) -> tuple[Cost, bool]:
        return run(_children(), request._replace(environment=environment), _progress_into(place.progress)), False

    return _answered(place, work)


def make_call(sent: Sent, place: Place, attempt: int = 1) -> Result:
    """Make and commit the artifact of a call, unless it is in the store; the number of the attempt is noted with it."""

    def work(environment: Environment) -> tuple[Cost | None, bool]:
        planned, store = sent.planned, sent.store
        here = _machine(environment)
        _check(planned, here)
        for name, key in planned.call.inputs.items():
            if not store.has(key):
                raise StageFailed(f"its input {name} is not in the store that {socket.gethostname()} sees; {SHARE}")
        with store.claim(planned.key) as folder:
            if store.has(planned.key):
                return None, True
            request = request_for(planned, store, folder)._replace(environment=environment)
            cost = run(_children(), request, _progress_into(place.progress))
            cost = cost._replace(share=_share(planned, place.cpus))
            provenance.stages_run_on(here)
            facts = facts_of(
                planned, cost.seconds, cost.peak_memory_mb, cost.usage, folder, sent.makers, cost.share
            )  # fmt: skip
            again = {"attempts": attempt} if attempt > 1 else {}
            store.commit(planned.key, folder, {**facts, "machine": here.name, **again})
        return cost, False

    return _answered(place, work)


INSTALL_THERE = "install the same version of the harness on all machines"
SHARE = "name a folder with --store that all machines share, under one path"


def _answered(place: Place, work: Any) -> Result:
    """The result of work in a place, or its failure."""
    host = socket.gethostname()
    try:
        with _in_folder(place.folder), _without_main():
            cost, reused = work(_environment(place))
        return Result(host, cost, reused=reused)
    except HarnessError as error:
        return Result(host, failure=str(error))
    except Exception as error:
        return Result(host, failure=f"{type(error).__name__}: {error} (on {host})")


def _environment(place: Place) -> Environment:
    """The variables of this worker, and those that it was sent."""
    threads = {} if THREADS in place.environment else {THREADS: str(place.cpus)}
    return Environment({**DEFAULTS, **os.environ, **threads, **place.environment})


def _machine(environment: Environment) -> Machine:
    """The machine as a child sees it: a process that asks for the name of a GPU keeps some of its memory."""
    asked = Request(f"{__name__}:look", f"{__name__}:Look", {"seen": ""}, {}, Path(), 0, None, environment)
    notes = run(_children(), asked, lambda done, total: None).usage.notes
    return Machine(notes["device"], notes["machine"])


def _check(planned: PlannedCall, here: Machine) -> None:
    """Raise StageFailed where this worker would not make what the key of a call says."""
    call, host = planned.call, socket.gethostname()
    version = load_stage(call.stage).version
    if version != call.version:
        what = f"{host} has version {version} of this stage, and the plan has {call.version}"
        raise StageFailed(f"{what}; {INSTALL_THERE}")
    if call.device not in ("any", here.device):
        what = f"{host} computes on {here.device!r}, and the plan is for {call.device!r}"
        raise StageFailed(f"{what}; send the calls to machines of one kind (see docs/clusters.md)")
    for name, planned_version in call.packages.items():
        if (found := provenance.package_version(name)) != planned_version:
            what = f"{host} has {name} {found}, and the plan is for {planned_version}"
            raise StageFailed(f"{what}; install the same packages on all machines")
    for name, digest in call.models.items():
        if model_digest(name) != digest:
            raise StageFailed(f"the model {name!r} on {host} is another than the plan has; copy it there")


def _share(planned: PlannedCall, cpus: int) -> float:
    """The share of the machine that a call has; one on a GPU is priced as the whole of it."""
    return min(1.0, cpus / machine.cores()) if planned.call.device in ("cpu", "any") else 1.0


@cache
def _children() -> ChildExecutor:
    """The children of this worker; their fork server serves all its calls."""
    return ChildExecutor()


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Work in the folder of the one who asks, if it is here: models may be named by relative paths."""
    before = Path.cwd()
    with suppress(OSError):
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module of this worker, which is the cluster's own, from children: they would import it."""
    main = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)


def _progress_into(path: Path) -> Progress:
    """Return what writes progress into a file that others read meanwhile."""
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last < PROGRESS_EVERY and done < total:
            return
        last = time.monotonic()
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        with suppress(OSError):
            aside.write_text(json.dumps([done, total]), encoding="utf-8")
            aside.replace(path)

    return progress


def progress_in(path: Path) -> tuple[int, int] | None:
    """Return the progress that a worker wrote last; None if it has written none."""
    try:
        done, total = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return done, total
