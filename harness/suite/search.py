"""The section `search`: which candidates are trained to the end. Knows nothing of how they are scored."""

from __future__ import annotations

from harness.suite.fields import MeasureField, Several, Spec


class Halving(Spec):
    """Successive halving over training data (Jamieson and Talwalkar 2016, arXiv 1502.07943).

    All trained candidates begin with a small share of their training data. Of each round, the best 1/`eta` on dev go on
    to `eta` times as much; the last round is the whole. There are as many `rounds` as it takes to come down to one
    candidate, if not given. `measure` ranks them on dev: one that is gated, by default the first that every
    candidate can move.
    """

    eta: Several = 3
    rounds: Several | None = None
    measure: MeasureField | None = None


class Search(Spec):
    halving: Halving = Halving()
