"""Ranks of systems with confidence intervals, from all pairwise differences at once.

The interval of a rank follows from simultaneous intervals of the differences (Mogstad, Romano, Shaikh and Wilhelm 2024,
"Inference for Ranks", Review of Economic Studies 91): at least as many systems rank above it as
are significantly better, and at most as many as are not significantly worse. All intervals of ranks hold together at
the level of the differences.

This module must not know outcomes or suites.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from harness.statistics import stats
from harness.values.measures import Measure
from harness.values.records import ScoreColumn


class RankInterval(NamedTuple):
    """A system's mean, its rank by the mean (ties share the better one), and the confidence interval of its rank.

    `top`: no other system is significantly better.
    """

    name: str
    mean: float
    place: int
    best: int
    worst: int

    @property
    def top(self) -> bool:
        return self.best == 1


def ranks(
    systems: Mapping[str, ScoreColumn],
    groups: Mapping[str, str],
    measure: Measure,
    *,
    alpha: float = 0.05,
    resamples: int = 10_000,
) -> list[RankInterval]:
    """Rank systems that have a value for every query of the same population, best first.

    Raises ValueError if they have not.
    """
    for name, values in systems.items():
        if any(value is None for value in values.values()) or not values:
            raise ValueError(f"{name} has no value for some query, so it cannot be ranked")
    sign = -1.0 if measure.kind.better == "lower" else 1.0
    means = {name: sum(filter(None, values.values())) / len(values) for name, values in systems.items()}
    better, worse = _significant(systems, groups, measure, sign, alpha, resamples)
    count = len(systems)
    rows = [
        RankInterval(
            name=name,
            mean=mean,
            place=1 + sum(sign * other > sign * mean for other in means.values()),
            best=1 + len(better[name]),
            worst=count - len(worse[name]),
        )
        for name, mean in means.items()
    ]
    return sorted(rows, key=lambda row: (row.place, row.best, row.worst, row.name))


def _significant(
    systems: Mapping[str, ScoreColumn],
    groups: Mapping[str, str],
    measure: Measure,
    sign: float,
    alpha: float,
    resamples: int,
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return for each system those that are significantly better, and those that are significantly worse."""
    couples = list(combinations(systems, 2))
    pairs = [
        stats.Paired(system=name, measure=measure, values=systems[name], baseline=systems[other], groups=groups)
        for name, other in couples
    ]
    compared = stats.compare("gain", pairs, alpha=alpha, resamples=resamples) if pairs else []
    better: dict[str, set[str]] = {name: set() for name in systems}
    worse: dict[str, set[str]] = {name: set() for name in systems}
    for (name, other), row in zip(couples, compared, strict=True):
        if row.low is None or row.high is None:
            continue
        low, high = sorted((sign * row.low, sign * row.high))
        if low > 0 or high < 0:
            winner, loser = (name, other) if low > 0 else (other, name)
            better[loser].add(winner)
            worse[winner].add(loser)
    return better, worse
