"""Differences to a baseline, and how sure one can be of them.

Per-query differences are summed by group (queries about one document are not independent), and the group is what is
drawn at random: under the null "system and baseline are exchangeable in each group" the sign of a group's sum is a coin
flip (Fisher's randomisation test). The statistic is the mean difference per query over its group-clustered standard
error. One flip of signs serves all comparisons of a call, so that what correlates them is kept, and the null is the
largest |T| among them: the single-step max-T of Westfall & Young (1993, Resampling-Based Multiple Testing), studentised
as Romano & Wolf advise (2005, JASA 100:94-108). The cluster variance is that of Cameron & Miller (2015, J. Human
Resources 50:317-372) with the factor G/(G-1).

The simultaneous intervals are difference +- c * standard error. c is at least the critical value of that null, but
where systems do differ, flips of the differences themselves move all comparisons together and make c too small (20
independent systems with a large gain: 65 % coverage instead of 95 %). So c is also at least the critical value of the
same flips of the residuals (the wild cluster bootstrap; Cameron, Gelbach & Miller 2008, REStat 90:414-427).

Where few groups differ, their spread is known badly, and an interval of the usual width would claim "equivalent" for
losses that this sample happened to miss (of 1 in 20 groups, at 25 groups in every fourth world). The width therefore
counts some more groups that differ (`flips.with_unseen`), in the spirit of the pseudo-observations of Agresti & Min
(2005, Stat. Med. 24:729-740). With it such claims are made in 0 to 6 % of worlds, up to 13 % where groups are
uneven. It does less the more groups differ and nothing where all do, so that rare losses among small differences
everywhere may still be missed. No p value rests on it.

This module must not know spec, store or report: values by query go in, comparisons come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from harness.statistics.flips import TIE, Floats, critical_value, signs_of, squashed, with_unseen
from harness.values.findings import Comparison
from harness.values.frozen import Verdict
from harness.values.measures import Measure

Family = Literal["gain", "regression", "advisory", "exploratory"]
Fill = Literal["drop", "help", "hurt"]  # what stands for a failure: nothing, or the extreme for or against
DECIMALS = 12  # differences under 1e-12 are rounding, not findings


class Paired(NamedTuple):
    """One system against its baseline on one measure.

    `values` and `baseline` hold each query of the measure's population; None is a failure. `same` says that both sides
    are the same by how they are made, so that a difference of nothing is exactly that: equal scores do not tell it.
    `scale` is how many times the range of the measure a side can have, as a sum of several systems can.
    """

    system: str
    seed: int
    measure: Measure
    margin: float
    values: Mapping[str, float | None]
    baseline: Mapping[str, float | None]
    groups: Mapping[str, str]
    same: bool = False
    scale: float = 1.0

    @property
    def present(self) -> list[float]:
        return [value for side in (self.values, self.baseline) for value in side.values() if value is not None]

    @property
    def failed(self) -> int:
        return sum(value is None or self.baseline[query] is None for query, value in self.values.items())

    @property
    def ends(self) -> tuple[float, float]:
        """The range of the measure, or the extremes of the values where these lie outside."""
        return min([self.measure.kind.low, *self.present]), max([self.measure.kind.high, *self.present])

    @property
    def span(self) -> float:
        """The largest difference that a query can have."""
        low, high = self.ends
        return self.scale * (high - low)


class _Sums(NamedTuple):
    """Differences of one comparison summed by group, and how many queries each group has; a group may have none.

    `span` is the largest difference that a query can have; `same` says that none has any, and why: see `Paired`.
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
    def reach(self) -> float:
        """The standard error that intervals are made of: with groups that differ and were not seen to."""
        return math.sqrt(with_unseen(self.standard_error**2, self.totals, self.sizes, self.span))


class _Estimate(NamedTuple):
    """What one way of filling in failures says of one comparison."""

    low: float = -math.inf
    high: float = math.inf
    p_value: float | None = None
    detectable: float | None = None
    reason: str = ""


def compare(
    family: Family, pairs: Sequence[Paired], *, failure_limit: float = 0.0, alpha: float = 0.05,
    resamples: int = 10_000, seed: int = 0,
) -> list[Comparison]:  # fmt: skip
    """Compare each pair, with intervals and p values that hold for all pairs together.

    Difference, interval and p value are those of the queries with a value on both sides. If some failed, the verdict
    stands only if it is the same with every failure imputed at the extreme that helps the system and at the one that
    hurts it. Raises ValueError for what no caller should send: other queries on one side, NaN, a negative margin.
    """
    if not 0 < alpha < 1 or alpha * (resamples + 1) < 1:
        raise ValueError(f"{resamples} resamples cannot reach p <= {alpha}")
    for pair in pairs:
        check(pair)
    # All groups of the call, in one order, so that each way of filling in failures sees the same signs.
    names = {pair.groups[query] for pair in pairs for query in pair.values}
    index = {name: number for number, name in enumerate(sorted(names))}
    fills: tuple[Fill, ...] = ("drop", "help", "hurt") if any(pair.failed for pair in pairs) else ("drop",)
    tables = [[_sums(pair, index, fill) for pair in pairs] for fill in fills]
    # What failed takes no part: a broken system with a few values left would widen the intervals of all others.
    failures = [_failure(pair, sums, failure_limit) for pair, sums in zip(pairs, tables[0], strict=True)]
    made = [[None if why else row for row, why in zip(table, failures, strict=True)] for table in tables]
    by_fill = zip(*(_estimates(rows, alpha, resamples, seed) for rows in made), strict=True)
    return [_comparison(family, *row) for row in zip(pairs, tables[0], failures, by_fill, strict=True)]


def verdict(low: float, high: float, margin: float) -> Verdict:
    """What the interval of a difference says, given the margin that would matter; the order of the rules counts."""
    if low > 0:
        return "improved"
    if high < 0 and low < -margin:
        return "regressed"
    return "equivalent" if -margin < low and high < margin else "inconclusive"


def _comparison(family: Family, pair: Paired, sums: _Sums, failure: str, by_fill: Sequence[_Estimate]) -> Comparison:
    shown = by_fill[0]
    found = [verdict(estimate.low, estimate.high, pair.margin) for estimate in (by_fill if pair.failed else [shown])]
    decided, reason = found[0], shown.reason
    if failure:
        decided, reason = "failed", failure
    elif len(set(found)) > 1:
        decided = "inconclusive"
        reason = f"{found[0]} without the {pair.failed} failed, {found[1]} with them at best, {found[2]} at worst"
    return Comparison(
        family=family,
        system=pair.system,
        seed=pair.seed,
        measure=str(pair.measure),
        difference=sums.difference,
        low=shown.low if math.isfinite(shown.low) else None,
        high=shown.high if math.isfinite(shown.high) else None,
        p_value=shown.p_value,
        margin=pair.margin,
        detectable=shown.detectable,
        n_queries=sums.n_queries,
        n_groups=sums.n_groups,
        failed=pair.failed,
        verdict=decided,
        reason=reason,
    )


def check(pair: Paired) -> None:
    """Raise ValueError for what no caller should send."""
    what = f"{pair.system} (seed {pair.seed}), {pair.measure}"
    if odd := sorted(pair.values.keys() ^ pair.baseline.keys()):
        raise ValueError(f"{what}: {len(odd)} queries are on one side only, such as {odd[0]!r}")
    if odd := sorted(pair.values.keys() - pair.groups.keys()):
        raise ValueError(f"{what}: {len(odd)} queries have no group, such as {odd[0]!r}")
    if not all(map(math.isfinite, pair.present)):
        raise ValueError(f"{what}: a value is not a finite number; a failure is None")
    if not pair.margin >= 0:
        raise ValueError(f"{what}: the margin {pair.margin} is negative")


def _failure(pair: Paired, complete: _Sums, failure_limit: float) -> str:
    """Why this comparison cannot be made, or nothing. A gate must not pass because there was nothing to measure."""
    if not pair.values:
        return f"no query has a {pair.measure}: nothing was measured"
    if pair.failed / len(pair.values) > failure_limit:
        return f"{pair.failed} of {len(pair.values)} queries have no value on both sides (limit {failure_limit:.1%})"
    return "" if complete.n_queries else "no query has a value on both sides"


def differences(pair: Paired, fill: Fill) -> dict[str, float]:
    """System minus baseline by query: without the failures, or with the extreme that helps or hurts in their place."""
    low, high = pair.ends
    mine, theirs = (high, low) if fill == "help" else (low, high)
    found = {}
    for query, value in pair.values.items():
        other = pair.baseline[query]
        if fill != "drop" or not (value is None or other is None):
            found[query] = (mine if value is None else value) - (theirs if other is None else other)
    return found


def _sums(pair: Paired, index: Mapping[str, int], fill: Fill) -> _Sums:
    found = differences(pair, fill)
    positions = np.asarray([index[pair.groups[query]] for query in found], dtype=np.intp)
    totals = np.bincount(positions, weights=np.asarray(list(found.values())), minlength=len(index))
    sizes = np.bincount(positions, minlength=len(index)).astype(np.float64)
    same = pair.same and not any(round(value, DECIMALS) for value in found.values())
    return _Sums(np.round(totals, DECIMALS), sizes, pair.span, same)


def _estimates(rows: Sequence[_Sums | None], alpha: float, resamples: int, seed: int) -> list[_Estimate]:
    """An estimate for each row; None is a comparison that is not made. Only what needs flips costs the others power."""
    estimates = [_without_flips(row, alpha) for row in rows]
    tested = [row for row, estimate in zip(rows, estimates, strict=True) if row is not None and estimate is None]
    flipped = _by_flips(tested, alpha, resamples, seed)
    return [next(flipped) if estimate is None else estimate for estimate in estimates]


def _without_flips(row: _Sums | None, alpha: float) -> _Estimate | None:
    """The estimate for a row that is known not to differ or can never be significant; None where flips are needed."""
    if row is None:
        return _Estimate()
    if row.same:
        return _Estimate(0.0, 0.0, 1.0, None, "it puts out the same as the baseline")
    if 2.0 ** (1 - row.n_groups) > alpha:  # the smallest p value there is: all groups agree
        return _Estimate(reason=f"too few groups for an interval: {row.n_groups} of {math.ceil(1 - math.log2(alpha))}")
    return None


def _by_flips(rows: Sequence[_Sums], alpha: float, resamples: int, seed: int) -> Iterator[_Estimate]:
    stacked = (
        np.stack(columns, axis=1)
        for columns in zip(*((row.totals, row.sizes, row.residuals) for row in rows), strict=True)
    )
    totals, sizes, residuals = stacked
    null, centred = [], []
    for signs in signs_of(len(totals), resamples, seed):
        null.append(squashed(signs, totals, sizes).max(axis=1))
        centred.append(squashed(signs, residuals, sizes).max(axis=1))
    maxima = np.sort(np.concatenate(null))
    observed = squashed(np.ones((1, len(totals))), totals, sizes)[0]
    p_values = (len(maxima) - np.searchsorted(maxima, observed - TIE)) / len(maxima)
    critical = max(critical_value(maxima, alpha), critical_value(np.sort(np.concatenate(centred)), alpha))
    apart = NormalDist().inv_cdf(1 - alpha / 2 / len(rows))
    for row, p_value in zip(rows, map(float, p_values), strict=True):
        if math.isinf(critical):
            # A p value that calls it significant would contradict a verdict that cannot.
            told = p_value if p_value > alpha else None
            yield _Estimate(p_value=told, reason="too few distinct flips of the groups for an interval")
            continue
        # Groups that were not seen are in no flip: their part goes by the normal value, at Bonferroni's level.
        unseen = row.reach**2 - row.standard_error**2
        half = math.sqrt((critical * row.standard_error) ** 2 + apart**2 * unseen)
        low, high = _interval(row.difference or 0.0, half, significant=p_value <= alpha)
        detectable = half + NormalDist().inv_cdf(0.8) * row.reach  # at 80 % power
        reason = "" if row.totals.any() else "no group differs, and a few that do may have been missed"
        yield _Estimate(low, high, p_value, detectable or None, reason)


def _interval(difference: float, half: float, *, significant: bool) -> tuple[float, float]:
    """The interval, its end at zero put where the p value says: c may be above what the test needs, and sums round."""
    low, high = difference - half, difference + half
    if not significant:
        return min(low, 0.0), max(high, 0.0)
    return (max(low, 1e-9 * difference), high) if difference > 0 else (low, min(high, 1e-9 * difference))
