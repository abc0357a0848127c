"""Writes runs to Trackio: to its local folder, a server or a Space. Runs in a process of its own; see `sending`.

Trackio has no parent runs: the runs of a result are a group. Their names end with the beginning of its identity, and
the run of the result itself is written last; where it is, all of them are. Trackio only warns where it could not write,
so its warnings are what went wrong.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.tracking.records import Metric, Tracked, TrackedRun
from harness.tracking.sent import MOST_WHY, Reply, Request

SERVER, SPACE = "TRACKIO_SERVER_URL", "TRACKIO_SPACE_ID"
WITHOUT_MACHINE = {"auto_log_gpu": False, "auto_log_cpu": False}
"""What this machine does while a result is sent is no part of the result."""


def write(request: Request) -> Reply:
    """Write the runs of a result, unless they are there; raises what Trackio raises."""
    if request.address is not None:
        os.environ[SERVER] = request.address
    import trackio

    tracked, place = request.tracked, os.environ.get(SERVER) or os.environ.get(SPACE) or ""
    project = request.group or tracked.suite
    if _is_there(trackio, project, _name(tracked, tracked.parent), at_server=bool(place)):
        return Reply(place=place)
    known = set() if place else _known(trackio, project)
    runs = [run for run in tracked.runs if _name(tracked, run) not in known]
    for number, run in enumerate((*runs, tracked.parent)):
        if problem := _write(trackio, project, tracked, run):
            return Reply(made=number, place=place, problem=problem)
    return Reply(made=len(runs) + 1, place=place)


def _name(tracked: Tracked, run: TrackedRun) -> str:
    return f"{run.name} {tracked.short}"


def _is_there(trackio: Any, project: str, name: str, *, at_server: bool) -> bool:
    """Whether a project has a run of that name; a server tells only by letting it be resumed."""
    if not at_server:
        return name in _known(trackio, project)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = trackio.init(project=project, name=name, resume="must", embed=False, **WITHOUT_MACHINE)
            run.finish()
    except ValueError:
        # Also where the server is down, which writing then says.
        return False
    return True


def _known(trackio: Any, project: str) -> set[str]:
    """Return the names of the runs of a project in the local folder; none where there is no such project."""
    try:
        return {str(run.name) for run in trackio.Api().runs(project)}
    except ValueError:
        return set()


def _write(trackio: Any, project: str, tracked: Tracked, run: TrackedRun) -> str:
    """Write a run, and return why it may not be there in full."""
    is_parent = run.key == tracked.parent.key
    config: dict[str, Any] = {**run.params, **run.tags, **(tracked.origin if is_parent else {})}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        made = trackio.init(
            project=project,
            name=_name(tracked, run),
            group=f"{tracked.kind} {tracked.short}",
            config={**config, "outcome": tracked.identity, "state": "failed" if run.failed else "finished"},
            resume="allow",
            embed=False,
            **WITHOUT_MACHINE,
        )
        for step, values in _steps(run.metrics):
            made.log(values, step=step)
        if is_parent:
            for file in tracked.files:
                name = f"{tracked.short}-{file.replace('/', '-')}"
                trackio.log_artifact(str(Path(tracked.folder) / file), name=name, type="report")
        made.finish()
    said = [str(one.message) for one in told if issubclass(one.category, UserWarning)]
    return " ".join(said[0].split())[:MOST_WHY] if said else ""


def _steps(metrics: tuple[Metric, ...]) -> Iterator[tuple[int, dict[str, float]]]:
    """The metrics of each step together, in the order of the steps."""
    for step in sorted({metric.step for metric in metrics}):
        yield step, {metric.name: metric.value for metric in metrics if metric.step == step}
