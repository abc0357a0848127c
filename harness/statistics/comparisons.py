"""Comparisons between the systems of a suite: gains over `untuned`, effects of a factorial, claims by seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from harness.statistics import effects, seeds, stats
from harness.statistics.alike import answers_only, same_runs
from harness.statistics.effects import Cell, Crossing
from harness.statistics.untrained import ON_DEV, best_untrained
from harness.suite.spec import Suite
from harness.values.effects import Effect, RecipeClaim
from harness.values.findings import Comparison
from harness.values.gains import BestUntrained
from harness.values.measures import Measure
from harness.values.records import Score, ScoreColumn, table_of
from harness.values.systems import UNTUNED, System

ALPHA, RESAMPLES = 0.05, 10_000
DEV = "dev"
"""The split that choices are made on."""

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

    @cached_property
    def best_untrained(self) -> BestUntrained | None:
        """The best system without training, chosen on dev; None if nothing is trained."""
        if not self._trained():
            return None
        measure = next((measure for measure in self.suite.margins if measure.is_rank), None)
        if self.split == DEV:
            return BestUntrained(measure=str(measure or ""), reason=ON_DEV)
        on_dev = {label: table_of(own, DEV).column(str(measure)) for label, own in self.rows.items()}
        return best_untrained(self.systems, measure, on_dev)

    def over_untrained(self) -> list[Comparison]:
        """Compare every trained candidate with the best system without training, as a family of its own.

        Where that is `untuned`, the gains say it already.
        """
        pairs = self._over_untrained()
        if not pairs:
            return []
        limit = self.suite.failure_limit
        return stats.compare("untrained", pairs, failure_limit=limit, alpha=ALPHA, resamples=RESAMPLES)

    def untrained_claims(self) -> list[RecipeClaim]:
        """What several seeds of a candidate say about its recipe against the best system without training."""
        return seeds.recipe_claims(self._over_untrained(), failure_limit=self.suite.failure_limit, alpha=ALPHA)

    def _over_untrained(self) -> list[stats.Paired]:
        best = self.best_untrained.system if self.best_untrained else ""
        return self._pairs(self._trained(), against=best) if best and best != UNTUNED else []

    def _trained(self) -> list[System]:
        return [system for system in self.systems if system.tunes]

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
        return seeds.recipe_claims(self._pairs(self._trained()), failure_limit=self.suite.failure_limit, alpha=ALPHA)

    @cached_property
    def crossing(self) -> Crossing:
        """The design of the suite's factorial; without factors if it has none."""
        design = self.suite.design
        # The combination of all first levels is the pipeline as it is.
        reference = {factor: levels[0] for factor, levels in design.factors.items()}
        designed = Crossing(design.factors, {UNTUNED: reference, **design.systems})
        alone = (
            level
            for system in self.systems
            if answers_only(system) and len(levels := designed.departures(system.name)) == 1
            for level in levels
        )
        return replace(designed, answers_only=frozenset(alone))

    def effects(self) -> list[Effect]:
        """Main effects and interactions of the levels that the suite's factorial names."""
        if len(self.crossing.factors) < 2:
            return []
        tables = {measure: self._cells(measure) for measure in self._gated()}
        # A measure that nothing has a value of was not run, and is said to be so elsewhere.
        tables = {measure: cells for measure, cells in tables.items() if cells}
        groups = {query: group for table in self.tables.values() for query, group in table.groups.items()}
        return effects.effects(
            tables, groups, self.crossing, margins=self._gated(), alpha=ALPHA, resamples=RESAMPLES
        ) if tables else []  # fmt: skip

    def _cells(self, measure: Measure) -> dict[Cell, list[ScoreColumn]]:
        cells: dict[Cell, list[ScoreColumn]] = {}
        for system in self.systems:
            levels = self.crossing.systems.get(system.name)
            values = self.tables[system.label].column(measure)
            if levels is not None and values:
                cells.setdefault(self.crossing.cell(levels), []).append(values)
        return cells

    def _pairs(
        self, systems: Sequence[System], margins: Mapping[Measure, float] | None = None, against: str = UNTUNED
    ) -> list[stats.Paired]:
        """Pair systems with the one called `against`, on each measure that both have scores on."""
        other = next(system for system in self.systems if system.name == against)
        baseline = self.tables[other.label]
        return [
            stats.Paired(
                system=system.name,
                seed=system.seed,
                measure=measure,
                margin=margin,
                values=table.column(measure),
                baseline=baseline.column(measure),
                groups=table.groups,
                same=same_runs(measure, system, other),
            )
            for measure, margin in (self._gated() if margins is None else margins).items()
            for system in systems
            if (table := self.tables[system.label]).column(measure) and baseline.column(measure)
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
