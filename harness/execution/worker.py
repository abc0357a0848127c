"""What a worker of a cluster does: make a call and commit it, or run a request for one who waits for its cost.

A worker opens the store of its run itself: a folder that all machines see, or an address, of which it keeps copies of
its own. It runs the stage in a child process, as this machine would. It claims and commits by itself, so what it
finishes is in the store even if nobody waits for it any more. Where its device, packages or models are not those of the
key, it refuses. A failure comes back as a value, since not every cluster brings back an exception as it was raised.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from harness import provenance
from harness.errors import HarnessError, StageFailed
from harness.execution import machine
from harness.execution.child_processes import ALL, LITTLE, ChildExecutor
from harness.execution.environments import DEFAULTS, Environment
from harness.execution.executors import Cost, Request, request_for, run
from harness.execution.notes import Notes
from harness.locks import refusal
from harness.models.loaders import model_digest
from harness.planning.graph import PlannedCall
from harness.planning.ledger import facts_of
from harness.provenance import Machine
from harness.remembered import cache_folder
from harness.remote.objects import expect, is_address
from harness.remote.places import opened_store
from harness.stages import load_stage
from harness.store import Store
from harness.suite.fields import Spec
from harness.values.records import Progress, Usage

THREADS = "OMP_NUM_THREADS"
CLAIMED = "workers"
"""A key that workers claim to try it."""


class Place(NamedTuple):
    """Where a worker works: the variables that are set for it, its cores, its folder, the root of the store (a folder
    or an address), the name of the note that it leaves of its progress, and whether its process ends after the call.
    """

    environment: Environment
    cpus: int
    folder: Path
    store: str
    progress: str
    one_call: bool = False


class Sent(NamedTuple):
    """A planned call on its way to a worker, with the calls that make its inputs: they say how its time is classed.

    All attempts at it have one `sender`, which nothing else has: the next one takes over the lease of one that died.
    """

    planned: PlannedCall
    makers: Mapping[str, PlannedCall]
    sender: str


class Result(NamedTuple):
    """What a worker answers: the cost of a request, or why it failed; `reused` if a call was in the store already.

    `files` are what a request wrote, by relative name.
    """

    host: str = ""
    cost: Cost | None = None
    failure: str = ""
    reused: bool = False
    files: Mapping[str, bytes] | None = None


class Look(Spec):
    """Nothing has to be said."""


def look(spec: Look, inputs: Mapping[str, Path], out: Path, seed: int, progress: Progress) -> Usage:
    """Note the machine that this process runs on."""
    return Usage(notes={"device": provenance.device_class(), "machine": provenance.machine_class()})


def meet(note: str, place: Place, attempt: int = 1) -> Result:
    """Tell the machine of this worker, which has to see a note that was left beside the store, and to claim keys."""

    def work(environment: Environment) -> Result:
        with opened_store(place.store) as store:
            host, where = socket.gethostname(), "address" if is_address(place.store) else "folder"
            if Notes(place.store).read(note) is None:
                raise StageFailed(f"{host} does not see {place.store}, the {where} of the store; {SHARE}")
            folder = cache_folder() if is_address(place.store) else Path(place.store)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                # Machines at once are the rule here, so what one process does without is required.
                if why := refusal(folder):
                    raise OSError(why)
                with store.try_claim(CLAIMED):
                    pass
            except (OSError, NotImplementedError) as error:
                hint = "name a folder with file locks" + (" in its XDG_CACHE_HOME" if is_address(place.store) else "")
                raise StageFailed(f"{host} cannot lock and write files in {folder} ({error}); {hint}") from error
        here = _machine(environment, place)
        return Result(cost=Cost(0.0, 0.0, Usage(notes=here._asdict())))

    return _answered(place, work)


def perform_request(request: Request, place: Place, attempt: int = 1) -> Result:
    """Run a request whose inputs are named by their keys; what it writes comes back with the result."""

    def work(environment: Environment) -> Result:
        with opened_store(place.store) as store, tempfile.TemporaryDirectory(prefix="harness-") as folder:
            out = Path(folder)
            inputs = {name: _input(store, name, key) for name, key in (request.keys or {}).items()}
            asked = request._replace(environment=environment, inputs=inputs, out=out)
            cost = run(_children(place.one_call), asked, _progress_of(place))
            written = [path for path in sorted(out.rglob("*")) if path.is_file()]
            return Result(cost=cost, files={path.relative_to(out).as_posix(): path.read_bytes() for path in written})

    return _answered(place, work)


def make_call(sent: Sent, place: Place, attempt: int = 1) -> Result:
    """Make and commit the artifact of a call, unless it is in the store; the number of the attempt is noted with it."""

    def work(environment: Environment) -> Result:
        planned, here = sent.planned, _machine(environment, place)
        _check(planned, here)
        with opened_store(place.store, sent.sender) as store:
            for name, key in planned.call.inputs.items():
                if not store.has(key):
                    raise StageFailed(_lacks(name))
            with store.claim(planned.key) as folder:
                if store.has(planned.key):
                    return Result(reused=True)
                request = request_for(planned, store, folder)._replace(environment=environment)
                cost = run(_children(place.one_call), request, _progress_of(place))
                cost = cost._replace(share=_share(planned, place.cpus))
                provenance.stages_run_on(here)
                facts = facts_of(
                    planned, cost.seconds, cost.peak_memory_mb, cost.usage, folder, sent.makers, cost.share
                )  # fmt: skip
                again = {"attempts": attempt} if attempt > 1 else {}
                store.commit(planned.key, folder, {**facts, "machine": here.name, **again})
        return Result(cost=cost)

    return _answered(place, work)


INSTALL_THERE = "install the same version of the harness on all machines"
SHARE = "name a folder with --store that all machines share, under one path, or an address that all of them reach"


def _answered(place: Place, work: Callable[[Environment], Result]) -> Result:
    """The result of work in a place, or its failure."""
    host = socket.gethostname()
    expect(place.store)
    try:
        with _in_folder(place.folder), _without_main():
            return work(_environment(place))._replace(host=host)
    except StageFailed as error:
        return Result(host, failure=str(error))
    except HarnessError as error:
        # Of the store or of a model, as they are on this machine.
        return Result(host, failure=f"{error} (on {host})")
    except Exception as error:
        return Result(host, failure=f"{type(error).__name__}: {error} (on {host})")


def _input(store: Store, name: str, key: str) -> Path:
    folder = store.get(key)
    if folder is None:
        raise StageFailed(_lacks(name))
    return folder


def _lacks(name: str) -> str:
    return f"its input {name} is not in the store that {socket.gethostname()} sees; {SHARE}"


def _environment(place: Place) -> Environment:
    """The variables of this worker, and those that it was sent."""
    threads = {} if THREADS in place.environment else {THREADS: str(place.cpus)}
    return Environment({**DEFAULTS, **os.environ, **threads, **place.environment})


def _machine(environment: Environment, place: Place) -> Machine:
    """The machine as a child sees it: a process that asks for the name of a GPU keeps some of its memory."""
    asked = Request(f"{__name__}:look", f"{__name__}:Look", {}, {}, Path(), 0, None, environment)
    notes = run(_children(place.one_call), asked, lambda done, total: None).usage.notes
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
    """The share of the machine that a call has: of its cores, or of its GPUs."""
    if planned.call.device not in ("cpu", "any"):
        return 1 / machine.gpus_of_machine()
    # A job of Slurm may be shut in its own cores; a container has those that its limit says.
    cores = (os.cpu_count() or 1) if "SLURM_JOB_ID" in os.environ else machine.cores()
    return min(1.0, cpus / cores)


@cache
def _children(one_call: bool) -> ChildExecutor:
    """The children of this worker. Their fork server serves all its calls; for one, it need not import everything."""
    return ChildExecutor(preloaded=LITTLE if one_call else ALL)


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


def _progress_of(place: Place) -> Progress:
    """Return what notes the progress of a worker, for those who wait for it."""
    notes, last = Notes(place.store), float("-inf")

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last < notes.every and done < total:
            return
        last = time.monotonic()
        with suppress(OSError, HarnessError):
            notes.write(place.progress, json.dumps([done, total]).encode())

    return progress


def progress_in(notes: Notes, name: str) -> tuple[int, int] | None:
    """Return the progress that a worker noted last; None if it has noted none."""
    with suppress(OSError, HarnessError, ValueError, TypeError, RecursionError):
        done, total = json.loads(notes.read(name) or b"")
        return done, total
    return None
