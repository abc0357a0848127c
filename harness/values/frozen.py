"""The base class of values that are written to files, and the verdicts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal[
    "improved", "equivalent", "inconclusive", "regressed", "new", "missing", "failed", "not comparable", "stopped"
]


class Frozen(BaseModel):
    """A value that cannot be changed and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
