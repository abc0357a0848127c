"""Where the roles of a suite are served and what a run may spend: a value that travels with every request.

A stage's spec says what can change an answer (model, temperature, prompt). `Services` holds the rest, and is never part
of a key.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from harness.suite.fields import Spec
from harness.suite.roles import Judge, Llm, Role
from harness.suite.served_models import EncoderEndpoint, RerankerEndpoint, SystemEndpoint


class Services(Spec):
    """The endpoints of a run: `roles` as the suite configures them, and the limits of the run named `run`.

    `served` are encoders, rerankers and whole systems at endpoints, by the digest of what of them is in keys.

    `folder` holds the cache of answers and the record of spending. `max_usd` (dollars) and `max_tokens` (prompt and
    answer together) bound what the run may spend; None is no bound. With `replay` no endpoint is asked: a question that
    is not in the cache fails.
    """

    roles: dict[Role, Llm | Judge]
    served: dict[str, EncoderEndpoint | RerankerEndpoint | SystemEndpoint] = Field(default_factory=dict)
    folder: Path
    run: str = ""
    max_usd: float | None = None
    max_tokens: int | None = None
    replay: bool = False
