"""Headroom by substitution: what an ideal part in the place of the real one would buy.

Where what the ideal part makes is scored as it is (its lists, or the references it writes), it is given the better of
both values for each question, since an ideal part may always do as the real one does. Where a real generator reads what
an ideal retriever found, its answers count as they are: they may be worse, and another generator's may be better.

This module must not know spec, plan, store or report: values by query go in, differences come out. The lists of ideal
parts are made in `ideals`.
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
    """The pipeline as it is, and with an ideal part, on one measure.

    `reranked`: a real reranker orders what the ideal retriever found.
    """

    ideal: Oracle
    measure: Measure
    real: ScoreColumn
    substituted: ScoreColumn
    reranked: bool = False

    @property
    def made_by_ideal(self) -> bool:
        """Whether the ideal part itself made what is scored. What an LLM judges is never sure to score the same."""
        if self.ideal == "without-reranker":
            return False
        return self.measure.is_rank or (self.ideal == "ideal-generator" and not self.measure.is_judged)

    @property
    def nothing_to_gain(self) -> bool:
        """Whether scores that are all equal say that all these questions had what is ideal before.

        They do where the ideal part itself makes what is scored, and where no score could be higher. What they leave to
        gain is nothing then, whatever other questions would.
        """
        return self.made_by_ideal or all(value == self.measure.kind.high for value in self.real.values())

    @property
    def bound(self) -> bool:
        """Whether no part can buy more.

        A generator may know what no passage says, and a retriever may leave out what misleads the reranker after it.
        """
        if self.ideal == "without-reranker":
            return False
        return self.measure.is_rank and not (self.ideal == "ideal-retriever" and self.reranked)

    @property
    def best(self) -> ScoreColumn:
        """The values of the pipeline with the ideal part."""
        return {query_id: self._better(query_id, value) for query_id, value in self.substituted.items()}

    def _better(self, query_id: str, value: float | None) -> float | None:
        real = self.real.get(query_id)
        return max(value, real) if self.made_by_ideal and value is not None and real is not None else value


def oracle_gains(
    ideals: Sequence[Substituted],
    groups: Mapping[str, str],
    *,
    failure_limit: float = 0.0,
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[OracleGain]:
    """Return what each ideal part would buy, with intervals by group that hold for all of them together.

    Means and difference are those of the questions with a value on both sides; with a share of failures over
    `failure_limit` there is no interval. An ideal part that changes nothing has exactly 0, from 0 to 0. Raises
    ValueError as `stats.compare` does.
    """
    pairs = [
        Paired(
            system=one.ideal,
            measure=one.measure,
            values=one.best,
            baseline=one.real,
            groups=groups,
            same=one.nothing_to_gain,
        )
        for one in ideals
    ]
    rows = compare("exploratory", pairs, failure_limit=failure_limit, alpha=alpha, resamples=resamples, seed=seed)
    return [_headroom(one, pair, row) for one, pair, row in zip(ideals, pairs, rows, strict=True)]


def _headroom(one: Substituted, pair: Paired, row: Comparison) -> OracleGain:
    both = [
        (best, real)
        for key, best in pair.values.items()
        if (real := pair.baseline[key]) is not None and best is not None
    ]
    low = row.low
    if low is not None and one.made_by_ideal:
        low = max(low, 0.0)  # no question can lose
    return OracleGain(
        ideal=one.ideal,
        measure=str(one.measure),
        bound=one.bound,
        real=fmean(real for _, real in both) if both else None,
        best=fmean(best for best, _ in both) if both else None,
        difference=row.difference,
        low=low,
        high=row.high,
        n_queries=row.n_queries,
        n_groups=row.n_groups,
        detectable=row.detectable,
        reason="no question would score otherwise" if row.low == row.high == 0 else row.reason,
    )
