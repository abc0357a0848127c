"""How well two raters agree: rank correlation, AUROC, kappa, with intervals that draw whole clusters again.

Answers to one question are not independent, so the bootstrap (Efron 1979) draws clusters with replacement (Field &
Welsh 2007, JRSS B 69:369-390) and the interval is that of percentiles. A row drawn twice is a row of weight 2, and all
statistics take weights, so every resample is a row of one matrix. This module must not know judges, labels or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.values.frozen import Frozen

Floats = NDArray[np.float64]
TINY = 1e-12
DECIMALS = 9
ROUNDING = 1e-5  # of scores and means, on which no cut and no bin must turn


class AgreementEstimate(Frozen):
    """A statistic with its 95 % interval; None where the data do not define it."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Agreement(Frozen):
    """How one side agrees with the other.

    `auroc` is the chance that an accepted row is given more than a refused one, ties counted half. `weighted_kappa` is
    Cohen's with quadratic weights on the steps of the people's scale; `kappa` is of the yes and no at the cut.
    """

    spearman: AgreementEstimate = AgreementEstimate()
    auroc: AgreementEstimate = AgreementEstimate()
    weighted_kappa: AgreementEstimate = AgreementEstimate()
    kappa: AgreementEstimate = AgreementEstimate()


class Drawn(NamedTuple):
    """One statistic of the data (first) and of each resample; NaN where it is not defined."""

    values: Floats

    def estimate(self) -> AgreementEstimate:
        """The value of the data, with percentiles of the resamples that define one, if these are most of them."""
        value, resampled = float(self.values[0]), self.values[1:]
        defined = resampled[np.isfinite(resampled)]
        if not np.isfinite(value):
            return AgreementEstimate()
        if 2 * len(defined) <= len(resampled) or len(resampled) == 0:
            return AgreementEstimate(value=value)
        low, high = np.quantile(defined, (0.025, 0.975))
        return AgreementEstimate(value=value, low=float(low), high=float(high))


def draw_clusters(clusters: Sequence[str], resamples: int, seed: int) -> Floats:
    """How often each row counts, shape (1 + resamples, rows): once in the data, then as its cluster was drawn.

    With fewer than two clusters there is nothing to draw, and only the first row.
    """
    names, index = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return np.ones((1, len(index)))
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return np.vstack([np.ones(len(index)), counts[:, index]]).astype(np.float64)


def agreement(judged: Floats, people: Floats, weights: Floats, cut: float, steps: int) -> Agreement:
    """All statistics of `judged` against `people`, both 0 to 1 by row; the people's scale has `steps` equal steps."""
    return Agreement(
        **{name: drawn.estimate() for name, drawn in statistics(judged, people, weights, cut, steps).items()}
    )


def statistics(judged: Floats, people: Floats, weights: Floats, cut: float, steps: int) -> dict[str, Drawn]:
    """The statistics of `Agreement` by name, for the data and every resample."""
    yes, accepted = accepts(judged, cut), accepts(people, cut)
    return {
        "spearman": Drawn(spearman(judged, people, weights)),
        "auroc": Drawn(auroc(judged, accepted, weights)),
        "weighted_kappa": Drawn(kappa(binned(judged, steps), binned(people, steps), weights)),
        "kappa": Drawn(kappa(yes.astype(np.float64), accepted.astype(np.float64), weights)),
    }


def level(ratings: Sequence[float]) -> float:
    """The mean, rounded: equal means must tie, whatever sums they come from."""
    return round(fmean(ratings), DECIMALS)


def accepts(values: Floats, cut: float) -> NDArray[np.bool_]:
    """Which values reach the cut."""
    return np.asarray(values >= cut - ROUNDING)


def binned(values: Floats, steps: int) -> Floats:
    """Values of 0 to 1 as whole steps of a scale, halves up."""
    return np.asarray(np.floor(values * steps + 0.5 + ROUNDING), dtype=np.float64)


def spearman(one: Floats, other: Floats, weights: Floats) -> Floats:
    """Spearman's rank correlation, ties at their mean rank, for each row of weights."""
    total = weights.sum(axis=1, keepdims=True)
    ranks = [_ranks(values, weights) for values in (one, other)]
    first, second = (rank - (weights * rank).sum(axis=1, keepdims=True) / total for rank in ranks)
    spread = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
    return _ratio((weights * first * second).sum(axis=1), np.sqrt(spread))


def auroc(values: Floats, accepted: NDArray[np.bool_], weights: Floats) -> Floats:
    """Area under the ROC curve of telling accepted rows by their value: Mann & Whitney's U over all pairs."""
    order, starts, _ = _levels(values)
    positive, negative = (np.add.reduceat((weights * side)[:, order], starts, axis=1) for side in (accepted, ~accepted))
    below = negative.cumsum(axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def kappa(one: Floats, other: Floats, weights: Floats) -> Floats:
    """Cohen's kappa with quadratic weights (1968, Psychological Bulletin 70:213-220); of 0 and 1 it is the plain one.

    What is expected by chance is the mean squared difference over all pairs of rows, which the moments give.
    """
    total = weights.sum(axis=1)
    means = [(weights * values).sum(axis=1) / total for values in (one, other)]
    squares = [(weights * values**2).sum(axis=1) / total for values in (one, other)]
    expected = squares[0] + squares[1] - 2 * means[0] * means[1]
    observed = (weights * (one - other) ** 2).sum(axis=1) / total
    return np.asarray(1 - _ratio(observed, expected), dtype=np.float64)


def among_raters(ratings: Sequence[Sequence[float]], weights: Floats, cut: float, steps: int) -> tuple[Agreement, int]:
    """How each rater agrees with the mean of the others, averaged over raters; and how many raters that are.

    `ratings` are 0 to 1 by row; a row with a single rating says nothing of agreement and is left out. As the others are
    one fewer than those whom a judge is compared with, this is a little lower than the ceiling that it stands for.
    """
    of_raters = []
    for rater in range(max(map(len, ratings), default=0)):
        rows = [number for number, row in enumerate(ratings) if len(row) > max(rater, 1)]
        if rows:
            own = np.asarray([ratings[number][rater] for number in rows])
            rest = [[*ratings[number][:rater], *ratings[number][rater + 1 :]] for number in rows]
            others = np.asarray([level(row) for row in rest])
            of_raters.append(statistics(own, others, weights[:, rows], cut, steps))
    if not of_raters:
        return Agreement(), 0
    means = {
        name: Drawn(np.mean([found[name].values for found in of_raters], axis=0)) for name in Agreement.model_fields
    }
    return Agreement(**{name: drawn.estimate() for name, drawn in means.items()}), len(of_raters)


def _levels(values: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows in ascending order, where in it each distinct value starts, and the number of each row's value."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.argsort(values, kind="stable"), np.concatenate([[0], counts.cumsum()[:-1]]), inverse


def _ranks(values: Floats, weights: Floats) -> Floats:
    order, starts, inverse = _levels(values)
    level = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Floats = (level.cumsum(axis=1) - (level - 1) / 2)[:, inverse]
    return ranks


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where `below` is zero."""
    ratio: Floats = np.divide(above, below, out=np.full(len(below), np.nan), where=np.abs(below) > TINY)
    return ratio
