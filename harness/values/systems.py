"""What identifies a system wherever it is compared, and the names of baseline rows that mean something everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

UNTUNED = "untuned"
"""The pipeline as it is: gains are measured against it."""
BM25 = "bm25"
"""The baseline row that needs no model."""
BOUNDS = ("closed-book", "oracle-context")
"""Baseline rows that nobody would serve: they bound the others and take no part in the family of gains."""
Role = Literal["baseline", "candidate"]


def label_of(name: str, seed: int, tunes: Sequence[str]) -> str:
    """``bm25`` where nothing is trained, ``staged (seed 0)`` where something is."""
    return f"{name} (seed {seed})" if tunes else name


def slug_of(name: str, seed: int, tunes: Sequence[str]) -> str:
    """The label as part of a file name."""
    return f"{name}-{seed}" if tunes else name


def trained(parts: str, training: Sequence[str]) -> str:
    """Return the parts that are trained with what is special in their training: ``retriever (pairs=structure)``."""
    return f"{parts} ({', '.join(training)})" if training else parts


@dataclass(frozen=True)
class System:
    """A row of the results: a baseline row, or a candidate with a seed.

    `tunes` names its tuned parts, in order. `changes` names the settings of the pipeline that it changes, such as
    ``reranker.kind=late-interaction``, and `training` those of recipes and training data, such as ``pairs=structure``.
    A candidate that tunes nothing has the seed 0.
    """

    name: str
    seed: int
    role: Role
    tunes: tuple[str, ...]
    changes: tuple[str, ...] = field(default=(), kw_only=True)
    training: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def label(self) -> str:
        """``bm25`` where nothing is trained, ``staged (seed 0)`` where something is."""
        return label_of(self.name, self.seed, self.tunes)

    @property
    def slug(self) -> str:
        """The label as part of a file name."""
        return slug_of(self.name, self.seed, self.tunes)

    @property
    def is_bound(self) -> bool:
        """Whether nobody would serve it."""
        return self.name in BOUNDS
