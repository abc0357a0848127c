"""Choose the systems of an outcome that `harness serve` serves, and open them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.cli.export_source import MeasuredSuite, named, planned_again
from harness.errors import ConfigError, Problem, nearest
from harness.execution import endpoints
from harness.execution.making import Display
from harness.execution.served_system import Opened, ServedSystem
from harness.planning.graph import Plan, SystemPlan
from harness.planning.speed import asks_endpoint
from harness.remote.places import store_in
from harness.report.content.subjects import recommended, subjects
from harness.report.view import view
from harness.results import sharing
from harness.stages import load_stage
from harness.suite.roles import Role
from harness.values.findings import Outcome, SystemInfo
from harness.values.systems import BOUNDS, UNTUNED

MOST = 2
"""Systems that stand side by side on the page."""


class Chosen(NamedTuple):
    """Systems of a measured suite."""

    measured: MeasuredSuite
    systems: tuple[SystemInfo, ...]


def choose(suite: str, wanted: Sequence[str], store: Path) -> Chosen:
    """Return the systems that are named, or the one that the report recommends, of the latest outcome of a suite.

    A system is named as `compare` names it: ``name``, or ``name:seed`` if it was trained with several seeds. Raises
    ConfigError if there is no outcome, or if a system cannot be served.
    """
    sharing.refresh(store)
    measured = named(store, suite)
    where = f"suite {measured.outcome.suite}"
    if len(wanted) > MOST:
        raise ConfigError(Problem(where, f"{len(wanted)} systems are named", f"name at most {MOST}"))
    systems = tuple(system_named(measured.outcome, name) for name in wanted) or (best_of(measured.outcome),)
    if len({system.label for system in systems}) < len(systems):
        raise ConfigError(Problem(where, f"{systems[0].label} is named twice", "name it once"))
    return Chosen(measured._replace(suite=endpoints.spoken(measured.suite, store)), systems)


def system_named(outcome: Outcome, name: str) -> SystemInfo:
    """Return the system of that name. Raises ConfigError if there is none, or several, or if it cannot be served."""
    where = f"suite {outcome.suite}"
    rows = [info for info in outcome.systems if name in (info.name, f"{info.name}:{info.seed}", info.label)]
    if not rows:
        hint = nearest(name, {info.name for info in outcome.systems if info.name not in BOUNDS})
        raise ConfigError(Problem(where, f"no system {name!r} in the latest outcome", hint))
    if len(rows) > 1:
        what = f"{name!r} was trained with {len(rows)} seeds"
        raise ConfigError(Problem(where, what, f"write {name}:{rows[0].seed}"))
    (info,) = rows
    if info.name in BOUNDS:
        what = f"{name} is a bound for the others, and nobody would serve it"
        raise ConfigError(Problem(where, what, "name a system that retrieves passages, such as untuned"))
    if info.failed:
        raise ConfigError(Problem(where, f"{info.label} failed: {info.failed}", "fix that and run the suite again"))
    if info.stopped:
        raise ConfigError(Problem(where, f"{info.label} was not trained to the end: {info.stopped}", "name another"))
    return info


def best_of(outcome: Outcome) -> SystemInfo:
    """Return the candidate that the report recommends, else `untuned`. Raises ConfigError if nothing can be served."""
    seen = view(outcome)
    served = [info for info in seen.deployable() if not info.stopped]
    best = [subject.info for subject in recommended(subjects(seen)) if subject.info in served]
    plain = [info for info in served if info.name == UNTUNED]
    for info in (*best, *plain, *served):
        return info
    what = "no system of the latest outcome can be served: each failed, or is a bound"
    raise ConfigError(Problem(f"suite {outcome.suite}", what, "run the suite again"))


def name_of(info: SystemInfo) -> str:
    """Return the name of a system in requests: ``untuned``, or ``staged:0`` where something is trained."""
    return f"{info.name}:{info.seed}" if info.tunes else info.name


def open_systems(chosen: Chosen, store: Path, display: Display) -> Mapping[str, ServedSystem]:
    """Load the systems, by their names in requests. What two of them have in common is loaded once.

    Raises ConfigError if a system has changed since it was measured, if something of it is not in the store, or if an
    endpoint that it asks cannot be used.
    """
    suite = chosen.measured.suite
    with display("check the systems"):
        plan, planned = planned_again(chosen.measured, chosen.systems)
        services = endpoints.services_of(suite, store)
        endpoints.check(_roles(plan, planned), services, suite)
    opened = Opened(store_in(store), services)
    systems = {}
    for info, system in zip(chosen.systems, planned, strict=True):
        with display(f"load {info.label}"):
            systems[name_of(info)] = ServedSystem(plan, system, opened)
    return systems


def _roles(plan: Plan, systems: Sequence[SystemPlan]) -> list[Role]:
    """The roles whose endpoints answer a question."""
    keys = [key for system in systems for key in (*system.serving.path, system.answers) if key]
    calls = [plan.calls[key].call for key in keys]
    roles = [load_stage(call.stage).role for call in calls if asks_endpoint(call)]
    return [role for role in dict.fromkeys(roles) if role is not None]
