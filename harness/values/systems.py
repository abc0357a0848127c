"""What identifies a system wherever it is compared, and the names of baseline rows that mean something everywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

UNTUNED = "untuned"
"""The pipeline as it is: gains are measured against it."""
BOUNDS = ("closed-book", "oracle-context")
"""Baseline rows that nobody would serve: they bound the others and take no part in the family of gains."""


@dataclass(frozen=True)
class System:
    """A row of the results: a baseline row, or a candidate with a seed.

    `tunes` names its tuned parts, in order; `changes` its other settings, as ``reranker.kind=late-interaction``.
    """

    name: str
    seed: int
    role: Literal["baseline", "candidate"]
    tunes: tuple[str, ...]
    changes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def label(self) -> str:
        """``bm25`` for a baseline row, ``staged (seed 0)`` for a candidate."""
        return self.name if self.role == "baseline" else f"{self.name} (seed {self.seed})"

    @property
    def slug(self) -> str:
        """The label as part of a file name."""
        return self.name if self.role == "baseline" else f"{self.name}-{self.seed}"

    @property
    def is_bound(self) -> bool:
        """Whether nobody would serve it."""
        return self.name in BOUNDS
