"""The endpoints of a suite at work in one run: what a run may ask, the check before it, and what was paid after it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError, Problem
from harness.llm import prompt_templates
from harness.llm.services import Services
from harness.planning.graph import Plan
from harness.planning.speed import asks_endpoint
from harness.provenance import now
from harness.stages import load_stage
from harness.store import FolderStore
from harness.suite.roles import Llm, PromptName, Role
from harness.suite.spec import Suite
from harness.suite.uses import endpoint_roles
from harness.values.findings import RolePayment

if TYPE_CHECKING:
    from harness.llm.preflight import ProbeShape

PROMPTS: dict[Role, tuple[PromptName, ...]] = {
    "synthesizer": ("question", "keyword", "claim", "instruct"), "labeler": ("label",), "judge": (), "generator": (),
}  # fmt: skip
"""The texts that a role may ask by."""
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
    calls = [planned.call for key, planned in plan.calls.items() if not store.has(key)]
    missing = {load_stage(call.stage).role for call in calls if asks_endpoint(call)}
    missing |= {"judge"} if judging else set()
    return [role for role in endpoint_roles(plan.suite) if role in missing]


def spoken(suite: Suite, root: Path) -> Suite:
    """The suite with each role as its server is known to let itself be asked; the suite itself if nothing was refused.

    What is made with a role is known by what is really sent: without a temperature where the server takes none.
    """
    from harness.llm.dialects import known_dialect

    folder = (root / FOLDER).absolute()
    roles = {
        role: known_dialect(llm, folder).dialect.adapted(llm)
        for role, llm in suite.llm.roles.items()
        if not llm.in_process
    }
    changed: dict[str, Llm] = {str(role): llm for role, llm in roles.items() if llm != suite.llm.roles[role]}
    return suite.model_copy(update={"llm": suite.llm.model_copy(update=changed)}) if changed else suite


def shape_of(role: Role, suite: Suite) -> ProbeShape:
    """How a role will ask, as far as a server could mind: turns of the system, JSON, the longest answer."""
    from harness.llm.preflight import GENERATOR, ProbeShape

    if role == "generator":
        return GENERATOR._replace(limit=suite.generator.max_new_tokens if suite.generator else None)
    if role == "judge":
        return ProbeShape()
    texts = [prompt_templates.load(name, suite.llm.prompts.get(name)) for name in PROMPTS[role]]
    system = any(turn.role == "system" for text in texts for turn in prompt_templates.turns(text))
    warmth = suite.data.synthesize.temperature if role == "synthesizer" else None
    return ProbeShape(system=system, temperature=warmth or None)


def check(roles: Iterable[Role], services: Services, suite: Suite) -> None:
    """Ask each endpoint one small question before any work, as its role will ask.

    Raises ConfigError with what is wrong; roles with the same trouble are told of in one sentence. What the servers
    refused and can do without is known to `spoken` from then on.
    """
    from harness.llm import preflight

    if services.replay:
        return
    found: dict[tuple[str, str], list[str]] = {}
    for role in roles:
        problem = preflight.check(role, services, shape_of(role, suite))
        if problem is not None:
            found.setdefault((problem.what, problem.hint), []).append(problem.where)
    if found:
        raise ConfigError([Problem(", ".join(where), *said) for said, where in found.items()])


def adapted(services: Services, suite: Suite) -> Services:
    """The services of the same run for a suite that `spoken` changed."""
    return services.model_copy(update={"roles": suite.llm.roles})


def paid(services: Services) -> tuple[RolePayment, ...]:
    """What this run paid, by role; failed requests and those of stages that failed are in it."""
    from harness.llm.responses import spent_by_role

    if not services.folder.is_dir():
        return ()
    return tuple(
        RolePayment(
            role=role,
            model=services.roles[role].model,
            requests=spent.requests,
            prompt_tokens=spent.prompt_tokens,
            new_tokens=spent.new_tokens,
            dollars=spent.dollars,
        )
        for role, spent in spent_by_role(services.folder, services.run).items()
    )
