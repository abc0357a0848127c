"""The measured system that `harness export` writes: looked up in the latest outcomes, and checked against the suite."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from harness.data.datasets import load_dataset
from harness.errors import ConfigError, Problem, nearest
from harness.planning import requirements
from harness.planning.graph import Plan, SystemPlan
from harness.planning.plan import build_plan
from harness.results import outcomes
from harness.suite.files import load_suite
from harness.suite.spec import Suite
from harness.suite.uses import reading_of
from harness.values.findings import Outcome, SystemInfo


class MeasuredSuite(NamedTuple):
    """The latest outcome that has a candidate, and its suite as it can be read now."""

    outcome: Outcome
    suite: Suite


def find(candidate: str, store: Path, suite: str | None) -> MeasuredSuite:
    if suite is not None:
        return _named(store, suite)
    latest = _latest(store)
    having = {name: one for name, one in latest.items() if candidate in _candidates(one)}
    if not latest:
        raise ConfigError(Problem("", f"no outcome below {store}", "run a suite first, or give --store"))
    if not having:
        known = {name for one in latest.values() for name in _candidates(one)}
        what = f"no latest outcome below {store} has a candidate {candidate!r}"
        raise ConfigError(Problem("", what, nearest(candidate, known)))
    if len(having) > 1:
        what = f"the suites {', '.join(sorted(having))} have a candidate {candidate!r} each"
        raise ConfigError(Problem("", what, "say which with --suite"))
    (outcome,) = having.values()
    return MeasuredSuite(outcome, _as_measured(outcome))


def _named(store: Path, suite: str) -> MeasuredSuite:
    """The suite as its file says now; as it was measured, if only its outcome is known by that name."""
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
    """The latest outcome of every suite, but for those that this version cannot read."""
    found = {}
    for folder in sorted((store / "outcomes").glob("*/latest")):
        try:
            found[folder.parent.name] = outcomes.read(folder)
        except ConfigError:
            continue
    return found


def _as_measured(outcome: Outcome) -> Suite:
    hint = "give the suite file with --suite"
    try:
        suite = Suite.model_validate(outcome.spec)
    except ValidationError as error:
        what = f"the suite {outcome.suite} cannot be read out of its outcome"
        raise ConfigError(Problem("", what, hint)) from error
    path = suite.dataset.path
    if path is not None and not Path(path).is_dir():
        raise ConfigError(Problem("", f"the data set of the suite {outcome.suite} is not found from here", hint))
    return suite


def _candidates(outcome: Outcome) -> set[str]:
    return {system.name for system in outcome.systems if system.role == "candidate"}


def system_of(outcome: Outcome, candidate: str, seed: int | None) -> SystemInfo:
    where = f"suite {outcome.suite}"
    rows = {one.seed: one for one in outcome.systems if one.name == candidate}
    if any(one.role == "baseline" for one in rows.values()):
        raise ConfigError(
            Problem(where, f"{candidate!r} is a reference row: nothing is tuned in it", "name a candidate")
        )
    if not rows:
        what = f"no candidate {candidate!r} in the latest outcome"
        raise ConfigError(Problem(where, what, nearest(candidate, _candidates(outcome)) or "run the suite first"))
    if seed is None and len(rows) > 1:
        seeds = ", ".join(map(str, sorted(rows)))
        raise ConfigError(Problem(where, f"{candidate!r} was trained with the seeds {seeds}", "say which with --seed"))
    if seed is not None and seed not in rows:
        what = f"{candidate!r} was not trained with seed {seed}"
        raise ConfigError(Problem(where, what, f"trained with: {', '.join(map(str, sorted(rows)))}"))
    system = rows[next(iter(rows)) if seed is None else seed]
    if system.failed:
        raise ConfigError(
            Problem(where, f"{system.label} failed: {system.failed}", "mend that and run the suite again")
        )
    return system


def planned_now(measured: MeasuredSuite, system: SystemInfo) -> tuple[Plan, SystemPlan]:
    """The plan of this system as it would be made now; refused if it is another than the one measured."""
    suite = measured.suite.model_copy(update={"seeds": (system.seed,)})
    differs = Problem(
        f"suite {suite.name}",
        f"{system.label} is no longer what was measured: its settings, data, models, libraries or device have changed",
        "run the suite again",
    )
    if system.name not in suite.all_candidates:
        raise ConfigError(differs)
    requirements.apply_device(suite)
    plan = build_plan(suite, load_dataset(suite.dataset, suite.evaluate.split, reading_of(suite)))
    planned = plan.system(system.label)
    if planned.identity != system.identity:
        raise ConfigError(differs)
    return plan, planned
