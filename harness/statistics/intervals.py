"""Simultaneous intervals and p values of mean differences, by sign flips of sums by group.

Under the null "system and baseline are exchangeable in each group" the sign of a group's sum is a coin flip (Fisher's
randomisation test). The statistic is the mean difference per query over its group-clustered standard error. One flip of
signs serves all comparisons of a call, so that what correlates them is kept, and the null is the largest |T| among
them: the single-step max-T of Westfall & Young (1993, Resampling-Based Multiple Testing), studentised as Romano & Wolf
advise (2005, JASA 100:94-108). The cluster variance is that of Cameron & Miller (2015, J. Human Resources 50:317-372)
with the factor G/(G-1).

The simultaneous intervals are difference +- c * standard error. c is at least the critical value of that null, but
where systems do differ, flips of the differences themselves move all comparisons together and make c too small (20
independent systems with a large gain: 65 % coverage instead of 95 %). So c is also at least the critical value of the
same flips of the residuals (the wild cluster bootstrap; Cameron, Gelbach & Miller 2008, REStat 90:414-427).

Where few groups differ, their spread is known badly, and an interval of the usual width would claim "equivalent" for
losses that this sample happened to miss (of 1 in 20 groups, at 25 groups in every fourth world). The width therefore
counts some more groups that differ (`flips`), in the spirit of the pseudo-observations of Agresti & Min
(2005, Stat. Med. 24:729-740). With it such claims are made in 0 to 6 % of worlds, up to 13 % where groups are
uneven. It does less the more groups differ and nothing where all do, so that rare losses among small differences
everywhere may still be missed. No p value rests on it.

This module must not know measures, systems or verdicts: sums by group go in, estimates come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from harness.statistics.flips import TIE, Floats, bounded_statistic, critical_value, signs_of, widened_variance

POWER = 0.8
"""Probability with which a difference as large as the minimum detectable effect is found."""
NO_GROUP_DIFFERS = "no group differs"
DECIMALS = 12  # differences under 1e-12 are rounding errors


class GroupSums(NamedTuple):
    """Differences of one comparison, summed by group.

    `totals` and `sizes` (one entry for each group of the family) hold the sum of the differences and the number of
    queries, which may be 0. `span` is the largest difference that a query can have. `same` says that no query differs
    because both sides are made in the same way.
    """

    totals: Floats
    sizes: Floats
    span: float
    same: bool

    @property
    def n_queries(self) -> int:
        return int(self.sizes.sum())

    @property
    def n_groups(self) -> int:
        return int(np.count_nonzero(self.sizes))

    @property
    def difference(self) -> float | None:
        return float(self.totals.sum() / self.sizes.sum()) if self.n_queries else None

    @property
    def residuals(self) -> Floats:
        return np.asarray(np.round(self.totals - self.sizes * (self.difference or 0.0), DECIMALS), dtype=np.float64)

    @property
    def standard_error(self) -> float:
        """Of the mean per query, clustered by group; for one query in each group it is the ordinary one."""
        return float(np.sqrt(self.n_groups / (self.n_groups - 1) * (self.residuals**2).sum()) / self.sizes.sum())

    @property
    def widened_error(self) -> float:
        """The standard error that intervals are made of: it counts groups that may differ outside of this sample."""
        return math.sqrt(widened_variance(self.standard_error**2, self.totals, self.sizes, self.span))


class FlipEstimate(NamedTuple):
    """A simultaneous interval with its p value and minimum detectable effect, or the reason why there is none."""

    low: float = -math.inf
    high: float = math.inf
    p_value: float | None = None
    detectable: float | None = None
    reason: str = ""


def fewest_groups(alpha: float) -> int:
    """The fewest groups that an interval can be made of: all 2^G sign flips must be able to reach p <= `alpha`."""
    return math.ceil(1 - math.log2(alpha))


def too_few_groups(n_groups: int, alpha: float) -> str:
    """The reason of a comparison without an interval."""
    return f"too few groups for an interval: {n_groups}, and it takes {fewest_groups(alpha)}"


def expected_detectable(deviation: float, queries: int, comparisons: int, alpha: float) -> float:
    """Return the minimum detectable effect to expect before anything is measured, at 80 % power.

    `deviation` is the standard deviation of the difference on a query, `comparisons` the size of the family. Normal
    values at Bonferroni's level; queries count as independent, so groups of several queries make it larger.
    """
    quantile = NormalDist().inv_cdf
    return (quantile(1 - alpha / 2 / comparisons) + quantile(POWER)) * deviation / math.sqrt(queries)


def estimates(rows: Sequence[GroupSums | None], alpha: float, resamples: int, seed: int) -> list[FlipEstimate]:
    """Return an estimate for each row; None is a comparison that is not made.

    Only rows that need flips are in the family: the others cost them no power.
    """
    estimates = [_without_flips(row, alpha) for row in rows]
    tested = [row for row, estimate in zip(rows, estimates, strict=True) if row is not None and estimate is None]
    flipped = _by_flips(tested, alpha, resamples, seed)
    return [next(flipped) if estimate is None else estimate for estimate in estimates]


def _without_flips(row: GroupSums | None, alpha: float) -> FlipEstimate | None:
    """The estimate for a row that is known not to differ or can never be significant; None where flips are needed."""
    if row is None:
        return FlipEstimate()
    if row.same:
        return FlipEstimate(0.0, 0.0, 1.0, None, "its output is the same as the baseline's")
    if 2.0 ** (1 - row.n_groups) > alpha:  # the smallest p value there is: all groups agree
        none = "" if row.totals.any() else f"; {NO_GROUP_DIFFERS}"
        return FlipEstimate(reason=f"{too_few_groups(row.n_groups, alpha)}{none}")
    return None


def _by_flips(rows: Sequence[GroupSums], alpha: float, resamples: int, seed: int) -> Iterator[FlipEstimate]:
    stacked = (
        np.stack(columns, axis=1)
        for columns in zip(*((row.totals, row.sizes, row.residuals) for row in rows), strict=True)
    )
    totals, sizes, residuals = stacked
    null, centred = [], []
    for signs in signs_of(len(totals), resamples, seed):
        null.append(bounded_statistic(signs, totals, sizes).max(axis=1))
        centred.append(bounded_statistic(signs, residuals, sizes).max(axis=1))
    maxima = np.sort(np.concatenate(null))
    observed = bounded_statistic(np.ones((1, len(totals))), totals, sizes)[0]
    p_values = (len(maxima) - np.searchsorted(maxima, observed - TIE)) / len(maxima)
    critical = max(critical_value(maxima, alpha), critical_value(np.sort(np.concatenate(centred)), alpha))
    apart = NormalDist().inv_cdf(1 - alpha / 2 / len(rows))
    for row, p_value in zip(rows, map(float, p_values), strict=True):
        if math.isinf(critical):
            # A p value that calls it significant would contradict a verdict that cannot.
            shown = p_value if p_value > alpha else None
            yield FlipEstimate(p_value=shown, reason="too few distinct flips of the groups for an interval")
            continue
        # Groups that were not seen are in no flip: their part goes by the normal value, at Bonferroni's level.
        unseen = row.widened_error**2 - row.standard_error**2
        half = math.sqrt((critical * row.standard_error) ** 2 + apart**2 * unseen)
        low, high = interval_of(row.difference or 0.0, half, significant=p_value <= alpha)
        detectable = half + NormalDist().inv_cdf(POWER) * row.widened_error
        reason = (
            "" if row.totals.any() else f"{NO_GROUP_DIFFERS}; the interval allows for a few that this sample missed"
        )
        yield FlipEstimate(low, high, p_value, detectable or None, reason)


def interval_of(difference: float, half: float, *, significant: bool) -> tuple[float, float]:
    """The interval, with its end near zero moved to the side of zero that the p value says.

    The critical value may be above what the test needs, and sums round.
    """
    low, high = difference - half, difference + half
    if not significant:
        return min(low, 0.0), max(high, 0.0)
    return (max(low, 1e-9 * difference), high) if difference > 0 else (low, min(high, 1e-9 * difference))
