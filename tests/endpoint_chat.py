"""A chat with an endpoint of a test server, at which every question costs the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import llm_server
from llm_server import Body, Served, Server
from pydantic import BaseModel, Field

from harness.llm import Ask, Message
from harness.llm.breaker import RetryPolicy
from harness.llm.endpoint import EndpointChat
from harness.llm.services import Services
from harness.suite.roles import Llm, Role

KEY = "sk-sentinel-0123456789abcdef"
PACE = RetryPolicy(scale=0.002)


class Grade(BaseModel):
    score: Annotated[float, Field(ge=0, le=1)]
    why: str = ""


def echo(body: Body) -> Served:
    return llm_server.says(f"you said {llm_server.asked(body)}")


def services(server: Server, folder: Path, *, replay: bool = False, **changes: Any) -> Services:
    budget = {name: changes.pop(name) for name in ("max_usd",) if name in changes}
    run, limit = changes.pop("run", "now"), changes.pop("run_tokens", None)
    role = Llm(**{"model": "m", "base_url": server.url, "price_in": 1000.0, "price_out": 2000.0} | changes)
    return Services(
        roles={"judge": role, "labeler": role}, folder=folder, run=run, replay=replay, max_tokens=limit, **budget
    )


def chat_of(server: Server, folder: Path, role: Role = "judge", **changes: Any) -> EndpointChat:
    return EndpointChat(role, services(server, folder, **changes), PACE)


def texts(*several: str, **changes: Any) -> list[Ask]:
    return [Ask((Message("user", text),), **changes) for text in several]


def silently(done: int, total: int) -> None:
    """Tell nobody."""
