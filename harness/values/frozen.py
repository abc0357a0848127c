"""The base of every value that is written to a file, and the words of a verdict."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["improved", "equivalent", "inconclusive", "regressed", "new", "missing", "failed", "not comparable"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
