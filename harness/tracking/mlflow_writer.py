"""Writes runs to MLflow, through its client. Runs in a process of its own; see `sending`.

Every run has the tag ``harness.outcome`` with the identity of its result, and ``harness.key``. So a result that is
there already is found, and one that was written in part is completed: nothing is written twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.tracking.names import MOST_PARAM, MOST_TAG, accepted, cut, renamed
from harness.tracking.records import Metric, Tracked, TrackedRun
from harness.tracking.sent import Reply, Request, sentence_of

IDENTITY, KEY, STATE = "harness.outcome", "harness.key", "harness.state"
PARENT = "mlflow.parentRunId"
WRITING, COMPLETE = "writing", "complete"
AT_ONCE, METRICS_AT_ONCE = 100, 500
"""Parameters or tags, and metrics, of one request; a server takes 100 and 1,000."""
PAGE = 200


class _Place(NamedTuple):
    """A client, and the experiment whose runs are written."""

    client: Any
    experiment: str
    tracked: Tracked


def write(request: Request) -> Reply:
    """Write the runs of a result that are not complete yet; raises what the client raises."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=request.address)
    name = request.group or os.environ.get("MLFLOW_EXPERIMENT_NAME") or request.tracked.suite
    place = _Place(client, _experiment(client, name), request.tracked)
    known = _known(place)
    parent = known.get(request.tracked.parent.key)
    if parent is not None and parent.data.tags.get(STATE) == COMPLETE:
        return Reply(place=_address(place, parent.info.run_id))
    parent_id = parent.info.run_id if parent is not None else _create(place, request.tracked.parent, None)
    made = 1
    for run in request.tracked.runs:
        there = known.get(run.key)
        if there is not None and there.data.tags.get(PARENT) != parent_id:
            # Its parent was deleted.
            client.set_tag(there.info.run_id, PARENT, parent_id)
        if there is None or there.data.tags.get(STATE) != COMPLETE:
            run_id = there.info.run_id if there is not None else _create(place, run, parent_id)
            _fill(place, run, run_id)
            made += 1
    problem = _send_files(place, parent_id)
    # The parent is the last one: what is complete is so with all of its runs and files.
    _fill(place, request.tracked.parent, parent_id, WRITING if problem else COMPLETE)
    return Reply(made=made, place=_address(place, parent_id), problem=problem)


def _experiment(client: Any, name: str) -> str:
    """Return the id of an experiment, which is made if there is none; raises ValueError if it was deleted."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            # Another process made it in between.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise ValueError(f"the experiment {name!r} was deleted; restore it, or name another as track.mlflow.experiment")
    return str(experiment.experiment_id)


def _known(place: _Place) -> dict[str, Any]:
    """Return the runs of this result that are there, by key; of two with one key, one that is complete."""
    known: dict[str, Any] = {}
    token = None
    while True:
        found = place.client.search_runs(
            [place.experiment],
            filter_string=f"tags.`{IDENTITY}` = '{place.tracked.identity}'",
            max_results=PAGE,
            page_token=token,
        )
        for run in found:
            key = run.data.tags.get(KEY, "")
            if key not in known or run.data.tags.get(STATE) == COMPLETE:
                known[key] = run
        token = found.token
        if not token:
            return known


def _create(place: _Place, run: TrackedRun, parent_id: str | None) -> str:
    tracked = place.tracked
    tags = {IDENTITY: tracked.identity, KEY: run.key, STATE: WRITING}
    if parent_id is not None:
        tags[PARENT] = parent_id
    start = 1000 * max(0.0, tracked.created - tracked.seconds)
    made = place.client.create_run(
        place.experiment, start_time=round(start), tags=tags, run_name=cut(f"{run.name} {tracked.short}", MOST_PARAM)
    )
    return str(made.info.run_id)


def _fill(place: _Place, run: TrackedRun, run_id: str, state: str = COMPLETE) -> None:
    """Write what a run holds; the same again changes nothing."""
    from mlflow.entities import Metric as MlflowMetric
    from mlflow.entities import Param, RunTag

    tracked, client = place.tracked, place.client
    told = {**run.tags, **(tracked.origin if run.key == tracked.parent.key else {})}
    params = [Param(name, value) for name, value in renamed(run.params, MOST_PARAM).items()]
    tags = [RunTag(f"harness.{name}", value) for name, value in renamed(told, MOST_TAG).items()]
    names, time = accepted(metric.name for metric in run.metrics), round(1000 * tracked.created)
    metrics = [MlflowMetric(names[metric.name], metric.value, time, metric.step) for metric in _once(run.metrics)]
    for some in _parts(params, AT_ONCE):
        client.log_batch(run_id, params=some)
    for some in _parts(tags, AT_ONCE):
        client.log_batch(run_id, tags=some)
    for some in _parts(metrics, METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=some)
    status = "FAILED" if run.failed else "FINISHED"
    client.set_terminated(run_id, status=status, end_time=time)
    client.set_tag(run_id, STATE, state)


def _send_files(place: _Place, run_id: str) -> str:
    """Send the files of a result; return why that failed, as scores are worth more than files."""
    try:
        for file in place.tracked.files:
            inside = Path(file).parent.as_posix()
            path = str(Path(place.tracked.folder) / file)
            place.client.log_artifact(run_id, path, artifact_path=None if inside == "." else inside)
    except Exception as error:
        # A server without a store for files, or one whose store is a folder of its own machine.
        return f"its files were not taken ({sentence_of(error)})"
    return ""


def _once(metrics: Sequence[Metric]) -> list[Metric]:
    """The last value of each metric at each step."""
    last: Mapping[tuple[str, int], Metric] = {(metric.name, metric.step): metric for metric in metrics}
    return list(last.values())


def _parts(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    yield from (values[start : start + most] for start in range(0, len(values), most))


def _address(place: _Place, run_id: str) -> str:
    """Return where a browser shows a run; empty where MLflow's store is no server."""
    address = str(place.client.tracking_uri)
    if not address.startswith(("http://", "https://")):
        return ""
    return f"{address.rstrip('/')}/#/experiments/{place.experiment}/runs/{run_id}"
