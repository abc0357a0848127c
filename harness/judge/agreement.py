"""Agreement of two raters: rank correlation, AUROC and kappa, with intervals from a cluster bootstrap.

Answers to one question are not independent, so the bootstrap (Efron 1979) draws clusters with replacement (Field &
Welsh 2007, JRSS B 69:369-390) and the interval is the percentile interval. A row drawn twice is a row of weight 2, and
all statistics take weights, so every resample is a row of one matrix. This module must not know judges, labels or
files.
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
ROUNDING = 1e-5  # of scores and means; it must decide no cut and no bin


class AgreementEstimate(Frozen):
    """A statistic with its 95 % interval; None if the data do not define it."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Agreement(Frozen):
    """Agreement of a rater with people.

    `auroc` is the probability that an accepted row is scored higher than a refused one; ties count half.
    `weighted_kappa` is Cohen's with quadratic weights on the steps of the people's scale; `kappa` that of accept and
    refuse at the cut.
    """

    spearman: AgreementEstimate = AgreementEstimate()
    auroc: AgreementEstimate = AgreementEstimate()
    weighted_kappa: AgreementEstimate = AgreementEstimate()
    kappa: AgreementEstimate = AgreementEstimate()


class Drawn(NamedTuple):
    """One statistic of the data (first) and of each resample; NaN if it is not defined."""

    values: Floats

    def estimate(self) -> AgreementEstimate:
        """Return the value of the data, with percentiles of the resamples if most of them define it."""
        value, resampled = float(self.values[0]), self.values[1:]
        defined = resampled[np.isfinite(resampled)]
        if not np.isfinite(value):
            return AgreementEstimate()
        if 2 * len(defined) <= len(resampled) or len(resampled) == 0:
            return AgreementEstimate(value=value)
        low, high = np.quantile(defined, (0.025, 0.975))
        return AgreementEstimate(value=value, low=float(low), high=float(high))


def draw_clusters(clusters: Sequence[str], resamples: int, seed: int) -> Floats:
    """Return the weights of the rows, shape (1 + resamples, rows): 1 for the data, then how often a cluster was drawn.

    With fewer than two clusters there are no resamples, shape (1, rows).
    """
    names, index = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return np.ones((1, len(index)))
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return np.vstack([np.ones(len(index)), counts[:, index]]).astype(np.float64)


def agreement(judged: Floats, people: Floats, weights: Floats, cut: float, steps: int) -> Agreement:
    """Return all statistics of `judged` against `people`, 0 to 1 by row; the people's scale has `steps` equal steps."""
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
    """Return the rounded mean, so that equal means tie whatever the order of summation."""
    return round(fmean(ratings), DECIMALS)


def accepts(values: Floats, cut: float) -> NDArray[np.bool_]:
    """Return which values reach the cut."""
    return np.asarray(values >= cut - ROUNDING)


def binned(values: Floats, steps: int) -> Floats:
    """Return values of 0 to 1 as integer steps of a scale, halves rounded up."""
    return np.asarray(np.floor(values * steps + 0.5 + ROUNDING), dtype=np.float64)


def spearman(first_rater: Floats, other: Floats, weights: Floats) -> Floats:
    """Return Spearman's rank correlation, ties at their mean rank, for each row of weights."""
    total = weights.sum(axis=1, keepdims=True)
    ranks = [_ranks(values, weights) for values in (first_rater, other)]
    first, second = (rank - (weights * rank).sum(axis=1, keepdims=True) / total for rank in ranks)
    spread = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
    return _ratio((weights * first * second).sum(axis=1), np.sqrt(spread))


def auroc(values: Floats, accepted: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the area under the ROC curve of classifying rows by value, as Mann & Whitney's U over all pairs."""
    order, starts, _ = _levels(values)
    positive, negative = (np.add.reduceat((weights * side)[:, order], starts, axis=1) for side in (accepted, ~accepted))
    below = negative.cumsum(axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def kappa(first_rater: Floats, other: Floats, weights: Floats) -> Floats:
    """Return Cohen's kappa with quadratic weights (1968, Psychological Bulletin 70:213-220); plain kappa for 0 and 1.

    The disagreement expected by chance is the mean squared difference over all pairs of rows, computed from moments.
    """
    total = weights.sum(axis=1)
    means = [(weights * values).sum(axis=1) / total for values in (first_rater, other)]
    squares = [(weights * values**2).sum(axis=1) / total for values in (first_rater, other)]
    expected = squares[0] + squares[1] - 2 * means[0] * means[1]
    observed = (weights * (first_rater - other) ** 2).sum(axis=1) / total
    return np.asarray(1 - _ratio(observed, expected), dtype=np.float64)


def among_raters(ratings: Sequence[Sequence[float]], weights: Floats, cut: float, steps: int) -> tuple[Agreement, int]:
    """Return the agreement of each rater with the mean of the others, averaged over raters; and the number of raters.

    `ratings` are 0 to 1 by row; rows with a single rating are left out. A judge is compared with one rater more, so
    this estimate is slightly lower than the true ceiling.
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
        name: Drawn(np.mean([by_name[name].values for by_name in of_raters], axis=0)) for name in Agreement.model_fields
    }
    return Agreement(**{name: drawn.estimate() for name, drawn in means.items()}), len(of_raters)


def _levels(values: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows in ascending order, the start of each distinct value in it, and each row's value by number."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.argsort(values, kind="stable"), np.concatenate([[0], counts.cumsum()[:-1]]), inverse


def _ranks(values: Floats, weights: Floats) -> Floats:
    order, starts, inverse = _levels(values)
    level = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Floats = (level.cumsum(axis=1) - (level - 1) / 2)[:, inverse]
    return ranks


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return `above` / `below`, NaN where `below` is zero."""
    ratio: Floats = np.divide(above, below, out=np.full(len(below), np.nan), where=np.abs(below) > TINY)
    return ratio
