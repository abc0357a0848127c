"""Whether two sets of queries rank the same systems alike: Kendall's tau-b of their means, with a bootstrap interval.

The sets are resampled apart from each other, by group, all systems together. tau-b counts pairs of systems that both
sets order alike, less those that they order differently, and allows for ties (Kendall, The treatment of ties in
ranking problems, Biometrika 1945).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.values.records import ScoreColumn

Floats = NDArray[np.float64]
REPLICATES = 2000
LEVEL = 0.95
LEAST_GROUPS = 5
"""With fewer groups on a side there is no interval."""


class RankAgreement(NamedTuple):
    """Means of the systems on both sides, tau-b with its interval, and the queries on each side."""

    first: dict[str, float]
    second: dict[str, float]
    tau: float | None
    low: float | None
    high: float | None
    n_first: int
    n_second: int


def rank_agreement(
    columns: Mapping[str, ScoreColumn], groups: Mapping[str, str], first: frozenset[str], seed: int = 0
) -> RankAgreement | None:
    """Return how alike the queries `first` and all others rank the systems of `columns`.

    Only queries count that every system has a value for. None with fewer than two systems, or if a side has no query.
    """
    shared = [
        query for query in groups if all(query in column and column[query] is not None for column in columns.values())
    ]
    sides = [[query for query in shared if (query in first) == wanted] for wanted in (True, False)]
    if len(columns) < 2 or not all(sides):
        return None
    names = list(columns)
    tables = [np.array([[columns[name][query] for query in side] for name in names], dtype=float) for side in sides]
    means = [table.mean(axis=1) for table in tables]
    tau = tau_b(means[0], means[1])
    low, high = _interval(tables, [[groups[query] for query in side] for side in sides], seed)
    by_name = [dict(zip(names, map(float, side), strict=True)) for side in means]
    return RankAgreement(by_name[0], by_name[1], tau, low, high, len(sides[0]), len(sides[1]))


def tau_b(first: Floats, second: Floats) -> float | None:
    """Return Kendall's tau-b of two lists of values, shape (systems,); None if one of them is constant."""
    value = float(_taus(first[None, :], second[None, :])[0])
    return None if np.isnan(value) else value


def _taus(first: Floats, second: Floats) -> Floats:
    """Return tau-b of each row, shapes (rows, systems); NaN where a row is constant."""
    left, right = np.triu_indices(first.shape[1], k=1)
    # Means that differ by rounding alone are equal.
    signs = [np.sign(np.round(side[:, left] - side[:, right], 12)) for side in (first, second)]
    both = (signs[0] * signs[1]).sum(axis=1)
    scale = np.sqrt(np.abs(signs[0]).sum(axis=1) * np.abs(signs[1]).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        taus: Floats = both / scale
    return taus


def _interval(
    tables: Sequence[Floats], groups: Sequence[Sequence[str]], seed: int
) -> tuple[float | None, float | None]:
    """Return the percentile interval of tau-b; a replicate in which one side has no order counts as 0."""
    rng = np.random.default_rng(seed)
    sampled = []
    for table, names in zip(tables, groups, strict=True):
        places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        if len(places) < LEAST_GROUPS:
            return None, None
        sums = np.zeros((len(places), table.shape[0]))
        np.add.at(sums, [places[name] for name in names], table.T)
        sizes = np.bincount([places[name] for name in names], minlength=len(places))
        counts = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=REPLICATES)
        sampled.append((counts @ sums) / (counts @ sizes)[:, None])
    taus = np.nan_to_num(_taus(sampled[0], sampled[1]), nan=0.0)
    low, high = np.quantile(taus, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
