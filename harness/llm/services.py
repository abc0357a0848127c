"""The way into this package for stages: the endpoints that the current request may ask, and a chat with one of them.

An executor calls `using` around a stage; the stage calls `chat`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from harness.llm.configuration import Services
from harness.llm.protocol import Chat
from harness.suite.roles import Role

__all__ = ["Services", "chat", "using"]

_current: ContextVar[Services | None] = ContextVar("services", default=None)


@contextlib.contextmanager
def using(services: Services | None) -> Iterator[None]:
    """Let the code inside ask these endpoints; None lets it ask none."""
    token = _current.set(services)
    try:
        yield
    finally:
        _current.reset(token)


def chat(role: Role) -> Chat:
    """Return a chat with the endpoint of a role, by the services in use.

    Raises ValueError if the role has no endpoint: none is configured, or its model runs in this process.
    """
    services = _current.get()
    if services is None or role not in services.roles or services.roles[role].in_process:
        raise ValueError(f"no endpoint is configured for the role {role}; add llm.{role} to the suite")
    from harness.llm.endpoint import EndpointChat

    return EndpointChat(role, services)
