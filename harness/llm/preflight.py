"""One small question to an endpoint before any work, so that what is configured wrongly is told at once.

Nothing of it is cached or counted, and nothing is tried twice. Must not know what the endpoint will be asked.
"""

from __future__ import annotations

from typing import Any

from harness.errors import Problem
from harness.llm import background
from harness.llm.services import Services
from harness.llm.transport import Answer, Fault, Line
from harness.suite.roles import Llm, Role

LONGEST = 60.0
"""Seconds for the answer, if the role allows as many: a server on a small machine may still be at what it was asked."""
TOKENS = 5
ADVICE = {"dead": "see that it is up, and that base_url is right (it usually ends in /v1)"}


def check(role: Role, services: Services) -> Problem | None:
    """What is wrong with the endpoint of a role, None if it answers; neither key nor headers are in it.

    None too where nothing will be asked: the model runs in process, or the run is a replay. An endpoint that says it is
    asked too often is there and knows the key: that is no problem of the configuration.
    """
    llm = services.roles[role]
    if llm.in_process or services.replay:
        return None
    line = Line(llm)
    if problem := line.problem():
        return Problem(f"llm.{role}", *problem)
    outcome = background.submit(_probe(line, llm)).result()
    if isinstance(outcome, Answer) or outcome.paid is not None or outcome.kind == "busy":
        return None
    if outcome.status == 400 and "max_completion_tokens" in outcome.what:
        return None
    advice = outcome.advice or ADVICE.get(outcome.kind, "see what it says, and correct the model or base_url")
    return Problem(f"llm.{role}", f"{line.where}: {outcome.what}", advice)


async def _probe(line: Line, llm: Llm) -> Answer | Fault:
    body: dict[str, Any] = {"model": llm.model, "messages": [{"role": "user", "content": "Say yes."}]}
    try:
        return await line.send({**body, "max_tokens": TOKENS}, min(llm.timeout, LONGEST))
    finally:
        await line.close()
