"""The endpoints of a suite at work in one run: what a run may ask, the check before it, and what was paid after it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from harness import requirements
from harness.errors import ConfigError, Problem
from harness.llm.services import Services
from harness.plans.graph import Plan
from harness.provenance import now
from harness.store import FolderStore
from harness.suite.roles import Role
from harness.suite.spec import Suite
from harness.values.findings import Paid

FOLDER = "llm"
"""Where answers and what was paid for them are kept, below the folder of the store."""


def services_of(suite: Suite, root: Path, replay: bool = False) -> Services:
    """What a run of a suite may ask; each run has a budget of its own."""
    llm = suite.llm
    # A process elsewhere may start in the same second.
    run = f"{now()} {os.getpid()} {uuid.uuid4().hex[:8]}"
    return Services(
        roles=llm.roles, folder=(root / FOLDER).absolute(), run=run, max_usd=llm.max_usd, max_tokens=llm.max_tokens,
        replay=replay,
    )  # fmt: skip


def roles_needed(plan: Plan, store: FolderStore, judging: bool) -> list[Role]:
    """The roles whose endpoints this run will ask: of calls that are not in the store, and the judge if scores lack."""
    missing = {planned.work.role for key, planned in plan.calls.items() if not store.has(key)}
    missing |= {"judge"} if judging else set()
    return [role for role in requirements.endpoints(plan.suite) if role in missing]


def check(roles: Iterable[Role], services: Services) -> None:
    """Ask each endpoint one small question before any work.

    Raises ConfigError with what is wrong; roles with the same trouble are told of in one sentence.
    """
    from harness.llm import preflight

    if services.replay:
        return
    found: dict[tuple[str, str], list[str]] = {}
    for role in roles:
        problem = preflight.check(role, services)
        if problem is not None:
            found.setdefault((problem.what, problem.hint), []).append(problem.where)
    if found:
        raise ConfigError([Problem(", ".join(where), *said) for said, where in found.items()])


def paid(services: Services) -> tuple[Paid, ...]:
    """What this run paid, by role; failed requests and those of stages that failed are in it."""
    from harness.llm.responses import spent_by_role

    if not services.folder.is_dir():
        return ()
    return tuple(
        Paid(
            role=role,
            model=services.roles[role].model,
            requests=spent.requests,
            prompt_tokens=spent.prompt_tokens,
            new_tokens=spent.new_tokens,
            dollars=spent.dollars,
        )
        for role, spent in spent_by_role(services.folder, services.run).items()
    )
