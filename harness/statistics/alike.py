"""Which systems have the same runs by construction, so that a difference of zero is exact.

Equal scores alone do not show that: a system that loses everything on one query in twenty has the same scores as its
baseline in every fourth sample of 25 queries. This module must not know suites, stages or stores.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from harness.values.measures import Measure
from harness.values.systems import UNTUNED

ANSWERS_ONLY = ("generator", "context", "context_order")
"""Sections and settings of the pipeline that no run depends on."""


class Described(Protocol):
    """A system by what it changes."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def tunes(self) -> Sequence[str]: ...
    @property
    def changes(self) -> Sequence[str]: ...


def same_runs(measure: Measure, first: Described, other: Described) -> bool:
    """Return whether two systems have the same scores on `measure`, because their runs are made in the same way.

    True for a rank measure where they differ only in the generator and in what it is shown.
    """
    made, made_other = _ranking(first), _ranking(other)
    return measure.is_rank and made is not None and made == made_other


def answers_only(system: Described) -> bool:
    """Return whether a system changes the pipeline, and nothing that its runs depend on."""
    return system.name != UNTUNED and _ranking(system) == frozenset()


def _ranking(system: Described) -> frozenset[str] | None:
    """Return the settings that a system changes and its runs depend on; None if its runs are its own."""
    if system.name == UNTUNED:
        return frozenset()
    if system.role == "baseline" or not (*system.tunes, *system.changes) or set(system.tunes) - {"generator"}:
        return None
    return frozenset(change for change in system.changes if re.split(r"[.=]", change)[0] not in ANSWERS_ONLY)
