"""Effects of a factorial: the gain of each part, and whether the gains of two parts add up or absorb each other.

A cell is the set of parts that are tuned; the empty cell is `untuned`. Every effect is a contrast: a mean of cells
minus a mean of cells, per query, times a scale (Box, Hunter & Hunter 2005, Statistics for Experimenters, chapter 5). A
main effect averages "with minus without" over all settings of the other parts; an interaction is the gain of a part
where the other is tuned minus its gain where it is not; a simple effect is one of those two gains. All contrasts of a
call are one family for `stats.compare`: their intervals hold together, clustered by group.

This module must not know spec, plan, store or report: values by query go in, effects come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Literal, NamedTuple

from harness.statistics.alike import same_runs
from harness.statistics.intervals import DECIMALS
from harness.statistics.stats import Paired, compare, verdict
from harness.values.findings import Comparison, Effect, Finding
from harness.values.measures import Measure
from harness.values.records import ScoreColumn

Cells = Mapping[frozenset[str], Sequence[ScoreColumn]]
"""Tuned parts -> the scores of each seed (one for `untuned`)."""


class _Contrast(NamedTuple):
    kind: Literal["main", "interaction", "simple"]
    parts: tuple[str, ...]
    given: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def weights(self, factors: Sequence[str]) -> dict[frozenset[str], float]:
        """Return the nonzero weight of each cell; the positive ones sum to the scale."""
        weights = {frozenset[str](): 1.0}
        for factor in factors:
            off, on = self._levels(factor)
            weights = {cell: weight * off for cell, weight in weights.items()} | {
                cell | {factor}: weight * on for cell, weight in weights.items()
            }
        return {cell: weight for cell, weight in weights.items() if weight}

    def _levels(self, factor: str) -> tuple[float, float]:
        if factor in self.parts:
            return -1.0, 1.0
        if factor in self.given:
            return 0.0, 1.0
        return (1.0, 0.0) if factor in self.without else (0.5, 0.5)


def effects(
    cells_by_measure: Mapping[Measure, Cells],
    groups: Mapping[str, str],
    factors: Sequence[str],
    *,
    margins: Mapping[Measure, float],
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Effect]:
    """Return all effects of `factors` on each measure; intervals and p values hold for all of them together.

    An effect is computed on the queries that have a value in every cell that has any; the others are counted as failed.
    A query's value is its mean over the seeds of a cell; it failed if it failed with any seed. The interactions of a
    part that changes no value of any query are left out. An effect that needs a cell without values is not computed,
    and its reason names the cell. Raises ValueError for a cell with a part that is no factor, and as `stats.compare`
    does.
    """
    tables = {measure: _Table(cells, factors) for measure, cells in cells_by_measure.items()}
    rows = [(measure, contrast) for measure, table in tables.items() for contrast in table.contrasts()]
    sides = {row: tables[row[0]].paired(row[1], row[0], margins.get(row[0], 0.0), groups) for row in rows}
    pairs = [pair for pair in sides.values() if not isinstance(pair, str)]
    compared = iter(compare("gain", pairs, alpha=alpha, resamples=resamples, seed=seed))
    results = []
    for (measure, contrast), pair in sides.items():
        effect = Effect(**contrast._asdict(), measure=str(measure), margin=margins.get(measure, 0.0))
        failed = tables[measure].failed
        if isinstance(pair, str):
            results.append(effect.model_copy(update={"failed": failed, "reason": pair}))
        else:
            inert = pair.same and pair.values == pair.baseline
            results.append(_effect(effect, next(compared), failed, inert=inert))
    return _with_shares(results)


class _Table:
    """The cells of one measure: means over seeds, on the queries with a value in every cell that has any."""

    def __init__(self, cells: Cells, factors: Sequence[str]) -> None:
        if unknown := sorted(set().union(*cells) - set(factors)):
            raise ValueError(f"a cell tunes {', '.join(unknown)}, which is no factor of this factorial")
        means = {cell: _over_seeds(seeds) for cell, seeds in cells.items()}
        population = set().union(*means.values())
        self.factors = tuple(factors)
        self.cells = {cell: values for cell, values in means.items() if any(v is not None for v in values.values())}
        self.queries = sorted(q for q in population if all(v.get(q) is not None for v in self.cells.values()))
        self.failed = len(population) - len(self.queries)

    def contrasts(self) -> Iterator[_Contrast]:
        """Main effects, then interactions, then the gain of each part without and with each other one."""
        yield from (_Contrast("main", (part,)) for part in self.factors)
        pairs = list(combinations([part for part in self.factors if not self._inert(part)], 2))
        yield from (_Contrast("interaction", pair) for pair in pairs)
        for pair in pairs:
            for part, other in (pair, pair[::-1]):
                yield _Contrast("simple", (part,), without=(other,))
                yield _Contrast("simple", (part,), given=(other,))

    def paired(self, contrast: _Contrast, measure: Measure, margin: float, groups: Mapping[str, str]) -> Paired | str:
        """Return the two sides of a contrast as a pair to compare, or the reason why there is none."""
        weights = contrast.weights(self.factors)
        if missing := [self._name(cell) for cell in weights if cell not in self.cells]:
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
            system=" ".join(contrast.parts),
            measure=measure,
            margin=margin,
            values=plus,
            baseline=minus,
            groups=groups,
            same=same_runs(measure, contrast.parts),
            scale=sum(weight for weight in weights.values() if weight > 0),
        )

    def _name(self, cell: frozenset[str]) -> str:
        return "-".join(part for part in self.factors if part in cell) or "untuned"

    def _sum(self, weights: Mapping[frozenset[str], float], query: str) -> float:
        return sum(weight * (self.cells[cell][query] or 0.0) for cell, weight in weights.items())

    def _inert(self, part: str) -> bool:
        """Return whether tuning the part changes no value of any query in any setting of the others."""
        pairs = [(cell, cell | {part}) for cell in self.cells if part not in cell and cell | {part} in self.cells]
        return bool(pairs) and all(
            self.cells[before][query] == self.cells[after][query] for before, after in pairs for query in self.queries
        )


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
    """Set `absorbed` where the gain of a part alone and the absorption by the other are both significant."""
    absorbing = {(row.measure, frozenset(row.parts)) for row in rows if row.finding == "absorb"}
    alone = {
        (row.measure, row.parts, row.without): row.difference for row in rows if row.without and (row.low or 0) > 0
    }
    shown = []
    for row in rows:
        gain = alone.get((row.measure, row.parts, row.given)) if row.given else None
        clear = gain and row.difference is not None and (row.measure, frozenset(row.parts + row.given)) in absorbing
        shown.append(row.model_copy(update={"absorbed": 1 - (row.difference or 0.0) / gain}) if clear and gain else row)
    return shown
