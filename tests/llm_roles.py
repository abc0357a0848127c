"""Roles at a server on this machine, with a pace that suits tests: what tests of servers and of usage share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llm_conventions import KEY
from llm_server import Server

from harness.llm.breaker import RetryPolicy
from harness.llm.services import Services
from harness.suite.roles import ROLES, Judge, Llm

PACE = RetryPolicy(scale=0.002)


def silently(done: int, total: int) -> None:
    """Tell nobody."""


def role_at(server: Server, path: str = "/v1", **changes: Any) -> Judge:
    url = f"http://127.0.0.1:{server.port}{path}"
    return Judge(**{"model": "m", "base_url": url, "price_in": 10.0, "price_out": 10.0, "timeout": 10.0} | changes)


def services_of(llm: Llm, folder: Path, **changes: Any) -> Services:
    return Services(roles=dict.fromkeys(ROLES, llm), folder=folder, run="now", **changes)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return KEY
