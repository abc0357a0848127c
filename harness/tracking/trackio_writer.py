"""Writes runs to Trackio: to its local folder, a server or a Space. Runs in a process of its own; see `sending`.

Trackio has no parent runs: the runs of a result are a group. Their names end with the beginning of its identity, and
the run of the result itself is written last; where it is, all of them are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.tracking.records import Metric, Tracked, TrackedRun
from harness.tracking.sent import Reply, Request

SERVER = "TRACKIO_SERVER_URL"


def write(request: Request) -> Reply:
    """Write the runs of a result, unless they are there; raises what Trackio raises."""
    if request.address is not None:
        os.environ[SERVER] = request.address
    import trackio

    tracked = request.tracked
    project = request.group or tracked.suite
    known = _known(trackio, project)
    if _name(tracked, tracked.parent) in known:
        return Reply(place=os.environ.get(SERVER, ""))
    runs = [run for run in tracked.runs if _name(tracked, run) not in known]
    for run in (*runs, tracked.parent):
        _write(trackio, project, tracked, run)
    return Reply(made=len(runs) + 1, place=os.environ.get(SERVER, ""))


def _name(tracked: Tracked, run: TrackedRun) -> str:
    return f"{run.name} {tracked.short}"


def _known(trackio: Any, project: str) -> set[str]:
    """Return the names of the runs of a project; none where there is no such project."""
    try:
        return {str(run.name) for run in trackio.Api().runs(project)}
    except ValueError:
        return set()


def _write(trackio: Any, project: str, tracked: Tracked, run: TrackedRun) -> None:
    is_parent = run.key == tracked.parent.key
    config: dict[str, Any] = {**run.params, **run.tags, **(tracked.origin if is_parent else {})}
    made = trackio.init(
        project=project,
        name=_name(tracked, run),
        group=f"{tracked.kind} {tracked.short}",
        config={**config, "outcome": tracked.identity, "state": "failed" if run.failed else "finished"},
        resume="allow",
        embed=False,
        auto_log_gpu=False,
    )
    for step, values in _steps(run.metrics):
        made.log(values, step=step)
    if is_parent:
        for file in tracked.files:
            name = f"{tracked.short}-{file.replace('/', '-')}"
            trackio.log_artifact(str(Path(tracked.folder) / file), name=name, type="report")
    made.finish()


def _steps(metrics: tuple[Metric, ...]) -> Iterator[tuple[int, dict[str, float]]]:
    """The metrics of each step together, in the order of the steps."""
    for step in sorted({metric.step for metric in metrics}):
        yield step, {metric.name: metric.value for metric in metrics if metric.step == step}
