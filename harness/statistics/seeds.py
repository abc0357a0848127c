"""Claims about a recipe, from several seeds: not only that this checkpoint gains, but that another training would.

Seeds are crossed with groups of queries, both are samples, and the variance of the mean gain has a part from each
(Clark 1973, J. Verbal Learning 12:335-359, on items and speakers; the readers and cases of Dorfman, Berbaum & Metz
1992, Invest. Radiology 27:723-731). `untuned` is the same in all seeds, so it is inside the differences. With G groups
and S seeds, from the crossed analysis of variance:

* of groups: the cluster variance of the mean over seeds, as in `stats`, less what chance within seeds (the interaction)
  makes of it; where few groups differ it counts some more, also as there;
* of seeds: the variance of the seeds' mean gains over S, which holds that chance.

So chance within seeds counts once, with the seeds. Taken off the seeds and left to the groups it would make narrower
intervals, but the variance of three seeds less an estimate is often nothing, just where it is needed: of 2,500 claims
about recipes that gain nothing, 6 to 9 % were then made where seeds vary, and are 2 to 5 % so.

The half-width is sqrt(t[G-1]^2 * of groups + t[S-1]^2 * of seeds): each part with its own t, which for independent
parts never covers too seldom (Banerjee 1960, Sankhya 22:357-358). One t with the degrees of freedom of Satterthwaite
(1946, Biometrics Bulletin 2:110-114) would be narrower, but three seeds often lie close together by chance, and it
then trusts them: in simulations of seeds that vary much its false alarms were 1.4 times the level, and 4 to 6 times in
the tail that 14 claims need. The levels are Bonferroni's, over the claims that are tested.

This module must not know spec, plan, store or report: paired values by query go in, claims come out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean, stdev
from typing import Any, NamedTuple

import numpy as np

from harness.statistics.flips import with_unseen
from harness.statistics.stats import DECIMALS, Fill, Paired, check, differences, verdict
from harness.values.findings import RecipeClaim

LEAST_SEEDS = 3


class _Crossed(NamedTuple):
    """Gains of the seeds, and what chance does to their mean: its variance by groups of queries and by seeds."""

    gains: tuple[float, ...]
    of_groups: float
    of_seeds: float
    n_queries: int
    n_groups: int

    @property
    def mean(self) -> float:
        return fmean(self.gains)

    def half_width(self, alpha: float) -> float:
        from scipy.special import stdtrit

        groups, seeds = (float(stdtrit(n - 1, 1 - alpha / 2)) for n in (self.n_groups, len(self.gains)))
        return math.sqrt(groups**2 * self.of_groups + seeds**2 * self.of_seeds)

    def p_value(self) -> float:
        """The level at which the interval would just reach zero, by bisection; not below 1e-12."""
        low, high = math.log(1e-12), 0.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            low, high = (middle, high) if self.half_width(math.exp(middle)) > abs(self.mean) else (low, middle)
        return math.exp(high)


class _Estimate(NamedTuple):
    low: float
    high: float
    p_value: float
    detectable: float | None


def recipe_claims(pairs: Sequence[Paired], *, failure_limit: float = 0.0, alpha: float = 0.05) -> list[RecipeClaim]:
    """Return a claim for each (system, measure) that has two seeds or more, with a verdict from three seeds up.

    Gains are those of the queries with a value in every seed and in the baseline. As in `stats.compare`, a verdict
    stands only if failures imputed at either extreme would not change it, and is ``failed`` over `failure_limit`.
    Raises ValueError for what no caller should send: other queries in one seed or on one side, NaN, a negative margin.
    """
    for pair in pairs:
        check(pair)
    families: dict[tuple[str, str], list[Paired]] = {}
    for pair in pairs:
        families.setdefault((pair.system, str(pair.measure)), []).append(pair)
    several = [sorted(family, key=lambda pair: pair.seed) for family in families.values() if len(family) > 1]
    begun = [_begun(family, failure_limit, alpha) for family in several]
    tested = sum(not claim.reason for claim in begun)
    return [
        claim if claim.reason else _judged(claim, family, alpha, tested)
        for claim, family in zip(begun, several, strict=True)
    ]


def _begun(family: Sequence[Paired], failure_limit: float, alpha: float) -> RecipeClaim:
    """The claim without its verdict and, if there can be none that needs a test, with the reason."""
    first, by_seed = family[0], [differences(pair, "drop") for pair in family]
    if odd := [pair.seed for pair in family if pair.values.keys() != first.values.keys()]:
        raise ValueError(f"{first.system}, {first.measure}: seed {odd[0]} has other queries than seed {first.seed}")
    failed = len(first.values) - len(set.intersection(*map(set, by_seed)))
    claim = RecipeClaim(
        system=first.system,
        measure=str(first.measure),
        seeds=tuple(pair.seed for pair in family),
        margin=first.margin,
        failed=failed,
    )
    if failed == len(first.values):
        return claim.model_copy(update={"verdict": "failed", "reason": "no query has a value in every seed"})
    crossed = _crossed(by_seed, first.groups, first.span)
    update = {
        "gains": crossed.gains,
        "difference": crossed.mean,
        "between_seeds": stdev(crossed.gains),
        "n_queries": crossed.n_queries,
        "n_groups": crossed.n_groups,
    }
    same = all(pair.same and not any(found.values()) for pair, found in zip(family, by_seed, strict=True))
    return claim.model_copy(update=update | _untested(crossed, failed, failure_limit, alpha, first.margin, same))


def _untested(
    crossed: _Crossed, failed: int, failure_limit: float, alpha: float, margin: float, same: bool
) -> dict[str, Any]:
    n_queries, n_seeds = crossed.n_queries + failed, len(crossed.gains)
    least = math.ceil(1 - math.log2(alpha))  # the fewest groups that `stats` makes an interval of
    if failed / n_queries > failure_limit:
        limit = f"(limit {failure_limit:.1%})"
        return {"verdict": "failed", "reason": f"{failed} of {n_queries} queries have no value in every seed {limit}"}
    if n_seeds < LEAST_SEEDS:
        return {"reason": f"a claim about a recipe needs at least {LEAST_SEEDS} seeds; here are {n_seeds}"}
    if not failed and same:
        exact = {"low": 0.0, "high": 0.0, "p_value": 1.0, "verdict": verdict(0.0, 0.0, margin)}
        return exact | {"reason": "every seed puts out the same as the baseline"}
    if crossed.n_groups < least:
        return {"verdict": "inconclusive", "reason": f"too few groups for an interval: {crossed.n_groups} of {least}"}
    return {}


def _judged(claim: RecipeClaim, family: Sequence[Paired], alpha: float, tested: int) -> RecipeClaim:
    fills: tuple[Fill, ...] = ("drop", "help", "hurt") if claim.failed else ("drop",)
    groups, span = family[0].groups, family[0].span
    tables = [_crossed([differences(pair, fill) for pair in family], groups, span) for fill in fills]
    estimates = [_estimate(table, alpha, tested) for table in tables]
    found = [verdict(row.low, row.high, claim.margin) for row in estimates]
    update: dict[str, Any] = {**estimates[0]._asdict(), "verdict": found[0]}
    if len(set(found)) > 1:
        update["verdict"] = "inconclusive"
        told = f"{found[0]} without the {claim.failed} failed, {found[1]} with them at best, {found[2]} at worst"
        update["reason"] = told
    return claim.model_copy(update=update)


def _estimate(crossed: _Crossed, alpha: float, tested: int) -> _Estimate:
    half = crossed.half_width(alpha / tested)
    power = NormalDist().inv_cdf(0.8) * math.sqrt(crossed.of_groups + crossed.of_seeds)
    p_value = min(1.0, tested * crossed.p_value())
    return _Estimate(crossed.mean - half, crossed.mean + half, p_value, half + power or None)


def _crossed(by_seed: Sequence[Mapping[str, float]], groups: Mapping[str, str], span: float) -> _Crossed:
    """The crossed analysis of the queries that every seed has; `span` is the largest difference that one can have."""
    queries = sorted(set.intersection(*map(set, by_seed)))
    positions = {name: number for number, name in enumerate(sorted({groups[query] for query in queries}))}
    where = np.asarray([positions[groups[query]] for query in queries], dtype=np.intp)
    columns = [np.bincount(where, weights=np.asarray([found[query] for query in queries])) for found in by_seed]
    totals, sizes = np.round(np.stack(columns, axis=1), DECIMALS), np.bincount(where).astype(np.float64)
    gains = totals.sum(axis=0) / len(queries)
    n_groups, n_seeds = totals.shape
    if n_groups == 1:
        return _Crossed(tuple(map(float, gains)), math.nan, math.nan, len(queries), 1)
    of_group = totals.mean(axis=1)
    within = totals - of_group[:, None] - np.outer(sizes, gains - gains.mean())
    scale = n_groups / (n_groups - 1) / len(queries) ** 2
    by_chance = scale * float((within**2).sum()) / n_seeds / (n_seeds - 1)
    of_groups = scale * float(((of_group - sizes * gains.mean()) ** 2).sum())
    of_groups = with_unseen(of_groups, np.abs(totals).max(axis=1), sizes, span)
    return _Crossed(
        gains=tuple(map(float, gains)),
        of_groups=max(0.0, of_groups - by_chance),
        of_seeds=float(gains.var(ddof=1)) / n_seeds,
        n_queries=len(queries),
        n_groups=n_groups,
    )
