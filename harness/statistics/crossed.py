"""Variance of a mean difference when seeds are crossed with groups of queries.

Seeds and groups are both samples, and the variance of the mean difference has a part from each (Clark 1973, J. Verbal
Learning 12:335-359, on items and speakers; the readers and cases of Dorfman, Berbaum & Metz 1992, Invest. Radiology
27:723-731). The two functions here compute both parts by analysis of variance:

* `of_gains`: one set of seeds, paired with a baseline that is the same for all of them (`seeds`);
* `of_retraining`: two sets of seeds that are not matched (`gates.reseeded`).

In both, chance within seeds (the interaction of seeds and groups) counts once, with the seeds, and is taken off the
groups. Taken off the seeds instead it would make narrower intervals. But the variance of three seeds less an estimate
is often nothing, just where it is needed: of 2,500 claims about recipes that gain nothing, 6 to 9 % were then made
where seeds vary, and are 2 to 5 % so.

The half-width of an interval is sqrt(t[G-1]^2 * of_groups + t[freedom]^2 * of_seeds): each part with its own t, which
for independent parts never covers too seldom (Banerjee 1960, Sankhya 22:357-358). One t with the degrees of freedom of
Satterthwaite (1946, Biometrics Bulletin 2:110-114) would be narrower, but three seeds often lie close together by
chance, and it then trusts them: in simulations of seeds that vary much its false alarms were 1.4 times the level, and
4 to 6 times in the tail that 14 claims need.

This module must not know spec, plan, store or report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.statistics.flips import Floats, widened_variance
from harness.statistics.intervals import DECIMALS


class CrossedEstimate(NamedTuple):
    """A simultaneous interval, its p value, and the difference that would be detected with 80 % power."""

    low: float
    high: float
    p_value: float
    detectable: float | None


class CrossedVariance(NamedTuple):
    """A mean difference per query, and the two parts of its variance.

    `freedom` are the degrees of freedom of `of_seeds`; those of `of_groups` are `n_groups - 1`. `differing` counts the
    groups with any difference. Both variances are NaN if there is only one group.
    """

    difference: float
    of_groups: float
    of_seeds: float
    n_groups: int
    freedom: int
    differing: int

    def half_width(self, alpha: float) -> float:
        """Half the width of the interval at level `alpha`."""
        from scipy.special import stdtrit

        groups, seeds = (float(stdtrit(n, 1 - alpha / 2)) for n in (self.n_groups - 1, self.freedom))
        return math.sqrt(groups**2 * self.of_groups + seeds**2 * self.of_seeds)

    def p_value(self) -> float:
        """The level at which the interval would just reach zero, by bisection; not below 1e-12."""
        low, high = math.log(1e-12), 0.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            too_wide = self.half_width(math.exp(middle)) > abs(self.difference)
            low, high = (middle, high) if too_wide else (low, middle)
        return math.exp(high)

    def estimate(self, alpha: float, tested: int) -> CrossedEstimate:
        """Interval and p value that hold for `tested` comparisons together, by Bonferroni's correction."""
        half = self.half_width(alpha / tested)
        power = NormalDist().inv_cdf(0.8) * math.sqrt(self.of_groups + self.of_seeds)
        p_value = min(1.0, tested * self.p_value())
        return CrossedEstimate(self.difference - half, self.difference + half, p_value, half + power or None)


def group_positions(queries: Sequence[str], groups: Mapping[str, str]) -> NDArray[np.intp]:
    """The number of each query's group, in the order of the groups' names."""
    positions = {name: number for number, name in enumerate(sorted({groups[query] for query in queries}))}
    return np.asarray([positions[groups[query]] for query in queries], dtype=np.intp)


def of_gains(totals: Floats, sizes: Floats, span: float) -> CrossedVariance:
    """The variance of the mean gain of several seeds over one baseline.

    `totals` (groups x seeds) are differences summed by group, `sizes` the queries of each group, `span` the largest
    difference that a query can have. Degrees of freedom of the seeds: S - 1.
    """
    n_queries = int(sizes.sum())
    n_groups, n_seeds = totals.shape
    gains = totals.sum(axis=0) / n_queries
    difference = fmean(map(float, gains))
    if n_groups == 1:
        return CrossedVariance(difference, math.nan, math.nan, 1, n_seeds - 1, 1)
    of_group = totals.mean(axis=1)
    within = totals - of_group[:, None] - np.outer(sizes, gains - gains.mean())
    scale = n_groups / (n_groups - 1) / n_queries**2
    by_chance = scale * float((within**2).sum()) / n_seeds / (n_seeds - 1)
    of_groups = scale * float(((of_group - sizes * gains.mean()) ** 2).sum())
    largest = np.abs(totals).max(axis=1)
    return CrossedVariance(
        difference=difference,
        of_groups=max(0.0, widened_variance(of_groups, largest, sizes, span) - by_chance),
        of_seeds=float(gains.var(ddof=1)) / n_seeds,
        n_groups=n_groups,
        freedom=n_seeds - 1,
        differing=int(np.count_nonzero(largest)),
    )


def of_retraining(now: Floats, accepted: Floats, sizes: Floats, span: float) -> CrossedVariance:
    """The variance of the difference between the means of two sets of seeds, `now` minus `accepted`.

    `now` and `accepted` (seeds x groups) are scores summed by group, `sizes` the queries of each group, `span` the
    largest difference that a query can have. The variance between seeds is pooled over both sides. Degrees of freedom
    of the seeds: S - 2, with S seeds in all.
    """
    sides = (now, accepted)
    n_queries, n_groups = int(sizes.sum()), len(sizes)
    totals = np.round(now.mean(axis=0) - accepted.mean(axis=0), DECIMALS)
    difference = float(totals.sum() / n_queries)
    if n_groups == 1:
        return CrossedVariance(difference, math.nan, math.nan, 1, 1, 1)
    scale = n_groups / (n_groups - 1) / n_queries**2
    freedom = sum(len(side) for side in sides) - 2
    per_seed = sum(1 / len(side) for side in sides)
    squares = [_squares(side, sizes, scale) for side in sides]
    between, by_chance = (sum(column) / freedom * per_seed for column in zip(*squares, strict=True))
    of_groups = scale * float((np.round(totals - sizes * difference, DECIMALS) ** 2).sum())
    largest = np.max([np.abs(totals), *(np.ptp(side, axis=0) for side in sides)], axis=0)
    return CrossedVariance(
        difference=difference,
        of_groups=max(0.0, widened_variance(of_groups, largest, sizes, span) - by_chance),
        of_seeds=between,
        n_groups=n_groups,
        freedom=freedom,
        differing=int(np.count_nonzero(largest)),
    )


def _squares(side: Floats, sizes: Floats, scale: float) -> tuple[float, float]:
    """Sums of squares of one side (seeds x groups): between the means of its seeds, and of chance within them."""
    means = np.round((side - side.mean(axis=0)).sum(axis=1) / sizes.sum(), DECIMALS)
    within = np.round(side - side.mean(axis=0) - np.outer(means, sizes), DECIMALS)
    return float((means**2).sum()), scale * float((within**2).sum())
