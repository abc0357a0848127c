"""The difference between two sets of trainings of one recipe: as accepted, and as it is now.

Another training would have come out otherwise, by as much as trainings of one recipe differ. So the variance of the
difference of means has two parts (`crossed.of_retraining`, where method and sources are described):

* of seeds: the variance between the mean scores of the seeds, pooled over both sides, times 1/now + 1/accepted. What
  chance within the seeds does to their means is in it;
* of groups: what the change does to some queries and not to others, which is the cluster variance of `stats` less what
  chance within the seeds makes of it, for that is in the other part; where few groups differ it counts some more.

Seeds of the two sides are not matched: what changed may have changed what a seed draws. Where the recipe is the same
the part of the seeds alone makes the interval Student's exact t, however much or little seeds vary; taking chance out
of that part instead made false alarms two to five times as frequent as they should be. With fewer than six seeds in all
the tails of that t are too heavy to find anything. Levels are Bonferroni's.

This module must not know suites, outcomes or reports: values by seed and query go in, comparisons come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.statistics.crossed import CrossedVariance, group_positions, of_retraining
from harness.statistics.flips import Floats
from harness.statistics.intervals import fewest_groups, too_few_groups
from harness.statistics.stats import Fill, fills_for, verdict, verdict_of_fills
from harness.text.decimals import percent
from harness.values.findings import Comparison
from harness.values.measures import Measure
from harness.values.records import ScoreColumn

LEAST_SEEDS = 6
NONE_DIFFERS = (
    "no training differs from the accepted ones in any group; the interval allows for a few that this sample missed"
)


class Retrained(NamedTuple):
    """Trainings of one recipe, now and as accepted, on one measure: a column of scores for each seed."""

    system: str
    measure: Measure
    margin: float
    now: Mapping[int, ScoreColumn]
    accepted: Mapping[int, ScoreColumn]
    groups: Mapping[str, str]

    @property
    def queries(self) -> list[str]:
        return sorted(next(iter(self.now.values())))

    @property
    def complete(self) -> list[str]:
        """The queries with a value in every training."""
        sides = (*self.now.values(), *self.accepted.values())
        return [query for query in self.queries if all(side[query] is not None for side in sides)]


def enough(now: int, accepted: int) -> bool:
    """Return whether these numbers of seeds allow a claim about the recipe: three and three, or five and one."""
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
        family="regression",
        system=pair.system,
        seed=min(pair.now),
        measure=str(pair.measure),
        difference=None,
        low=None,
        high=None,
        p_value=None,
        margin=pair.margin,
        detectable=None,
        n_queries=len(complete),
        n_groups=len({pair.groups[query] for query in complete}),
        failed=failed,
        verdict="inconclusive",
    )
    if not complete or failed / len(all_queries) > failure_limit:
        limit = f"(limit {percent(failure_limit, 1)})"
        why = f"{failed} of {len(all_queries)} queries have no value in every training {limit}"
        return blank.model_copy(update={"verdict": "failed", "reason": why})
    variance = _variance(pair, "drop")
    if variance.n_groups < fewest_groups(alpha):
        update = {"difference": variance.difference, "reason": too_few_groups(variance.n_groups, alpha)}
        return blank.model_copy(update=update)
    by_fill = [_variance(pair, fill).estimate(alpha, tested) for fill in fills_for(failed)]
    decided, disagreement = verdict_of_fills([verdict(row.low, row.high, pair.margin) for row in by_fill], failed)
    reason = disagreement or ("" if variance.differing else NONE_DIFFERS)
    found = by_fill[0]._asdict() | {"difference": variance.difference, "verdict": decided, "reason": reason}
    return blank.model_copy(update=found)


def _variance(pair: Retrained, fill: Fill) -> CrossedVariance:
    """The analysis over the complete queries, or over all with the extremes in the place of failures."""
    queries = pair.complete if fill == "drop" else pair.queries
    where = group_positions(queries, pair.groups)
    low, high = _extremes(pair)
    mine, theirs = (high, low) if fill == "help" else (low, high)
    now, accepted = (
        np.stack([_by_group(row, queries, where, extreme) for _, row in sorted(side.items())])
        for side, extreme in ((pair.now, mine), (pair.accepted, theirs))
    )
    return of_retraining(now, accepted, np.bincount(where).astype(np.float64), high - low)


def _by_group(row: ScoreColumn, queries: Sequence[str], where: NDArray[np.intp], extreme: float) -> Floats:
    values = [extreme if (value := row[query]) is None else value for query in queries]
    return np.bincount(where, weights=np.asarray(values)).astype(np.float64)


def _extremes(pair: Retrained) -> tuple[float, float]:
    sides = (*pair.now.values(), *pair.accepted.values())
    present = [value for row in sides for value in row.values() if value is not None]
    kind = pair.measure.kind
    return min([kind.low, *present]), max([kind.high, *present])
