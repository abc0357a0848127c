"""Effects of a factorial: the gain of each level of a factor, and whether the gains of two add up or absorb each other.

A factor has levels, the first of which is its reference; a cell is a combination of one level of each factor. Every
effect is a contrast: a mean of cells minus a mean of cells, per query, times a scale (Box, Hunter & Hunter 2005,
Statistics for Experimenters, chapter 5; comparisons with a reference level). A main effect averages "this level minus
the reference" over all levels of the other factors; an interaction is the gain of a level where another factor is at
its level minus the gain where that is at its reference; a simple effect is one of those two gains. All contrasts of a
call are one family for `stats.compare`: their intervals hold together, clustered by group.

This module must not know spec, plan, store or report: values by query go in, effects come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean
from typing import Literal, NamedTuple

from harness.statistics.intervals import DECIMALS
from harness.statistics.stats import Paired, compare, verdict
from harness.values.effects import Effect, Finding
from harness.values.findings import Comparison
from harness.values.measures import Measure
from harness.values.records import ScoreColumn

Cell = tuple[str, ...]
"""A level of each factor, in the order of the factors."""
Cells = Mapping[Cell, Sequence[ScoreColumn]]
"""The scores of each seed, by cell (one seed where nothing is trained)."""
Level = tuple[str, str]
"""A factor, and one of its levels that is not the reference."""


@dataclass(frozen=True)
class Crossing:
    """A factorial design: the levels of each factor, the reference first, and the system of each cell by its name.

    `answers_only` holds the levels that change no run, only what is answered. Raises ValueError for a level that no
    factor has.
    """

    factors: Mapping[str, tuple[str, ...]]
    systems: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    answers_only: frozenset[Level] = frozenset()

    def __post_init__(self) -> None:
        for name, levels in self.systems.items():
            for factor, level in levels.items():
                if level not in self.factors.get(factor, ()):
                    raise ValueError(f"{name}: {factor}={level} is no level of this factorial")

    @property
    def reference(self) -> Cell:
        """The cell in which every factor is at its reference."""
        return tuple(levels[0] for levels in self.factors.values())

    @property
    def levels(self) -> list[Level]:
        """Every level but the references, factor by factor."""
        return [(factor, level) for factor, levels in self.factors.items() for level in levels[1:]]

    def cell(self, levels: Mapping[str, str]) -> Cell:
        """Return the cell with these levels; a factor that is not named is at its reference."""
        return tuple(levels.get(factor, own[0]) for factor, own in self.factors.items())

    def departures(self, name: str) -> tuple[Level, ...]:
        """Return the levels of a system that are not the reference; none if it has no place in the design."""
        mine = self.systems.get(name, {})
        return tuple(level for level in self.levels if mine.get(level[0]) == level[1])

    def name(self, cell: Cell) -> str:
        """Return the name of the system of a cell, or its levels where no system is known by name."""
        known = (name for name, levels in self.systems.items() if self.cell(levels) == cell)
        return next(known, ", ".join(f"{factor}={level}" for factor, level in zip(self.factors, cell, strict=True)))


class _Contrast(NamedTuple):
    """What varies, and the levels at which other factors are held; the rest is averaged over."""

    kind: Literal["main", "interaction", "simple"]
    varied: tuple[Level, ...]
    given: tuple[Level, ...] = ()
    without: tuple[str, ...] = ()

    def weights(self, crossing: Crossing) -> dict[Cell, float]:
        """Return the nonzero weight of each cell; the positive ones sum to the scale."""
        weights: dict[Cell, float] = {(): 1.0}
        for factor, levels in crossing.factors.items():
            by_level = self._by_level(factor, levels)
            weights = {
                (*cell, level): weight * own for cell, weight in weights.items() for level, own in by_level.items()
            }
        return weights

    def _by_level(self, factor: str, levels: Sequence[str]) -> dict[str, float]:
        if factor in self.without:
            return {levels[0]: 1.0}
        if given := dict(self.given).get(factor):
            return {given: 1.0}
        if varied := dict(self.varied).get(factor):
            return {levels[0]: -1.0, varied: 1.0}
        return dict.fromkeys(levels, 1 / len(levels))

    def named(self) -> dict[str, object]:
        """Return the fields of an effect that describe the contrast."""
        (parts, levels), (given, given_levels) = _apart(self.varied), _apart(self.given)
        fields = {"parts": parts, "levels": levels, "given": given, "given_levels": given_levels}
        return {"kind": self.kind, "without": self.without, **fields}


def _apart(levels: Sequence[Level]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(factor for factor, _ in levels), tuple(level for _, level in levels)


def effects(
    cells_by_measure: Mapping[Measure, Cells],
    groups: Mapping[str, str],
    crossing: Crossing,
    *,
    margins: Mapping[Measure, float],
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Effect]:
    """Return all effects of a factorial on each measure; intervals and p values hold for all of them together.

    An effect is computed on the queries that have a value in every cell that has any; the others are counted as failed.
    A query's value is its mean over the seeds of a cell; it failed if it failed with any seed. The interactions of a
    level that changes no value of any query are left out. An effect that needs a cell without values is not computed,
    and its reason names the cell. Raises ValueError for a cell with a level that no factor has, and as `stats.compare`
    does.
    """
    tables = {measure: _Table(cells, crossing) for measure, cells in cells_by_measure.items()}
    rows = [(measure, contrast) for measure, table in tables.items() for contrast in table.contrasts()]
    sides = {row: tables[row[0]].paired(row[1], row[0], margins.get(row[0], 0.0), groups) for row in rows}
    pairs = [pair for pair in sides.values() if not isinstance(pair, str)]
    compared = iter(compare("gain", pairs, alpha=alpha, resamples=resamples, seed=seed))
    results = []
    for (measure, contrast), pair in sides.items():
        about = {"measure": str(measure), "margin": margins.get(measure, 0.0)}
        effect = Effect.model_validate(contrast.named() | about)
        failed = tables[measure].failed
        if isinstance(pair, str):
            results.append(effect.model_copy(update={"failed": failed, "reason": pair}))
        else:
            inert = pair.same and pair.values == pair.baseline
            results.append(_effect(effect, next(compared), failed, inert=inert))
    return _with_shares(results)


class _Table:
    """The cells of one measure: means over seeds, on the queries with a value in every cell that has any."""

    def __init__(self, cells: Cells, crossing: Crossing) -> None:
        levels = tuple(crossing.factors.values())
        for cell in cells:
            if len(cell) != len(levels) or any(level not in own for level, own in zip(cell, levels, strict=True)):
                raise ValueError(f"{', '.join(cell)} is no combination of this factorial")
        means = {cell: _over_seeds(seeds) for cell, seeds in cells.items()}
        population = set().union(*means.values())
        self.crossing = crossing
        self.cells = {cell: values for cell, values in means.items() if any(v is not None for v in values.values())}
        self.queries = sorted(q for q in population if all(v.get(q) is not None for v in self.cells.values()))
        self.failed = len(population) - len(self.queries)

    def contrasts(self) -> Iterator[_Contrast]:
        """Main effects, then interactions, then the gain of each level without and with each other one."""
        yield from (_Contrast("main", (level,)) for level in self.crossing.levels)
        active = [level for level in self.crossing.levels if not self._inert(*level)]
        pairs = [pair for pair in combinations(active, 2) if pair[0][0] != pair[1][0]]
        yield from (_Contrast("interaction", pair) for pair in pairs)
        # A level has one gain without another factor, however many levels that has.
        yield from dict.fromkeys(_simple(pairs))

    def paired(self, contrast: _Contrast, measure: Measure, margin: float, groups: Mapping[str, str]) -> Paired | str:
        """Return the two sides of a contrast as a pair to compare, or the reason why there is none."""
        weights = contrast.weights(self.crossing)
        if missing := [self.crossing.name(cell) for cell in weights if cell not in self.cells]:
            return f"no scores of {', '.join(missing)}"
        if not self.queries:
            return "no query has a value in every combination"
        plus, minus = (
            {
                query: self._sum({cell: sign * w for cell, w in weights.items() if sign * w > 0}, query)
                for query in self.queries
            }
            for sign in (1, -1)
        )
        return Paired(
            system=" ".join(factor for factor, _ in contrast.varied),
            measure=measure,
            margin=margin,
            values=plus,
            baseline=minus,
            groups=groups,
            same=measure.is_rank and self.crossing.answers_only.issuperset(contrast.varied),
            scale=math.fsum(weight for weight in weights.values() if weight > 0),
        )

    def _sum(self, weights: Mapping[Cell, float], query: str) -> float:
        return sum(weight * (self.cells[cell][query] or 0.0) for cell, weight in weights.items())

    def _inert(self, factor: str, level: str) -> bool:
        """Return whether a level changes no value of any query against its reference, whatever the other levels."""
        place, reference = list(self.crossing.factors).index(factor), self.crossing.factors[factor][0]
        pairs = [
            (before, cell)
            for cell in self.cells
            if cell[place] == level and (before := (*cell[:place], reference, *cell[place + 1 :])) in self.cells
        ]
        return bool(pairs) and all(
            self.cells[before][query] == self.cells[after][query] for before, after in pairs for query in self.queries
        )


def _simple(pairs: Sequence[tuple[Level, Level]]) -> Iterator[_Contrast]:
    for pair in pairs:
        for level, other in (pair, pair[::-1]):
            yield _Contrast("simple", (level,), without=(other[0],))
            yield _Contrast("simple", (level,), given=(other,))


def _over_seeds(seeds: Sequence[ScoreColumn]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for query in set().union(*seeds):
        values = [by_query.get(query) for by_query in seeds]
        known = [value for value in values if value is not None]
        means[query] = round(fmean(known), DECIMALS) if len(known) == len(values) else None
    return means


def _effect(effect: Effect, row: Comparison, failed: int, *, inert: bool) -> Effect:
    names = ("difference", "low", "high", "p_value", "n_queries", "n_groups")
    finding = "changes nothing" if inert and effect.kind != "interaction" else _finding(effect, row)
    update = {name: getattr(row, name) for name in names} | {"failed": failed, "finding": finding}
    return effect.model_copy(update=update | {"reason": "" if row.low == row.high == 0 else row.reason})


def _finding(effect: Effect, row: Comparison) -> Finding:
    """Return the verdict in the terms of effects; below zero it does not depend on the margin."""
    if row.low is None or row.high is None:
        return "could not tell"
    two = effect.kind == "interaction"
    if row.high < 0:
        return "absorb" if two else "takes away"
    decided = verdict(row.low, row.high, effect.margin)
    if decided == "improved":
        return "reinforce" if two else "adds"
    if decided == "equivalent":
        return "add up" if two else "too small to matter"
    return "could not tell"


def _with_shares(rows: list[Effect]) -> list[Effect]:
    """Set `absorbed` where the gain of a level alone and the absorption by the other are both significant."""
    absorbing = {(row.measure, frozenset(_levels(row))) for row in rows if row.finding == "absorb"}
    alone = {
        (row.measure, _levels(row), row.without): row.difference for row in rows if row.without and (row.low or 0) > 0
    }
    shown = []
    for row in rows:
        gain = alone.get((row.measure, _levels(row), row.given)) if row.given else None
        both = frozenset((*_levels(row), *zip(row.given, row.given_levels, strict=True)))
        clear = gain and row.difference is not None and (row.measure, both) in absorbing
        shown.append(row.model_copy(update={"absorbed": 1 - (row.difference or 0.0) / gain}) if clear and gain else row)
    return shown


def _levels(row: Effect) -> tuple[Level, ...]:
    return tuple(zip(row.parts, row.levels, strict=True))
