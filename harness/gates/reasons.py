"""Reasons that a gate gives with a verdict, and what they say about the outcome as a whole."""

from __future__ import annotations

from harness.statistics.verdicts import Gating

ACCEPTED_ONLY = "accepted, but not in this outcome"
UNSCORED = "in this outcome, but without scores; run the suite again"
UNMEASURED = "in the suite, but not in this outcome; run the suite again"
BY_SEEDS = "this checkpoint is worse, but not significantly by more than the margin; another seed could differ as much"


def acceptable(gating: Gating) -> bool:
    """Return whether an outcome may be accepted as far as its verdicts tell: no system failed or was left out."""
    return not any(
        verdict.verdict == "failed" or verdict.reason in (UNMEASURED, UNSCORED) for verdict in gating.verdicts
    )
