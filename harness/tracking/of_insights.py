"""What a tracker is told of a learning curve and of a diagnosis: one run each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.report import CURVE_FILE, DIAGNOSIS_FILE, DIAGNOSIS_PAGE
from harness.tracking.of_outcome import origin, seconds_of
from harness.tracking.records import Metric, Tracked, TrackedRun, metrics, tags
from harness.values.insights import CurvePoint, Diagnosis, LearningCurve

CURVE_JSON, DIAGNOSIS_JSON = "curve.json", "diagnosis.json"


def of_curve(curve: LearningCurve, folder: Path, artifacts: bool = True) -> Tracked:
    """Return the run of a learning curve: a metric for each measure, whose steps are numbers of training examples."""
    said = [(f"said.{measure}", sentence) for measure, sentence in curve.said.items()]
    parent = TrackedRun(
        key="curve",
        name=f"{curve.suite}: learning curve of {curve.candidate}",
        params=tags([("candidate", curve.candidate), ("split", curve.split)]),
        tags=tags([("suite", curve.suite), ("kind", "curve"), *said]),
        metrics=tuple(metric for point in curve.points for metric in _point(point)),
    )
    return Tracked(
        suite=curve.suite,
        kind=f"curve/{curve.candidate}",
        parent=parent,
        origin=origin({}, curve.created),
        created=seconds_of(curve.created),
        seconds=curve.seconds,
        folder=str(folder),
        files=_present(folder, (CURVE_JSON, CURVE_FILE)) if artifacts else (),
    )


def _point(point: CurvePoint) -> Iterator[Metric]:
    told = {point.measure: point.mean, f"gain/{point.measure}": point.gain}
    yield from metrics(told, step=point.examples)
    yield from metrics({"train_seconds": point.seconds}, step=point.examples, measured=True)


def of_diagnosis(diagnosis: Diagnosis, folder: Path, artifacts: bool = True) -> Tracked:
    """Return the run of a diagnosis: where queries are lost, what oracles would gain, and the first advice."""
    places = {
        f"{funnel.kind}/{place.population}/{place.name}": place.share
        for funnel in diagnosis.funnels
        for place in funnel.places
    }
    gains = {f"{gain.oracle}/{gain.measure}": gain.difference for gain in diagnosis.oracle_gains}
    advice = next((one.action for one in diagnosis.advice if not one.against), "")
    parent = TrackedRun(
        key="diagnosis",
        name=f"{diagnosis.title or diagnosis.suite}: diagnosis",
        params=tags([("split", diagnosis.split), ("pipeline", diagnosis.pipeline)]),
        tags=tags([("suite", diagnosis.suite), ("kind", "diagnosis"), ("advice", advice)]),
        metrics=(
            *metrics({**places, **gains}),
            *metrics({"p95_ms": diagnosis.p95_ms, "dollars_per_1000": diagnosis.dollars_per_1000}, measured=True),
        ),
    )
    return Tracked(
        suite=diagnosis.suite,
        kind="diagnosis",
        parent=parent,
        origin=origin(diagnosis.provenance, diagnosis.created),
        created=seconds_of(diagnosis.created),
        seconds=diagnosis.seconds,
        folder=str(folder),
        files=_present(folder, (DIAGNOSIS_JSON, DIAGNOSIS_FILE, DIAGNOSIS_PAGE)) if artifacts else (),
    )


def _present(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if (folder / name).is_file())
