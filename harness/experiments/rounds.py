"""Successive halving by itself: how much data each round gives, what the candidates of a round are worth, who goes on.

Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016. Must not
know how candidates are trained or scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.statistics.stats import Paired, compare
from harness.suite.search import Halving
from harness.values.findings import Comparison
from harness.values.measures import Measure

Column = Mapping[str, float | None]
"""Values of one seed by query; None where the score failed."""


def shares(candidates: int, rule: Halving) -> list[float]:
    """Return the share of the training data of each round; the last one is 1."""
    rounds = rule.rounds
    if rounds is None:
        rounds, left = 1, candidates
        while left > 1:
            rounds, left = rounds + 1, go_on(left, rule.eta)
    return [float(rule.eta) ** (place - rounds + 1) for place in range(rounds)]


def go_on(candidates: int, eta: int) -> int:
    """Return how many of a round's candidates go on to the next."""
    return max(1, -(-candidates // eta))


def halved(values: Mapping[str, float | None], eta: int, less_is_better: bool = False) -> tuple[list[str], list[str]]:
    """Rank the candidates of a round, best first, and return them with those that go on.

    Equal ones stay in their order. What has no value is last and goes on: its failure has to be seen in the report.
    """
    sign = 1 if less_is_better else -1
    scored = sorted((name for name in values if values[name] is not None), key=lambda name: sign * (values[name] or 0))
    failed = [name for name in values if values[name] is None]
    return [*scored, *failed], [*scored[: go_on(len(scored), eta)], *failed]


def means(columns: Mapping[str, Sequence[Column]], limit: float) -> dict[str, float | None]:
    """Return the mean of each candidate over its seeds, and over the queries that have a value for all of them.

    A candidate has none if more than the share `limit` of its scores failed. It does not count for the others.
    """
    usable = {name: seeds for name, seeds in columns.items() if _failed_share(seeds) <= limit}
    of_each = [{query for query, value in seed.items() if value is not None} for one in usable.values() for seed in one]
    common = set.intersection(*of_each) if of_each else set[str]()
    found: dict[str, float | None] = dict.fromkeys(columns)
    for name, seeds in usable.items():
        values = [value for seed in seeds for query, value in seed.items() if query in common and value is not None]
        found[name] = fmean(values) if values else None
    return found


def behind(
    columns: Mapping[str, Sequence[Column]], kept: Sequence[str], groups: Mapping[str, str], measure: Measure,
    limit: float,
) -> dict[str, Comparison]:  # fmt: skip
    """Compare each stopped candidate with the last one of `kept` that has a value: means over seeds, by group.

    `kept` are in the order of their ranks. What dev cannot tell apart has an interval that holds 0.
    """
    known = [name for name in kept if _failed_share(columns[name]) <= limit]
    stopped = [name for name in columns if name not in kept]
    if not known or not stopped:
        return {}
    last = _over_seeds(columns[known[-1]])
    pairs = [
        Paired(system=name, measure=measure, values=_over_seeds(columns[name]), baseline=last, groups=groups)
        for name in stopped
    ]
    return {row.system: row for row in compare("exploratory", pairs, failure_limit=limit)}


def _over_seeds(seeds: Sequence[Column]) -> dict[str, float | None]:
    """Return the mean of each query over the seeds; None where one of them failed."""
    found: dict[str, float | None] = {}
    for query in seeds[0]:
        values = [value for seed in seeds if (value := seed.get(query)) is not None]
        found[query] = fmean(values) if len(values) == len(seeds) else None
    return found


def _failed_share(seeds: Sequence[Column]) -> float:
    values = [value for seed in seeds for value in seed.values()]
    return values.count(None) / len(values) if values else 1.0
