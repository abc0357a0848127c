"""Ranks of systems with intervals: who is surely above whom, from all pairwise differences at once.

The interval of a rank follows from simultaneous intervals of the differences (Mogstad, Romano, Shaikh and Wilhelm 2024,
"Inference for Ranks", Review of Economic Studies 91): a system has at least as many above it as are surely better, and
at most as many as are not surely worse. All rank intervals hold together at the level of the differences.

This module must not know outcomes or suites.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from harness.statistics import stats
from harness.values.measures import Measure

Values = Mapping[str, float | None]
"""A system's value by query; None is a failure."""


class Ranked(NamedTuple):
    """A system's mean, its place by the mean (ties share the better one), and the places that it may truly have.

    `top` says that no other system is surely better.
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
    systems: Mapping[str, Values], groups: Mapping[str, str], measure: Measure, *, alpha: float = 0.05,
    resamples: int = 10_000,
) -> list[Ranked]:  # fmt: skip
    """Rank systems that have a value for every query of the same population, best first.

    Raises ValueError if they have not.
    """
    for name, values in systems.items():
        if any(value is None for value in values.values()) or not values:
            raise ValueError(f"{name} has no value for some query, so it cannot be ranked")
    sign = -1.0 if measure.kind.better == "lower" else 1.0
    means = {name: sum(filter(None, values.values())) / len(values) for name, values in systems.items()}
    better, worse = _surely(systems, groups, measure, sign, alpha, resamples)
    count = len(systems)
    found = [
        Ranked(
            name,
            mean,
            1 + sum(sign * other > sign * mean for other in means.values()),
            1 + len(better[name]),
            count - len(worse[name]),
        )
        for name, mean in means.items()
    ]
    return sorted(found, key=lambda one: (one.place, one.best, one.worst, one.name))


def _surely(
    systems: Mapping[str, Values],
    groups: Mapping[str, str],
    measure: Measure,
    sign: float,
    alpha: float,
    resamples: int,
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Of every system, those that are surely better and those that are surely worse."""
    couples = list(combinations(systems, 2))
    pairs = [stats.Paired(one, 0, measure, 0.0, systems[one], systems[other], groups) for one, other in couples]
    compared = stats.compare("gain", pairs, alpha=alpha, resamples=resamples) if pairs else []
    better: dict[str, set[str]] = {name: set() for name in systems}
    worse: dict[str, set[str]] = {name: set() for name in systems}
    for (one, other), row in zip(couples, compared, strict=True):
        if row.low is None or row.high is None:
            continue
        low, high = sorted((sign * row.low, sign * row.high))
        if low > 0 or high < 0:
            winner, loser = (one, other) if low > 0 else (other, one)
            better[loser].add(winner)
            worse[winner].add(loser)
    return better, worse
