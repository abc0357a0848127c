"""When two systems are the same by how they are made, so that equal scores are no luck.

That all scores are equal does not tell it: a system that loses everything on one query in twenty passes for the same in
every fourth sample of 25. This module must not know suites, stages or stores.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.values.measures import Measure


def same_runs(measure: Measure, tunes: Sequence[str]) -> bool:
    """Whether `measure` judges lists, and a system that tunes these parts has those of the untuned one."""
    return measure.is_rank and tuple(tunes) == ("generator",)
