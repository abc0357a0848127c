"""The endpoints of a suite in one run: which may be asked, the check before any work, and what was paid."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError, Problem, in_order
from harness.llm import prompt_templates
from harness.llm.services import Services
from harness.planning.graph import Plan
from harness.provenance import now
from harness.stages import load_stage
from harness.store import Store
from harness.suite.roles import Llm, PromptName, Role
from harness.suite.served_models import EncoderEndpoint, RerankerEndpoint, SystemEndpoint
from harness.suite.served_uses import Endpoint, ServedUse, served_uses
from harness.suite.spec import Suite
from harness.suite.uses import endpoint_roles
from harness.values.findings import RolePayment
from harness.values.records import StageCall

if TYPE_CHECKING:
    from harness.llm.preflight import ProbeShape

PROMPTS: dict[Role, tuple[PromptName, ...]] = {
    "synthesizer": ("question", "keyword", "claim", "instruct"), "labeler": ("label",), "judge": (), "generator": (),
    "rewriter": ("rewrite",),
}  # fmt: skip
"""The prompt templates of each role."""
SERVED: Mapping[Role | None, type[Endpoint]] = {
    "retriever": EncoderEndpoint, "reranker": RerankerEndpoint, "system": SystemEndpoint
}  # fmt: skip
"""The parts of a pipeline that a server may run, and a whole system."""
FOLDER = "llm"
"""Folder of LLM responses and their costs, below the root."""


def services_of(suite: Suite, root: Path, replay: bool = False) -> Services:
    """Return the LLM services of a run of a suite. Each run has its own budget."""
    llm = suite.llm
    # Another process may start in the same second.
    run = f"{now()} {os.getpid()} {uuid.uuid4().hex[:8]}"
    return Services(
        roles=llm.roles, served={use.endpoint.digest: use.endpoint for use in served_uses(suite)},
        folder=(root / FOLDER).absolute(), run=run, max_usd=llm.max_usd, max_tokens=llm.max_tokens, replay=replay,
    )  # fmt: skip


def roles_needed(plan: Plan, store: Store, judging: bool) -> list[Role]:
    """Return the roles whose endpoints a run will ask: those of missing calls, and the judge if scores are missing."""
    missing = {planned.work.role for key, planned in plan.calls.items() if not store.has(key)}
    missing |= {"judge"} if judging else set()
    return [role for role in endpoint_roles(plan.suite) if role in missing]


def served_needed(plan: Plan, store: Store) -> list[ServedUse]:
    """Return the encoders, rerankers and systems at endpoints that the missing calls of a plan ask."""
    missing = [planned.call for key, planned in plan.calls.items() if not store.has(key)]
    asked = [served_by(call, plan.suite) for call in missing]
    return [use for use in served_uses(plan.suite) if use.endpoint in asked]


def served_by(call: StageCall, suite: Suite) -> Endpoint | None:
    """Return the endpoint of the encoder, the reranker or the system that a call asks; None if it asks none."""
    kind = SERVED.get(load_stage(call.stage).role)
    if kind is None or not call.spec.get("endpoint"):
        return None
    digest = kind.model_validate(call.spec["endpoint"]).digest
    return next((use.endpoint for use in served_uses(suite) if use.endpoint.digest == digest), None)


def spoken(suite: Suite, root: Path) -> Suite:
    """Return the suite with the settings of each role that its server accepts, as far as that is known.

    It is the suite itself if no server refused anything. Keys depend on what is really sent, so a temperature that a
    server refuses is in none.
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
    """Return how a role will ask, as far as a server may refuse it: system turns, temperature, longest answer."""
    from harness.llm.preflight import GENERATOR, ProbeShape

    if role == "generator":
        return GENERATOR._replace(limit=suite.generator.max_new_tokens if suite.generator else None)
    if role == "judge":
        return ProbeShape()
    texts = [prompt_templates.load(name, suite.llm.prompts.get(name)) for name in PROMPTS[role]]
    system = any(turn.role == "system" for text in texts for turn in prompt_templates.turns(text))
    temperature = suite.data.synthesize.temperature if role == "synthesizer" else None
    return ProbeShape(system=system, temperature=temperature or None)


def check(roles: Iterable[Role], services: Services, suite: Suite) -> None:
    """Ask each endpoint one small question before any work, in the way its role will ask.

    Raises ConfigError with all problems; roles with the same problem share one. Settings that a server refuses and can
    do without are known to `spoken` from then on.
    """
    from harness.llm import preflight

    if services.replay:
        return
    problems: dict[tuple[str, str], list[str]] = {}
    for role in roles:
        problem = preflight.check(role, services, shape_of(role, suite))
        if problem is not None:
            problems.setdefault((problem.what, problem.hint), []).append(problem.where)
    if problems:
        named = [Problem(", ".join(where), *rest) for rest, where in problems.items()]
        raise ConfigError(in_order(suite.file.placed(named)))


def check_served(uses: Iterable[ServedUse], services: Services, suite: Suite) -> None:
    """Ask each encoder, reranker and system at an endpoint about one text or two, before any work.

    Raises ConfigError with all problems.
    """
    from harness.llm import served_preflight

    if services.replay:
        return
    found = (served_preflight.check(use.key, use.part, use.endpoint, services) for use in uses)
    if problems := [problem for problem in found if problem is not None]:
        raise ConfigError(in_order(suite.file.placed(problems)))


def adapted(services: Services, suite: Suite) -> Services:
    """Return the services of the same run for a suite that `spoken` changed."""
    return services.model_copy(update={"roles": suite.llm.roles})


def paid(services: Services) -> tuple[RolePayment, ...]:
    """Return what this run paid, by role, failed requests and failed stages included."""
    from harness.llm.responses import spent_by_role

    if not services.folder.is_dir():
        return ()
    return tuple(
        RolePayment(
            role=role,
            model=_model(role, services),
            requests=spent.requests,
            prompt_tokens=spent.prompt_tokens,
            new_tokens=spent.new_tokens,
            dollars=spent.dollars,
        )
        for role, spent in spent_by_role(services.folder, services.run).items()
    )


def _model(role: Role, services: Services) -> str:
    """The model of a role, or the models of a part of pipelines that servers run."""
    if role in services.roles:
        return services.roles[role].model
    names = (endpoint.label for endpoint in services.served.values() if isinstance(endpoint, SERVED[role]))
    return ", ".join(dict.fromkeys(names))
