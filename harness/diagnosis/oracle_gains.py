"""Oracle gains: what an oracle in the place of a part would add to the scores of the pipeline.

If the output of the oracle is scored directly (its rankings, or the references it writes), each query gets the better
of both values, because an oracle may always copy the real part. If a real generator reads what an oracle retriever
found, its answers count as they are: they may be worse, and those of another generator may be better.

This module must not know spec, plan, store or report: values by query go in, differences come out. The rankings of the
oracles are made in `values.ideals`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from harness.statistics.stats import Paired, compare
from harness.values.findings import Comparison
from harness.values.insights import Oracle, OracleGain
from harness.values.measures import Measure
from harness.values.records import ScoreColumn


class Substituted(NamedTuple):
    """The values of the pipeline as it is, and with an oracle in the place of a part, on one measure.

    `reranked`: a real reranker orders what the oracle retriever found.
    """

    oracle: Oracle
    measure: Measure
    real: ScoreColumn
    substituted: ScoreColumn
    reranked: bool = False

    @property
    def made_by_oracle(self) -> bool:
        """Whether the scored output is the oracle's own; never with an LLM judge, whose scores may vary."""
        if self.oracle == "without-reranker":
            return False
        return self.measure.is_rank or (self.oracle == "oracle-generator" and not self.measure.is_judged)

    @property
    def nothing_to_gain(self) -> bool:
        """Whether equal scores prove a gain of exactly zero.

        They do if the oracle made what is scored, and if no score can be higher.
        """
        return self.made_by_oracle or all(value == self.measure.kind.high for value in self.real.values())

    @property
    def bound(self) -> bool:
        """Whether no part can gain more than the oracle.

        Answers have no bound: a generator may know what no passage says. Neither has a retriever before a reranker: it
        may leave out documents that mislead the reranker.
        """
        if self.oracle == "without-reranker":
            return False
        return self.measure.is_rank and not (self.oracle == "oracle-retriever" and self.reranked)

    @property
    def best(self) -> ScoreColumn:
        """The values of the pipeline with the oracle."""
        return {query_id: self._better(query_id, value) for query_id, value in self.substituted.items()}

    def _better(self, query_id: str, value: float | None) -> float | None:
        real = self.real.get(query_id)
        return max(value, real) if self.made_by_oracle and value is not None and real is not None else value


def oracle_gains(
    oracles: Sequence[Substituted],
    groups: Mapping[str, str],
    *,
    failure_limit: float = 0.0,
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[OracleGain]:
    """Return the gain of each oracle, with simultaneous intervals by group over all of them.

    Mean and difference are over the queries with a value on both sides. If the share of failures is above
    `failure_limit`, there is no interval. An oracle that changes nothing has the interval [0, 0]. Raises ValueError as
    `stats.compare` does.
    """
    pairs = [
        Paired(
            system=row.oracle,
            measure=row.measure,
            values=row.best,
            baseline=row.real,
            groups=groups,
            same=row.nothing_to_gain,
        )
        for row in oracles
    ]
    rows = compare("exploratory", pairs, failure_limit=failure_limit, alpha=alpha, resamples=resamples, seed=seed)
    return [_oracle_gain(oracle, pair, row) for oracle, pair, row in zip(oracles, pairs, rows, strict=True)]


def _oracle_gain(substituted: Substituted, pair: Paired, row: Comparison) -> OracleGain:
    both = [
        (best, real)
        for key, best in pair.values.items()
        if (real := pair.baseline[key]) is not None and best is not None
    ]
    low = row.low
    if low is not None and substituted.made_by_oracle:
        low = max(low, 0.0)  # the oracle copies the real part where that is better
    return OracleGain(
        oracle=substituted.oracle,
        measure=str(substituted.measure),
        bound=substituted.bound,
        real=fmean(real for _, real in both) if both else None,
        best=fmean(best for best, _ in both) if both else None,
        difference=row.difference,
        low=low,
        high=row.high,
        n_queries=row.n_queries,
        n_groups=row.n_groups,
        detectable=row.detectable,
        reason="no query would get another score" if row.low == row.high == 0 else row.reason,
    )
