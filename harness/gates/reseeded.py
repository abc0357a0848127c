"""The difference between two sets of trainings of one recipe: as accepted, and as it is now.

Another training would have come out otherwise, by as much as trainings of one recipe differ. So the variance of the
difference of means has two parts (the crossed analysis of `seeds`, where the sources are named):

* of seeds: the variance between the mean scores of the seeds, pooled over both sides, times 1/now + 1/accepted. What
  chance within the seeds does to their means is in it;
* of groups: what the change does to some queries and not to others, which is the cluster variance of `stats` less what
  chance within the seeds makes of it, for that is in the other part; where few groups differ it counts some more.

Seeds of the two sides are not matched: what changed may have changed what a seed draws. The half-width is
sqrt(t[S-2]^2 * of seeds + t[G-1]^2 * of groups) with S seeds in all (Banerjee 1960). Where the recipe is the same the
first part alone makes it Student's exact t, however much or little seeds vary; taking chance out of that part instead,
as `seeds` may do for claims of several seeds, made false alarms twice to five times as frequent as they should be. With
fewer than six seeds in all the tails of that t are too heavy to find anything. Levels are Bonferroni's.

This module must not know suites, outcomes or reports: values by seed and query go in, comparisons come out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.statistics.flips import Floats, with_unseen
from harness.statistics.stats import DECIMALS, Fill, verdict
from harness.values.findings import Comparison
from harness.values.measures import Measure

LEAST_SEEDS = 6
NONE_DIFFERS = "no training differs from the accepted ones in any group, and a few that do may have been missed"
Values = Mapping[int, Mapping[str, float | None]]
"""Values by seed and query; None is a failure."""


class Retrained(NamedTuple):
    """Trainings of one recipe, now and as accepted, on one measure."""

    system: str
    measure: Measure
    margin: float
    now: Values
    accepted: Values
    groups: Mapping[str, str]

    @property
    def queries(self) -> list[str]:
        return sorted(next(iter(self.now.values())))

    @property
    def complete(self) -> list[str]:
        """The queries with a value in every training."""
        sides = (*self.now.values(), *self.accepted.values())
        return [query for query in self.queries if all(side[query] is not None for side in sides)]


class _Crossed(NamedTuple):
    difference: float
    of_groups: float
    of_seeds: float
    n_groups: int
    freedom: int
    differ: int

    def half_width(self, alpha: float) -> float:
        from scipy.special import stdtrit

        groups, seeds = (float(stdtrit(n, 1 - alpha / 2)) for n in (self.n_groups - 1, self.freedom))
        return math.sqrt(groups**2 * self.of_groups + seeds**2 * self.of_seeds)

    def p_value(self) -> float:
        """The level at which the interval would just reach zero, by bisection; not below 1e-12."""
        low, high = math.log(1e-12), 0.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            low, high = (middle, high) if self.half_width(math.exp(middle)) > abs(self.difference) else (low, middle)
        return math.exp(high)


def enough(now: int, accepted: int) -> bool:
    """Whether so many seeds on each side can speak of the recipe: three and three, or five and one."""
    return min(now, accepted) > 0 and now + accepted >= LEAST_SEEDS


def recheck(pairs: Sequence[Retrained], *, failure_limit: float = 0.0, alpha: float = 0.05) -> list[Comparison]:
    """Compare the trainings of each recipe; intervals and p values hold for all of them together.

    Each needs `enough` seeds and the same queries in all. The seed shown is the first of those now. As in
    `stats.compare`, a verdict stands only if failures imputed at either extreme would not change it.
    """
    return [_compared(pair, failure_limit, alpha, len(pairs)) for pair in pairs]


def _compared(pair: Retrained, failure_limit: float, alpha: float, tested: int) -> Comparison:
    complete, all_queries = pair.complete, pair.queries
    failed = len(all_queries) - len(complete)
    blank = Comparison(
        family="regression", system=pair.system, seed=min(pair.now), measure=str(pair.measure), difference=None,
        low=None, high=None, p_value=None, margin=pair.margin, detectable=None, n_queries=len(complete),
        n_groups=len({pair.groups[query] for query in complete}), failed=failed, verdict="inconclusive",
    )  # fmt: skip
    if not complete or failed / len(all_queries) > failure_limit:
        why = f"{failed} of {len(all_queries)} queries have no value in every training (limit {failure_limit:.1%})"
        return blank.model_copy(update={"verdict": "failed", "reason": why})
    found = _crossed(pair, "drop")
    least = math.ceil(1 - math.log2(alpha))  # the fewest groups that `stats` makes an interval of
    if found.n_groups < least:
        why = f"too few groups for an interval: {found.n_groups} of {least}"
        return blank.model_copy(update={"difference": found.difference, "reason": why})
    return blank.model_copy(update=_estimated(found, pair, failed, alpha / tested, tested))


def _estimated(found: _Crossed, pair: Retrained, failed: int, alpha: float, tested: int) -> dict[str, object]:
    fills: tuple[Fill, ...] = ("drop", "help", "hurt") if failed else ("drop",)
    judged = []
    for fill in fills:
        table = _crossed(pair, fill)
        half = table.half_width(alpha)
        judged.append(verdict(table.difference - half, table.difference + half, pair.margin))
    half = found.half_width(alpha)
    power = NormalDist().inv_cdf(0.8) * math.sqrt(found.of_groups + found.of_seeds)
    update: dict[str, object] = {
        "difference": found.difference, "low": found.difference - half, "high": found.difference + half,
        "p_value": min(1.0, tested * found.p_value()), "detectable": half + power or None,
        "verdict": judged[0], "reason": "" if found.differ else NONE_DIFFERS,
    }  # fmt: skip
    if len(set(judged)) > 1:
        told = f"{judged[0]} without the {failed} failed, {judged[1]} with them at best, {judged[2]} at worst"
        update |= {"verdict": "inconclusive", "reason": told}
    return update


def _crossed(pair: Retrained, fill: Fill) -> _Crossed:
    """The analysis over the complete queries, or over all with the extremes in the place of failures."""
    queries = pair.complete if fill == "drop" else pair.queries
    positions = {name: number for number, name in enumerate(sorted({pair.groups[query] for query in queries}))}
    where = np.asarray([positions[pair.groups[query]] for query in queries], dtype=np.intp)
    low, high = _extremes(pair)
    mine, theirs = (high, low) if fill == "help" else (low, high)
    sides = [
        np.stack([_by_group(row, queries, where, extreme) for _, row in sorted(side.items())])
        for side, extreme in ((pair.now, mine), (pair.accepted, theirs))
    ]
    sizes = np.bincount(where).astype(np.float64)
    n_queries, n_groups = len(queries), len(sizes)
    totals = np.round(sides[0].mean(axis=0) - sides[1].mean(axis=0), DECIMALS)
    difference = float(totals.sum() / n_queries)
    if n_groups == 1:
        return _Crossed(difference, math.nan, math.nan, 1, 1, 1)
    scale = n_groups / (n_groups - 1) / n_queries**2
    spreads = [_spread(side, sizes, scale) for side in sides]
    freedom = sum(len(side) for side in sides) - 2
    each = sum(1 / len(side) for side in sides)
    between, by_chance = (sum(column) / freedom * each for column in zip(*spreads, strict=True))
    of_groups = scale * float((np.round(totals - sizes * difference, DECIMALS) ** 2).sum())
    apart = np.max([np.abs(totals), *(np.ptp(side, axis=0) for side in sides)], axis=0)
    of_groups, differ = with_unseen(of_groups, apart, sizes, high - low), int(np.count_nonzero(apart))
    return _Crossed(difference, max(0.0, of_groups - by_chance), between, n_groups, freedom, differ)


def _spread(side: Floats, sizes: Floats, scale: float) -> tuple[float, float]:
    """Sums of squares of one side, seeds by groups: between the means of its seeds, and what chance makes of them."""
    apart = np.round((side - side.mean(axis=0)).sum(axis=1) / sizes.sum(), DECIMALS)
    within = np.round(side - side.mean(axis=0) - np.outer(apart, sizes), DECIMALS)
    return float((apart**2).sum()), scale * float((within**2).sum())


def _by_group(
    row: Mapping[str, float | None], queries: Sequence[str], where: NDArray[np.intp], extreme: float
) -> Floats:
    values = [extreme if (value := row[query]) is None else value for query in queries]
    return np.bincount(where, weights=np.asarray(values)).astype(np.float64)


def _extremes(pair: Retrained) -> tuple[float, float]:
    sides = (*pair.now.values(), *pair.accepted.values())
    present = [value for row in sides for value in row.values() if value is not None]
    kind = pair.measure.kind
    return min([kind.low, *present]), max([kind.high, *present])
