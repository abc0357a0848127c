"""Comparisons between the systems of a suite: gains over `untuned`, effects of a factorial, claims by seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from harness.statistics import effects, seeds, stats
from harness.statistics.alike import same_runs
from harness.suite.spec import Suite
from harness.values.findings import Comparison, Effect, RecipeClaim
from harness.values.measures import Measure
from harness.values.records import Score, ScoreColumn, table_of
from harness.values.systems import UNTUNED, System

ALPHA, RESAMPLES = 0.05, 10_000

Rows = Mapping[str, Sequence[Score]]
"""Score rows by the label of the system."""


def values_of(rows: Sequence[Score], measure: str, split: str) -> ScoreColumn:
    """Values of a measure by query, over its population; None where the score failed."""
    return table_of(rows, split).column(measure)


class Comparisons:
    """All comparisons between systems, on the gated measures of a suite.

    Measures in `uncalibrated` rest on a judge that is not calibrated, and are advisory whatever the suite says.
    """

    def __init__(self, suite: Suite, systems: Sequence[System], rows: Rows, uncalibrated: Collection[str] = ()) -> None:
        self.suite, self.systems, self.rows, self.uncalibrated = suite, systems, rows, uncalibrated
        self.split = suite.evaluate.split
        self.tables = {label: table_of(own, self.split) for label, own in rows.items()}

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
        factors = tuple(self.suite.factorial)
        if len(factors) < 2 or any(len(levels) > 2 for levels in self.suite.factorial.values()):
            return []
        tables = {measure: self._cells(measure) for measure in self._gated()}
        # A measure that nothing has a value of was not run, and is said to be so elsewhere.
        tables = {measure: cells for measure, cells in tables.items() if cells}
        groups = {query: group for table in self.tables.values() for query, group in table.groups.items()}
        return effects.effects(
            tables, groups, factors, margins=self._gated(), alpha=ALPHA, resamples=RESAMPLES
        ) if tables else []  # fmt: skip

    def _cells(self, measure: Measure) -> dict[frozenset[str], list[ScoreColumn]]:
        cells: dict[frozenset[str], list[ScoreColumn]] = {}
        design = self.suite.design
        for system in self.systems:
            if system.name == UNTUNED or system.name in design.systems:
                levels = design.systems.get(system.name, {})
                values = self.tables[system.label].column(measure)
                if values:
                    changed = (factor for factor, level in levels.items() if level != design.factors[factor][0])
                    cells.setdefault(frozenset(changed), []).append(values)
        return cells

    def _pairs(self, systems: Sequence[System], margins: Mapping[Measure, float] | None = None) -> list[stats.Paired]:
        untuned = self.tables[next(system.label for system in self.systems if system.name == UNTUNED)]
        return [
            stats.Paired(
                system=system.name,
                seed=system.seed,
                measure=measure,
                margin=margin,
                values=table.column(measure),
                baseline=untuned.column(measure),
                groups=table.groups,
                same=same_runs(measure, system.tunes),
            )
            for measure, margin in (self._gated() if margins is None else margins).items()
            for system in systems
            if (table := self.tables[system.label]).column(measure)
        ]


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
    return replace(pair, values=values, baseline=baseline)
