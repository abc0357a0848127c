"""Which systems have the same runs by construction, so that a difference of zero is exact.

Equal scores alone do not show that: a system that loses everything on one query in twenty has the same scores as its
baseline in every fourth sample of 25 queries. This module must not know suites, stages or stores.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.values.measures import Measure


def same_runs(measure: Measure, tunes: Sequence[str]) -> bool:
    """Return whether a system that tunes the parts `tunes` has the scores of `untuned` on `measure`.

    True for a rank measure where only the generator is tuned: its runs are those of `untuned`.
    """
    return measure.is_rank and tuple(tunes) == ("generator",)
