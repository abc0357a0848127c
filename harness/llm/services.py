"""Which endpoints a process may ask, and who answers in a role: handed to a stage beside its spec, never in a key.

A spec says what can change an answer (model, temperature, prompt). Where the model is served, how fast it may be asked
and what may be spent is in `Services`, which travels with a request into the process that runs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from harness.llm.protocol import Chat
from harness.suite.fields import Spec
from harness.suite.roles import Judge, Llm, Role


class Services(Spec):
    """Roles as the suite has them; `folder` holds the cache of answers and what was spent, `run` names this run.

    With `replay`, nothing is asked: what the cache lacks is a failure that names it.
    """

    roles: dict[Role, Llm | Judge]
    folder: Path
    run: str = ""
    max_usd: float | None = None
    max_tokens: int | None = None
    replay: bool = False


_current: ContextVar[Services | None] = ContextVar("services", default=None)


@contextlib.contextmanager
def using(services: Services | None) -> Iterator[None]:
    """Let what runs inside ask these endpoints."""
    token = _current.set(services)
    try:
        yield
    finally:
        _current.reset(token)


def chat(role: Role) -> Chat:
    """Who answers in a role, by the services in use. Raises ValueError if there is none, or if it runs in process."""
    services = _current.get()
    if services is None or role not in services.roles or services.roles[role].in_process:
        raise ValueError(f"no endpoint is configured for the role {role}; add llm.{role} to the suite")
    from harness.llm.endpoint import EndpointChat

    return EndpointChat(role, services)
