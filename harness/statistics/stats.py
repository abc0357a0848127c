"""Differences of systems to a baseline, with intervals, p values and verdicts that hold for all of them together.

Per-query differences are summed by group (queries about one document are not independent), and the group is the unit
of resampling; `intervals` describes the method and its sources.

This module must not know spec, store or report: values by query go in, comparisons come out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.statistics.intervals import DECIMALS, FlipEstimate, GroupSums, estimates
from harness.text.decimals import percent
from harness.values.findings import Comparison
from harness.values.frozen import Verdict
from harness.values.measures import Measure
from harness.values.records import ScoreColumn

Family = Literal["gain", "regression", "advisory", "exploratory", "untrained", "bm25"]
Fill = Literal["drop", "help", "hurt"]  # what stands for a failure: nothing, or the extreme for or against


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One system against its baseline on one measure.

    `values` and `baseline` hold each query of the measure's population; None is a failure. `groups` has the group of
    each of these queries. `same` says that both sides are made in the same way (`alike.same_runs`), so that a
    difference of zero is exact; equal scores alone do not show that. `scale` is how many times the range of the measure
    a side can have, as a sum of several systems can.
    """

    system: str
    measure: Measure
    values: ScoreColumn
    baseline: ScoreColumn
    groups: Mapping[str, str]
    seed: int = 0
    margin: float = 0.0
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


def compare(
    family: Family,
    pairs: Sequence[Paired],
    *,
    failure_limit: float = 0.0,
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Comparison]:
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
    fills = fills_for(sum(pair.failed for pair in pairs))
    tables = [[sums_by_group(pair, index, fill) for pair in pairs] for fill in fills]
    # What failed takes no part: a broken system with a few values left would widen the intervals of all others.
    failures = [_failure(pair, sums, failure_limit) for pair, sums in zip(pairs, tables[0], strict=True)]
    made = [[None if why else row for row, why in zip(table, failures, strict=True)] for table in tables]
    by_fill = zip(*(estimates(rows, alpha, resamples, seed) for rows in made), strict=True)
    return [_comparison(family, *row) for row in zip(pairs, tables[0], failures, by_fill, strict=True)]


def verdict(low: float, high: float, margin: float) -> Verdict:
    """What the interval of a difference says, given the margin that would matter; the order of the rules counts."""
    if low > 0:
        return "improved"
    if high < 0 and low < -margin:
        return "regressed"
    return "equivalent" if -margin < low and high < margin else "inconclusive"


def fills_for(failed: int) -> tuple[Fill, ...]:
    """The ways of filling in failures under which a verdict must be the same; `verdict_of_fills` compares them."""
    return ("drop", "help", "hurt") if failed else ("drop",)


def verdict_of_fills(by_fill: Sequence[Verdict], failed: int) -> tuple[Verdict, str]:
    """The verdict that holds however the `failed` queries are filled in, and why it is inconclusive if none does.

    `by_fill` is in the order of `fills_for`.
    """
    if len(set(by_fill)) == 1:
        return by_fill[0], ""
    without, best, worst = by_fill
    return "inconclusive", f"{without} without the {failed} failed, {best} with them at best, {worst} at worst"


def _comparison(
    family: Family, pair: Paired, sums: GroupSums, failure: str, by_fill: Sequence[FlipEstimate]
) -> Comparison:
    shown = by_fill[0]
    rows = by_fill if pair.failed else [shown]
    decided, disagreement = verdict_of_fills([verdict(row.low, row.high, pair.margin) for row in rows], pair.failed)
    reason = disagreement or shown.reason
    if failure:
        decided, reason = "failed", failure
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
    if unpaired := sorted(pair.values.keys() ^ pair.baseline.keys()):
        raise ValueError(f"{what}: {len(unpaired)} queries are on one side only, such as {unpaired[0]!r}")
    if ungrouped := sorted(pair.values.keys() - pair.groups.keys()):
        raise ValueError(f"{what}: {len(ungrouped)} queries have no group, such as {ungrouped[0]!r}")
    if not all(map(math.isfinite, pair.present)):
        raise ValueError(f"{what}: a value is not a finite number; a failure is None")
    if not pair.margin >= 0:
        raise ValueError(f"{what}: the margin {pair.margin} is negative")


def _failure(pair: Paired, complete: GroupSums, failure_limit: float) -> str:
    """Why this comparison cannot be made, or nothing. A gate must not pass because there was nothing to measure."""
    if not pair.values:
        return f"no query has a {pair.measure}: nothing was measured"
    if pair.failed / len(pair.values) > failure_limit:
        limit = f"(limit {percent(failure_limit, 1)})"
        return f"{pair.failed} of {len(pair.values)} queries have no value on both sides {limit}"
    return "" if complete.n_queries else "no query has a value on both sides"


def differences(pair: Paired, fill: Fill) -> dict[str, float]:
    """System minus baseline by query: without the failures, or with the extreme that helps or hurts in their place."""
    low, high = pair.ends
    mine, theirs = (high, low) if fill == "help" else (low, high)
    by_query = {}
    for query, value in pair.values.items():
        other = pair.baseline[query]
        if fill != "drop" or not (value is None or other is None):
            by_query[query] = (mine if value is None else value) - (theirs if other is None else other)
    return by_query


def sums_by_group(pair: Paired, index: Mapping[str, int], fill: Fill) -> GroupSums:
    by_query = differences(pair, fill)
    positions = np.asarray([index[pair.groups[query]] for query in by_query], dtype=np.intp)
    totals = np.bincount(positions, weights=np.asarray(list(by_query.values())), minlength=len(index))
    sizes = np.bincount(positions, minlength=len(index)).astype(np.float64)
    same = pair.same and not any(round(value, DECIMALS) for value in by_query.values())
    return GroupSums(np.round(totals, DECIMALS), sizes, pair.span, same)
