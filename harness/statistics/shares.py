"""Shares and means over questions with 95 % intervals, where questions of one group are not independent.

The interval is Wilson's (1927, JASA 22:209-212) at an effective sample size: that of a sample of independent questions
with the same variance (Kish 1965, Survey Sampling, chapter 8). Korn & Graubard (1998, Survey Methodology 24:193-201)
do so for the exact interval, and shrink that size by (t[n-1] / t[G-1])^2 for the G groups that the variance is
estimated from; Dean & Pagano (2015, J. Survey Statistics and Methodology 3:484-503) find Wilson's the better one. The
variance is the cluster-robust one with the factor G/(G-1), as in `stats`, but never below that of independent
questions: with few groups it often is by chance. Where one question is a group, all of this is Wilson's own interval.

A mean of values in a range is treated alike: its variance is taken to change with the mean m as m * (1 - m) does, times
a factor that the data give (the quasi-likelihood of Papke & Wooldridge 1996, J. Applied Econometrics 11:619-632). So
the interval stays in the range, which the one of Student's t does not.

This module must not know what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
DECIMALS = 12  # values nearer than 1e-12 are equal: sums in another order differ in the last bits


class Interval(NamedTuple):
    """A share or a mean over `n` questions in `groups` groups, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    groups: int


def share_of(inside: Collection[str], questions: Collection[str], groups: Mapping[str, str]) -> Interval:
    """Return the share of `questions` that are `inside`; raise ValueError if there are none or one has no group."""
    chosen = set(inside)
    return mean_of({query_id: float(query_id in chosen) for query_id in questions}, groups)


def mean_of(
    values: Mapping[str, float], groups: Mapping[str, str], lowest: float = 0.0, highest: float = 1.0
) -> Interval:
    """Return the mean of values by question, all of them from `lowest` to `highest`.

    If all values are equal, each group counts as one question. If there is one group and its values differ, the
    interval is the whole range. Raises ValueError for no questions, a
    question without a group, and a value that is outside the range or no number.
    """
    if not values:
        raise ValueError("there is no question to take a mean of")
    if ungrouped := sorted(values.keys() - groups.keys()):
        raise ValueError(f"{len(ungrouped)} questions have no group, such as {ungrouped[0]!r}")
    if outside := sorted(query_id for query_id, value in values.items() if not lowest <= value <= highest):
        raise ValueError(f"{len(outside)} values are outside {lowest:g} to {highest:g}, such as that of {outside[0]!r}")
    scale = highest - lowest
    units = np.round((np.fromiter(values.values(), dtype=np.float64) - lowest) / scale, DECIMALS)
    _, places = np.unique([groups[query_id] for query_id in values], return_inverse=True)
    mean, n_groups = float(units.mean()), int(places.max()) + 1
    if units.min() == units.max():
        low, high = wilson(mean, n_groups)
    elif n_groups == 1:
        low, high = 0.0, 1.0
    else:
        totals = np.bincount(places, weights=units - mean).astype(np.float64)
        low, high = wilson(mean, _effective_size(mean, float(((units - mean) ** 2).sum()), totals, len(units)))
    value, low, high = (lowest + scale * number for number in (mean, low, high))
    return Interval(value, low, high, len(units), n_groups)


def wilson(share: float, size: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share in a sample of `size`, which need not be an integer."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = z * math.sqrt(share * (1 - share) / size + (z / (2 * size)) ** 2) / (1 + z * z / size)
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def _effective_size(mean: float, squares: float, totals: NDArray[np.float64], n: int) -> float:
    """Return the effective sample size; `totals` are the deviations from the mean, summed by group."""
    from scipy.special import stdtrit

    n_groups = len(totals)
    clustered = n_groups / (n_groups - 1) * float((totals**2).sum()) / n**2
    independent = squares / (n * (n - 1))
    few = float(stdtrit(n - 1, (1 + LEVEL) / 2) / stdtrit(n_groups - 1, (1 + LEVEL) / 2))
    return n / (n - 1) * mean * (1 - mean) / max(clustered, independent) * few**2
