"""Comparisons between the systems of a suite: gains over `untuned`, effects of a factorial, claims by seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from harness.statistics import effects, seeds, stats
from harness.statistics.alike import same_runs
from harness.suite.spec import Suite, combinations_of
from harness.values.findings import Comparison, Effect, RecipeClaim
from harness.values.measures import Measure
from harness.values.records import Score
from harness.values.systems import UNTUNED, System

ALPHA, RESAMPLES = 0.05, 10_000

Rows = Mapping[str, Sequence[Score]]
"""Score rows by the label of the system."""


def values_of(rows: Sequence[Score], measure: str, split: str) -> dict[str, float | None]:
    """Values of a measure by query, over its population; None where the score failed."""
    return {
        row.query_id: row.value
        for row in rows
        if row.measure == measure and row.split == split and row.status != "not_applicable"
    }


class Comparisons:
    """All comparisons between systems, on the gated measures of a suite.

    Measures in `uncalibrated` rest on a judge that is not calibrated, and are advisory whatever the suite says.
    """

    def __init__(self, suite: Suite, systems: Sequence[System], rows: Rows, uncalibrated: Collection[str] = ()) -> None:
        self.suite, self.systems, self.rows, self.uncalibrated = suite, systems, rows, uncalibrated
        self.split = suite.evaluate.split

    def gains(self) -> list[Comparison]:
        """Compare every deployable system with `untuned`, on every gated measure, as one family."""
        pairs = self.deployable()
        if not pairs:
            return []
        limit = self.suite.failure_limit
        return stats.compare("gain", pairs, failure_limit=limit, alpha=ALPHA, resamples=RESAMPLES)

    def deployable(self) -> list[stats.Paired]:
        """Pair every deployable system with `untuned`, on every gated measure."""
        return self._pairs(self._deployable())

    def _deployable(self) -> list[System]:
        return [system for system in self.systems if system.name != UNTUNED and not system.is_bound]

    def advisory(self) -> list[Comparison]:
        """What LLMs judged, against `untuned`, on the questions that both answered: a family of its own."""
        judged = {measure: 0.0 for measure in self.suite.measures if measure.is_judged}
        pairs = [_on_common(pair) for pair in self._pairs(self._deployable(), judged | self._uncalibrated())]
        pairs = [pair for pair in pairs if pair.values]
        if not pairs:
            return []
        limit = self.suite.failure_limit
        return stats.compare("advisory", pairs, failure_limit=limit, alpha=ALPHA, resamples=RESAMPLES)

    def _uncalibrated(self) -> dict[Measure, float]:
        """Gated measures that a judge decides who is not calibrated."""
        return {measure: margin for measure, margin in self.suite.margins.items() if str(measure) in self.uncalibrated}

    def _gated(self) -> dict[Measure, float]:
        return {
            measure: margin for measure, margin in self.suite.margins.items() if str(measure) not in self.uncalibrated
        }

    def claims(self) -> list[RecipeClaim]:
        """What several seeds of a candidate say about its recipe."""
        candidates = [system for system in self.systems if system.role == "candidate"]
        return seeds.recipe_claims(self._pairs(candidates), failure_limit=self.suite.failure_limit, alpha=ALPHA)

    def effects(self) -> list[Effect]:
        """Main effects and interactions of the parts that the suite's factorial names."""
        factors = self.suite.factorial
        if len(factors) < 2:
            return []
        tables = {measure: self._cells(measure) for measure in self._gated()}
        # A measure that nothing has a value of was not run, and is said to be so elsewhere.
        tables = {measure: cells for measure, cells in tables.items() if cells}
        groups = {row.query_id: row.group for rows in self.rows.values() for row in rows if row.split == self.split}
        return effects.effects(
            tables, groups, factors, margins=self._gated(), alpha=ALPHA, resamples=RESAMPLES
        ) if tables else []  # fmt: skip

    def _cells(self, measure: Measure) -> dict[frozenset[str], list[dict[str, float | None]]]:
        cells: dict[frozenset[str], list[dict[str, float | None]]] = {}
        names = combinations_of(self.suite.factorial)
        for system in self.systems:
            if system.name == UNTUNED or system.name in names:
                values = self._values(system, measure)
                if values:
                    cells.setdefault(frozenset(system.tunes), []).append(values)
        return cells

    def _pairs(self, systems: Sequence[System], margins: Mapping[Measure, float] | None = None) -> list[stats.Paired]:
        untuned = next(system for system in self.systems if system.name == UNTUNED)
        found = []
        for measure, margin in (self._gated() if margins is None else margins).items():
            baseline = self._values(untuned, measure)
            for system in systems:
                values = self._values(system, measure)
                if values:
                    groups = {row.query_id: row.group for row in self.rows[system.label]}
                    same = same_runs(measure, system.tunes)
                    found.append(
                        stats.Paired(system.name, system.seed, measure, margin, values, baseline, groups, same)
                    )
        return found

    def _values(self, system: System, measure: Measure) -> dict[str, float | None]:
        return values_of(self.rows[system.label], str(measure), self.split)


def _on_common(pair: stats.Paired) -> stats.Paired:
    """The pair on the queries that both systems have a score or a failure for; better is always more."""
    common = pair.values.keys() & pair.baseline.keys()
    kind = pair.measure.kind

    def better(value: float | None) -> float | None:
        return kind.low + kind.high - value if value is not None and kind.better == "lower" else value

    values, baseline = (
        {query_id: better(value) for query_id, value in side.items() if query_id in common}
        for side in (pair.values, pair.baseline)
    )
    return pair._replace(values=values, baseline=baseline)
