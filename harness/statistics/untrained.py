"""The best system without training, chosen on dev, so that no training is credited with what a setting would gain.

This module must not know suites, plans or stores: systems and their dev scores go in, a choice comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.statistics.intervals import DECIMALS
from harness.values.gains import BestUntrained
from harness.values.measures import Measure
from harness.values.records import ScoreColumn
from harness.values.systems import UNTUNED, System

NO_RANK_MEASURE = "no rank measure is gated, and only these are scored on dev"
NO_DEV = "there are no scores on dev to choose it by"
ON_DEV = "dev is the split that is scored, and a choice on it would favour what is chosen"


def best_untrained(
    systems: Sequence[System], measure: Measure | None, on_dev: Mapping[str, ScoreColumn]
) -> BestUntrained:
    """Return the system with the highest mean of `measure` on dev, among those that train nothing and could be served.

    `on_dev` has the dev scores by the label of the system. A system without a score for every dev query is left out. Of
    equal means, `untuned` wins, then the first in the order of `systems`.
    """
    if measure is None:
        return BestUntrained(reason=NO_RANK_MEASURE)
    columns = {
        system.label: column
        for system in systems
        if not system.tunes and not system.is_bound and (column := on_dev.get(system.label))
    }
    queries = set().union(*columns.values())
    means = {
        label: round(fmean(known), DECIMALS)
        for label, column in columns.items()
        if len(known := [value for value in column.values() if value is not None]) == len(queries)
    }
    if not means:
        return BestUntrained(measure=str(measure), reason=NO_DEV)
    ordered = sorted(means, key=lambda label: label != UNTUNED)
    return BestUntrained(system=max(ordered, key=means.__getitem__), measure=str(measure), means=means)
