"""Find a measured system to export or to serve, and check that the suite still produces it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from harness.data.datasets import load_dataset
from harness.errors import ConfigError, Problem, nearest
from harness.planning import requirements
from harness.planning.graph import Plan, SystemPlan
from harness.planning.plan import build_plan
from harness.results import outcomes, sharing
from harness.suite.files import load_suite
from harness.suite.spec import Suite
from harness.suite.uses import reading_of
from harness.values.findings import Outcome, SystemInfo


class MeasuredSuite(NamedTuple):
    """The latest outcome that has a candidate, and its suite."""

    outcome: Outcome
    suite: Suite


def find(candidate: str, store: Path, suite: str | None) -> MeasuredSuite:
    """Return the latest outcome that has a candidate; raise ConfigError if there is none, or several."""
    sharing.refresh(store)
    if suite is not None:
        return named(store, suite)
    latest = _latest(store)
    having = {name: outcome for name, outcome in latest.items() if candidate in _candidates(outcome)}
    if not latest:
        raise ConfigError(Problem("", f"no outcome below {store}", "run a suite first, or set --store"))
    if not having:
        known = {name for outcome in latest.values() for name in _candidates(outcome)}
        what = f"no latest outcome below {store} has a candidate {candidate!r}"
        raise ConfigError(Problem("", what, nearest(candidate, known)))
    if len(having) > 1:
        what = f"several suites have a candidate {candidate!r}: {', '.join(sorted(having))}"
        raise ConfigError(Problem("", what, "choose one with --suite"))
    (outcome,) = having.values()
    return MeasuredSuite(outcome, _as_measured(outcome))


def named(store: Path, suite: str) -> MeasuredSuite:
    """Return the suite from its file; from its outcome, if only an outcome has that name."""
    base = store / "outcomes"
    try:
        spec, _ = load_suite(suite)
    except ConfigError:
        if Path(suite).exists() or not (base / suite / "latest").is_dir():
            raise
        outcome = outcomes.read(base / suite / "latest")
        return MeasuredSuite(outcome, _as_measured(outcome))
    return MeasuredSuite(outcomes.read(base / spec.name / "latest"), spec)


def _latest(store: Path) -> dict[str, Outcome]:
    """The latest outcome of every suite that this version can read."""
    latest = {}
    for folder in sorted((store / "outcomes").glob("*/latest")):
        try:
            latest[folder.parent.name] = outcomes.read(folder)
        except ConfigError:
            continue
    return latest


def _as_measured(outcome: Outcome) -> Suite:
    hint = "set --suite to the suite file"
    try:
        suite = Suite.model_validate(outcome.spec)
    except ValidationError as error:
        what = f"the suite {outcome.suite} cannot be read from its outcome"
        raise ConfigError(Problem("", what, hint)) from error
    path = suite.dataset.path
    if path is not None and not Path(path).is_dir():
        raise ConfigError(
            Problem("", f"the dataset of the suite {outcome.suite} is not found from the current folder", hint)
        )
    return suite


def _candidates(outcome: Outcome) -> set[str]:
    return {system.name for system in outcome.systems if system.role == "candidate"}


def system_of(outcome: Outcome, candidate: str, seed: int | None) -> SystemInfo:
    """Return a candidate of an outcome; raise ConfigError if there is none, or several trainings of it."""
    where = f"suite {outcome.suite}"
    rows = {system.seed: system for system in outcome.systems if system.name == candidate}
    if any(row.role == "baseline" for row in rows.values()):
        raise ConfigError(
            Problem(where, f"{candidate!r} is a baseline row: nothing in it is tuned", "name a candidate")
        )
    if not rows:
        what = f"no candidate {candidate!r} in the latest outcome"
        raise ConfigError(Problem(where, what, nearest(candidate, _candidates(outcome)) or "run the suite first"))
    if seed is None and len(rows) > 1 and any(row.tunes for row in rows.values()):
        seeds = ", ".join(map(str, sorted(rows)))
        raise ConfigError(Problem(where, f"{candidate!r} was trained with the seeds {seeds}", "choose one with --seed"))
    if seed is not None and seed not in rows:
        what = f"{candidate!r} was not trained with seed {seed}"
        raise ConfigError(Problem(where, what, f"trained with: {', '.join(map(str, sorted(rows)))}"))
    system = rows[min(rows) if seed is None else seed]
    if system.failed:
        raise ConfigError(Problem(where, f"{system.label} failed: {system.failed}", "fix that and run the suite again"))
    return system


def planned_now(measured: MeasuredSuite, system: SystemInfo) -> tuple[Plan, SystemPlan]:
    """Plan this system again; raise ConfigError if its identity is not the measured one."""
    plan, (planned,) = planned_again(measured, [system])
    return plan, planned


def planned_again(measured: MeasuredSuite, systems: Sequence[SystemInfo]) -> tuple[Plan, list[SystemPlan]]:
    """Plan these systems again, in one plan; raise ConfigError if the identity of one is not the measured one."""
    suite = measured.suite.model_copy(update={"seeds": tuple(sorted({system.seed for system in systems}))})
    for system in systems:
        if system.name in suite.all_candidates and suite.all_candidates[system.name].external is not None:
            what = f"{system.label} is an external system, of which nothing is here"
            raise ConfigError(Problem(f"suite {suite.name}", what, "name another one"))
    requirements.apply_device(suite)
    known = {*suite.all_candidates, *suite.baseline_rows}
    plan = None
    if all(system.name in known for system in systems):
        plan = build_plan(suite, load_dataset(suite.dataset, suite.evaluate.split, reading_of(suite)))
    by_label = {planned.label: planned for planned in plan.systems} if plan is not None else {}
    for system in systems:
        if system.label not in by_label or by_label[system.label].identity != system.identity:
            what = f"{system.label} has changed since it was measured: its settings, data, models, libraries or device"
            raise ConfigError(Problem(f"suite {suite.name}", what, "run the suite again"))
    assert plan is not None
    return plan, [by_label[system.label] for system in systems]
