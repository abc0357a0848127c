"""What came of the candidates in the rounds of a search: frozen values."""

from __future__ import annotations

from harness.values.frozen import Frozen


class RoundScore(Frozen):
    """A candidate in one round: its mean of `measure` on dev, over seeds, with a `share` of its training data.

    `value` is None if it failed. `rank` counts from 1 among the candidates of the round; `kept` says that it went on.
    `seconds` is what its trainings of this round took. Of one that was stopped, `difference` is its mean minus that of
    the last one that went on, from `low` to `high`: simultaneous 95 % intervals over the stopped ones of a round.
    """

    candidate: str
    round: int
    share: float
    measure: str
    value: float | None
    rank: int
    kept: bool
    seconds: float = 0.0
    difference: float | None = None
    low: float | None = None
    high: float | None = None
