"""Ask an endpoint one small question before any work, so that a wrong configuration is reported at once.

It is asked as the role will ask: with its parameters, turns, schema and token limit. It is not cached and not counted.
A fault that may pass is asked about again. Optional parts that the server refuses are left out, and remembered. Must
not know what the endpoint will be asked later.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from pydantic import BaseModel

from harness.errors import Problem
from harness.llm import event_loop
from harness.llm.completions import ONLY_THOUGHT
from harness.llm.configuration import Services
from harness.llm.dialects import Dialect, KnownDialect, known_dialect
from harness.llm.faults import Completion, Fault
from harness.llm.protocol import Message
from harness.llm.requests import Question, request_body
from harness.llm.transport import EndpointClient
from harness.suite.roles import Llm, Role

LONGEST = 60.0
"""Longest wait for the answer in seconds: a small machine may still work on an earlier request."""
PAUSES = (0.5, 1.5)
"""Seconds before a fault that may pass is asked about again: a bad moment must not end a run before it begins."""
ADVICE = {
    "dead": "check that it is up and that base_url is right (it usually ends in /v1)",
    "again": "check that it is up",
}


class ProbeAnswer(BaseModel):
    """The schema of the answer, for roles that ask for one."""

    answer: str


class ProbeShape(NamedTuple):
    """How a role asks: with a system turn or not, for JSON or text, its token limit and its temperature."""

    system: bool = False
    schema: bool = True
    limit: int | None = None
    temperature: float | None = None


GENERATOR = ProbeShape(system=True, schema=False)


def check(role: Role, services: Services, shape: ProbeShape | None = None, forget: bool = False) -> Problem | None:
    """Return the problem of the endpoint of a role, without key and headers; None if it answers.

    None as well if nothing will be asked: the model runs in this process, or the run is a replay. An endpoint that
    rate-limits is up and accepts the key: that is no problem of the configuration. With `forget`, parameters that the
    server refused before are tried again.
    """
    llm = services.roles[role]
    if llm.in_process or services.replay:
        return None
    client = EndpointClient(llm)
    if problem := client.problem():
        return Problem(f"llm.{role}", *problem)
    shape = shape or (GENERATOR if role == "generator" else ProbeShape())
    outcome = event_loop.submit(_probe(client, llm, known_dialect(llm, services.folder), shape, forget)).result()
    if isinstance(outcome, Completion) or outcome.kind == "busy":
        return None
    thoughtful = outcome.what == ONLY_THOUGHT or outcome.advice == "raise max_tokens"
    if outcome.paid is not None and not thoughtful:
        return None
    advice = outcome.advice or ADVICE.get(outcome.kind, _correct(llm, outcome))
    if outcome.what == ONLY_THOUGHT:
        return Problem(f"llm.{role}", f"{client.where}: {outcome.what}")
    return Problem(f"llm.{role}", f"{client.where}: {outcome.what}", advice)


def may_pass(outcome: Completion | Fault) -> bool:
    """Return whether to ask again after a pause: a server that restarts, or a gateway with a bad moment."""
    return isinstance(outcome, Fault) and outcome.kind in ("again", "dead") and outcome.paid is None


def _correct(llm: Llm, outcome: Fault) -> str:
    """Return the advice for a refusal of something that the suite itself asks for."""
    for name in ("reasoning_effort", "enable_thinking", *llm.extra_body):
        if name in outcome.message and (name in llm.extra_body or getattr(llm, name, None) is not None):
            place = f"extra_body.{name}" if name in llm.extra_body else name
            return f"the suite asks for it: correct {place}, or leave it out"
    if "enable_thinking" in outcome.message:
        return "set extra_body: {enable_thinking: false}, or stream: true"
    return "correct the model or base_url as it says"


def _question(llm: Llm, shape: ProbeShape) -> Question:
    turns = [Message("system", "You answer in one word.")] if shape.system else []
    message = 'Answer with this JSON and nothing else: {"answer": "yes"}' if shape.schema else "Say yes."
    temperature = shape.temperature if shape.temperature and llm.temperature is not None else llm.temperature
    schema = ProbeAnswer if shape.schema else None
    return Question(
        "", (*turns, Message("user", message)), schema, shape.limit or llm.max_tokens, temperature, llm.seed
    )


async def _probe(
    client: EndpointClient, llm: Llm, known: KnownDialect, shape: ProbeShape, forget: bool
) -> Completion | Fault:
    """Ask until the server refuses no more optional parts, and no fault is left that may pass."""
    question, send_schema = _question(llm, shape), llm.structured != "plain"
    dialect = Dialect() if forget else known.dialect
    pauses = iter(PAUSES)
    try:
        while True:
            body = request_body(llm, dialect, question, send_schema)
            outcome = await client.send(body, min(llm.timeout, LONGEST))
            if isinstance(outcome, Completion) or outcome.paid is not None:
                known.replace(dialect) if forget else known.learn(dialect)
                return outcome
            if (other := dialect.after_refusal(outcome, body)) is not None:
                dialect = other
            elif outcome.status in (400, 422) and "response_format" in body and llm.structured == "auto":
                send_schema = False
            elif may_pass(outcome) and (pause := next(pauses, None)) is not None:
                await asyncio.sleep(pause)
            else:
                return outcome
    finally:
        await client.close()
