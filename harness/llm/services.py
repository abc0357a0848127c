"""The way into this package for stages: the endpoints that the current request may ask, and a chat with one of them.

An executor calls `using` around a stage; the stage calls `chat`, `encoder`, `reranker` or `system`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from harness.llm.configuration import Services
from harness.llm.protocol import Chat
from harness.suite.roles import Role
from harness.suite.served_models import EncoderEndpoint, RerankerEndpoint, ServedModel, SystemEndpoint

if TYPE_CHECKING:
    from harness.llm.served_encoder import EndpointEncoder
    from harness.llm.served_reranker import EndpointReranker
    from harness.llm.served_system import SystemClient

__all__ = ["Services", "chat", "encoder", "reranker", "system", "using"]

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


def encoder(identity: EncoderEndpoint) -> EndpointEncoder:
    """Return the encoder of this identity at its endpoint. Raises ValueError if no endpoint in use has it."""
    from harness.llm.served_encoder import EndpointEncoder

    services = _serving(identity)
    endpoint = services.served[identity.digest]
    assert isinstance(endpoint, EncoderEndpoint)
    return EndpointEncoder(endpoint, services)


def reranker(identity: RerankerEndpoint) -> EndpointReranker:
    """Return the reranker of this identity at its endpoint. Raises ValueError if no endpoint in use has it."""
    from harness.llm.served_reranker import EndpointReranker

    services = _serving(identity)
    endpoint = services.served[identity.digest]
    assert isinstance(endpoint, RerankerEndpoint)
    return EndpointReranker(endpoint, services)


def system(identity: SystemEndpoint) -> SystemClient:
    """Return the RAG system of this identity at its endpoint. Raises ValueError if no endpoint in use has it."""
    from harness.llm.served_system import SystemClient

    services = _serving(identity)
    endpoint = services.served[identity.digest]
    assert isinstance(endpoint, SystemEndpoint)
    return SystemClient(endpoint, services)


def _serving(identity: ServedModel) -> Services:
    services = _current.get()
    if services is None or identity.digest not in services.served:
        raise ValueError(f"no endpoint is configured for the model {identity.label}; add it to the suite")
    return services
