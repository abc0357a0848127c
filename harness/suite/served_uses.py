"""Which parts of the pipelines of a suite a server runs, and where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import ValidationError

from harness.suite.pipeline import Pipeline
from harness.suite.served_models import EncoderEndpoint, RerankerEndpoint, SystemEndpoint
from harness.suite.spec import Suite
from harness.suite.uses import candidates_of

ServedPart = Literal["retriever", "reranker", "system"]
Endpoint = EncoderEndpoint | RerankerEndpoint | SystemEndpoint


class ServedUse(NamedTuple):
    """A part of a pipeline, or a whole system, that a server runs, and the key of the suite that says where."""

    key: str
    part: ServedPart
    endpoint: Endpoint


def served_uses(suite: Suite) -> list[ServedUse]:
    """Return the parts of all pipelines, and the systems, of a suite that a server runs, each distinct endpoint once.

    Candidates whose settings do not go together are passed over.
    """
    found: list[ServedUse] = []
    for prefix, pipeline in _pipelines(suite):
        for part, endpoint in _served(pipeline):
            if all(endpoint != use.endpoint for use in found):
                found.append(ServedUse(f"{prefix}pipeline.{part}.endpoint", part, endpoint))
    for name, candidate in suite.all_candidates.items():
        if candidate.external is not None and (system := candidate.external.named(name)) is not None:
            found.append(ServedUse(f"candidates.{name}.external.endpoint", "system", system))
    return found


def _pipelines(suite: Suite) -> Iterator[tuple[str, Pipeline]]:
    yield "", suite.pipeline
    for one in candidates_of(suite):
        try:
            yield f"candidates.{one.name}.", one.pipeline
        except ValidationError:
            continue


def _served(pipeline: Pipeline) -> Iterator[tuple[ServedPart, Endpoint]]:
    if pipeline.retriever.endpoint is not None:
        yield "retriever", pipeline.retriever.endpoint
    if pipeline.reranker is not None and pipeline.reranker.endpoint is not None:
        yield "reranker", pipeline.reranker.endpoint


def same_model_elsewhere(suite: Suite) -> list[tuple[ServedUse, ServedUse]]:
    """Return pairs of uses that are one model by all that keys hold, and are asked in different ways.

    Their results would have one key, so that one of them would never be asked.
    """
    uses = served_uses(suite)
    return [
        (first, second)
        for number, first in enumerate(uses)
        for second in uses[number + 1 :]
        if first.endpoint.digest == second.endpoint.digest
    ]
