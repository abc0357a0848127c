"""Claims about a recipe, from several seeds: whether another training would gain, not only this checkpoint.

`untuned` is the same in all seeds, so it is inside the differences. Their variance over groups of queries and over
seeds is `crossed.of_gains`, where method and sources are described. Levels are Bonferroni's, over the claims that are
tested.

This module must not know spec, plan, store or report: paired values by query go in, claims come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import stdev
from typing import Any, NamedTuple

import numpy as np

from harness.statistics.crossed import CrossedVariance, group_positions, of_gains
from harness.statistics.intervals import DECIMALS, fewest_groups, too_few_groups
from harness.statistics.stats import Paired, check, differences, fills_for, verdict, verdict_of_fills
from harness.text.decimals import percent
from harness.values.effects import RecipeClaim

LEAST_SEEDS = 3


class _Gains(NamedTuple):
    """The mean gain of each seed over `n_queries`, and the variance of their mean."""

    by_seed: tuple[float, ...]
    n_queries: int
    variance: CrossedVariance


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
    untested = [_untested_claim(family, failure_limit, alpha) for family in several]
    tested = sum(not claim.reason for claim in untested)
    return [
        claim if claim.reason else _tested_claim(claim, family, alpha, tested)
        for claim, family in zip(untested, several, strict=True)
    ]


def _untested_claim(family: Sequence[Paired], failure_limit: float, alpha: float) -> RecipeClaim:
    """The claim without its verdict and, if there can be none that needs a test, with the reason."""
    first, by_seed = family[0], [differences(pair, "drop") for pair in family]
    if others := [pair.seed for pair in family if pair.values.keys() != first.values.keys()]:
        raise ValueError(f"{first.system}, {first.measure}: seed {others[0]} has other queries than seed {first.seed}")
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
    gains = _gains(by_seed, first.groups, first.span)
    update = {
        "gains": gains.by_seed,
        "difference": gains.variance.difference,
        "between_seeds": stdev(gains.by_seed),
        "n_queries": gains.n_queries,
        "n_groups": gains.variance.n_groups,
    }
    same = all(pair.same and not any(row.values()) for pair, row in zip(family, by_seed, strict=True))
    return claim.model_copy(update=update | _without_test(gains, failed, failure_limit, alpha, first.margin, same))


def _without_test(
    gains: _Gains, failed: int, failure_limit: float, alpha: float, margin: float, same: bool
) -> dict[str, Any]:
    n_queries, n_seeds = gains.n_queries + failed, len(gains.by_seed)
    if failed / n_queries > failure_limit:
        limit = f"(limit {percent(failure_limit, 1)})"
        return {"verdict": "failed", "reason": f"{failed} of {n_queries} queries have no value in every seed {limit}"}
    if n_seeds < LEAST_SEEDS:
        return {"reason": f"a claim about a recipe needs at least {LEAST_SEEDS} seeds, got {n_seeds}"}
    if not failed and same:
        exact = {"low": 0.0, "high": 0.0, "p_value": 1.0, "verdict": verdict(0.0, 0.0, margin)}
        return exact | {"reason": "every seed has the same output as the baseline"}
    if gains.variance.n_groups < fewest_groups(alpha):
        return {"verdict": "inconclusive", "reason": too_few_groups(gains.variance.n_groups, alpha)}
    return {}


def _tested_claim(claim: RecipeClaim, family: Sequence[Paired], alpha: float, tested: int) -> RecipeClaim:
    groups, span = family[0].groups, family[0].span
    by_fill = [
        _gains([differences(pair, fill) for pair in family], groups, span).variance.estimate(alpha, tested)
        for fill in fills_for(claim.failed)
    ]
    decided, reason = verdict_of_fills([verdict(row.low, row.high, claim.margin) for row in by_fill], claim.failed)
    update: dict[str, Any] = {**by_fill[0]._asdict(), "verdict": decided, "reason": reason or claim.reason}
    return claim.model_copy(update=update)


def _gains(by_seed: Sequence[Mapping[str, float]], groups: Mapping[str, str], span: float) -> _Gains:
    """Gains on the queries that every seed has; `span` is the largest difference that a query can have."""
    queries = sorted(set.intersection(*map(set, by_seed)))
    where = group_positions(queries, groups)
    columns = [np.bincount(where, weights=np.asarray([row[query] for query in queries])) for row in by_seed]
    totals = np.round(np.stack(columns, axis=1), DECIMALS).astype(np.float64)
    sizes = np.bincount(where).astype(np.float64)
    gains = tuple(map(float, totals.sum(axis=0) / len(queries)))
    return _Gains(gains, len(queries), of_gains(totals, sizes, span))
