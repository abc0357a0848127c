"""Ask an encoder, a reranker or a system at an endpoint about a text or two before any work: errors are told at once.

It is asked as the stages will ask. What it answers is compared with what the same model answered before: results of
other weights under the same name must not be mixed. It is not cached and not counted. A fault that may pass is asked
about again.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import closing

from harness.errors import Problem
from harness.hashing import digest_of
from harness.llm import event_loop, preflight
from harness.llm.batches import PassageBatch, TextBatch, vector_of
from harness.llm.configuration import Services
from harness.llm.dialects import Dialect
from harness.llm.faults import Completion, Fault
from harness.llm.protocol import RequestCost
from harness.llm.requests import Sendable
from harness.llm.responses import Responses, StoredAnswer
from harness.llm.served import llm_of
from harness.llm.served_system import SystemQuestion, parted
from harness.llm.transport import EndpointClient
from harness.suite.roles import Llm, Role
from harness.suite.served_models import EncoderEndpoint, RerankerEndpoint, SystemEndpoint

Endpoint = EncoderEndpoint | RerankerEndpoint | SystemEndpoint
LONGEST = 60.0
"""Longest wait for the answer in seconds."""
TEXT = "Where do polar bears live?"
PASSAGES = ("Polar bears live in the Arctic, on ice and at coasts.", "A violin has four strings.")
ALIKE = 0.999
"""Least cosine of two vectors that one model may give for one text: number formats and batches change less."""
NEAR = 0.01
"""Largest relative difference of two scores that one model may give for one pair."""
ADVICE = {"dead": "check that it is up and that base_url is right", "again": "check that it is up"}
UNUSABLE = "check that it serves this model, and that base_url and form are right"
CHANGED = "answers otherwise than when its cached results were made"


def check(key: str, part: Role, endpoint: Endpoint, services: Services) -> Problem | None:
    """Return the problem of an endpoint, which the suite names under `key`; None if it answers or rate-limits."""
    if services.replay:
        return None
    batch, llm = _batch(endpoint), llm_of(endpoint)
    if isinstance(endpoint, SystemEndpoint):
        llm = llm.model_copy(update={"base_url": parted(endpoint.base_url or "")[0]})
    client = EndpointClient(llm)
    if problem := client.problem():
        return Problem(key, *problem)
    outcome = event_loop.submit(_probe(client, batch, llm)).result()
    if isinstance(outcome, Fault):
        if outcome.kind == "busy":
            return None
        advice = UNUSABLE if outcome.paid else ADVICE.get(outcome.kind, _correct(endpoint, outcome))
        advice = outcome.advice or advice
        if outcome.status == 404 and advice.startswith("correct base_url"):
            advice = f"correct base_url: the request went to {client.where}{batch.path}"
        return Problem(key, f"{client.where}: {outcome.what}", advice)
    if not isinstance(endpoint, SystemEndpoint) and _has_changed(part, endpoint, outcome, services):
        hint = "set endpoint.revision to a word for its present weights"
        return Problem(key, f"{client.where}: {endpoint.label} {CHANGED}", hint)
    return None


def _correct(endpoint: Endpoint, fault: Fault) -> str:
    """Return the advice for a refusal of what the suite itself asks for."""
    for name in endpoint.bodies:
        if name in fault.message:
            return f"correct {name}, which the suite sends, or leave it out"
    if isinstance(endpoint, RerankerEndpoint) and endpoint.form == "cohere" and "texts" in fault.message:
        return "set endpoint.form: tei"
    return "correct model, form or base_url as it says"


def _batch(endpoint: Endpoint) -> TextBatch | PassageBatch | SystemQuestion:
    if isinstance(endpoint, SystemEndpoint):
        return SystemQuestion(TEXT, 1, False, more=endpoint.extra_body, path=parted(endpoint.base_url or "")[1])
    if isinstance(endpoint, EncoderEndpoint):
        return TextBatch((endpoint.document_prompt + TEXT,), {**endpoint.extra_body, **endpoint.document_body})
    return PassageBatch(TEXT, PASSAGES, endpoint.extra_body, endpoint.form == "tei")


async def _probe(client: EndpointClient, batch: Sendable, llm: Llm) -> Completion | Fault:
    body, pauses = batch.body(llm, Dialect(), False), iter(preflight.PAUSES)
    try:
        while True:
            outcome = await client.send(body, min(llm.timeout, LONGEST), batch.path, batch.read)
            if not preflight.may_pass(outcome) or (pause := next(pauses, None)) is None:
                return outcome
            await asyncio.sleep(pause)
    finally:
        await client.close()


def _has_changed(part: Role, endpoint: Endpoint, answer: Completion, services: Services) -> bool:
    """Whether the answer is not what the same model gave when it was first asked; the first answer is kept."""
    key = digest_of(["preflight", endpoint.digest])
    with closing(Responses(services.folder)) as responses:
        known = responses.find([key]).result().get(key)
        if known is None:
            stored = StoredAnswer(key, " ".join(answer.values), RequestCost())
            responses.write(services.run, part, (), stored).result()
            return False
    before = known.text.split(" ")
    if isinstance(endpoint, EncoderEndpoint):
        return not _alike(before[0], answer.values[0])
    pairs = zip(map(float, before), map(float, answer.values), strict=True)
    return not all(math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR) for one, other in pairs)


def _alike(first: str, second: str) -> bool:
    import numpy as np

    one, other = vector_of(first), vector_of(second)
    if len(one) != len(other):
        return False
    return float(one @ other) >= ALIKE * float(np.linalg.norm(one) * np.linalg.norm(other))
