"""Whether two systems put out the same, as far as their scores can tell.

Where no score differs there are two cases. If lists or answers are the same, the difference is nothing, and that is
known. If they are not, none of the questions asked happened to show it, which says only that few would: `stats` then
gives an interval that is not empty.

This module must not know suites, stages or stores: tunes and scores by query go in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.values.measures import Measure, parse

TELLING = 4
"""Distinct values from which on a measure that is equal everywhere tells outputs apart; `utility` has three."""
Columns = Mapping[str, Mapping[str, float | None]]
"""Measure -> query -> value, over the measure's population; None is a failure."""


def same_output(measure: Measure, tunes: Sequence[str], mine: Columns, theirs: Columns) -> bool:
    """Whether what `measure` judges is the same on both sides.

    A system that tunes the generator alone has the lists of the untuned one. Otherwise every measure of the same
    output, but those that LLMs judge, must be equal on every query, and one of them must take `TELLING` values or more.
    """
    if measure.is_rank and tuple(tunes) == ("generator",):
        return True
    shared = [name for name in mine if name in theirs and _tells(name, measure)]
    equal = all(mine[name] == theirs[name] for name in shared)
    return equal and any(len(set(mine[name].values())) >= TELLING for name in shared)


def _tells(name: str, measure: Measure) -> bool:
    """Whether a measure judges the same output as another, without an LLM."""
    other = parse(name)
    return other.kind.family == measure.kind.family and not other.is_judged
