"""Sign flips of sums by group: the flips, the statistic that ranks them, its critical value, and rare differences.

`intervals` puts these together and names the sources.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TIE = 1e-10  # a flip this near to the observed statistic equals it: sums in another order differ in the last bits
CHUNK = 2_000_000  # signs drawn at a time, 16 MB as floats
UNSEEN, WHOLE = 2, 4  # with fewer, "equivalent" is claimed too often: see the test of rare losses


def widened_variance(variance: float, totals: Floats, sizes: Floats, span: float) -> float:
    """Return the variance of a mean difference, plus that of groups which may differ outside of this sample.

    `totals` has the sum of each group's differences, `sizes` its queries, `span` the largest difference of a query.
    Added is the larger of two: the variance of `UNSEEN` more groups that differ as those of the sample do; or that of
    so many queries which differ by all of `span` that with those of the sample there are `WHOLE`. Each may be in a
    group of any size. What is added is weighted by the share of groups that do not differ: zero where all do.
    """
    sizes, totals = sizes[sizes > 0], np.abs(totals[sizes > 0])
    differing, squares = int(np.count_nonzero(totals)), float((sizes**2).mean())
    per_group = variance / differing * squares / float(sizes.mean()) ** 2 if differing else 0.0
    missing = max(0.0, WHOLE - float(totals.sum()) / span)
    added = max(UNSEEN * per_group, missing * span**2 * squares / float(sizes.sum()) ** 2)
    return variance + (1 - differing / len(sizes)) * added


def critical_value(maxima: Floats, alpha: float) -> float:
    """Return the |T| above which p <= alpha, from the sorted largest `bounded_statistic` of each flip.

    At most `allowed` flips may reach a significant statistic, so it must exceed the next largest of them. Where few
    groups differ that may be a small value; no simultaneous interval is narrower than the normal one of a single
    comparison, so that discreteness alone cannot make a verdict "equivalent".
    """
    allowed = np.count_nonzero(np.arange(1, len(maxima) + 1) / len(maxima) <= alpha)
    bounded = float(maxima[-1 - allowed]) + TIE
    normal = NormalDist().inv_cdf(1 - alpha / 2)
    return max(normal, math.sqrt(bounded / (1 - bounded))) if bounded < 1 else math.inf


def signs_of(n_groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield flips (rows x groups) of -1 and 1 in chunks: all patterns if at most `resamples`, else that many at random.

    The data as they are, all 1, are one of the patterns; drawn at random they are one more, so that p is never 0.
    """
    exact = 2**n_groups <= resamples
    rows, generator = 2**n_groups if exact else resamples + 1, np.random.default_rng(seed)
    step = max(1, CHUNK // n_groups)
    for start in range(0, rows, step):
        numbers = np.arange(start, min(start + step, rows))
        if exact:
            flips = (numbers[:, None] >> np.arange(n_groups)) & 1
        else:
            flips = generator.integers(0, 2, size=(len(numbers), n_groups), dtype=np.int8)
            flips[numbers == 0] = 0
        yield np.asarray(1.0 - 2.0 * flips, dtype=np.float64)


def bounded_statistic(signs: Floats, totals: Floats, sizes: Floats) -> Floats:
    """Return T^2 / (1 + T^2) for each flip and each comparison (flips x comparisons).

    `signs` is flips x groups; `totals` and `sizes` are groups x comparisons.

    It orders as |T| does but stays within [0, 1] where all groups agree and the variance is zero, and there its
    rounding error is not amplified. No sign changes the sum of squares, so a flip costs two matrix products.
    """
    n_queries, n_groups = sizes.sum(axis=0), np.count_nonzero(sizes, axis=0)
    sums, cross = np.split(signs @ np.hstack([totals, totals * sizes]), 2, axis=1)
    means = sums / n_queries
    squares = (totals**2).sum(axis=0) - 2 * means * cross + means**2 * (sizes**2).sum(axis=0)
    variance = np.maximum(squares, 0.0) * (n_groups / (n_groups - 1))
    return np.asarray(sums**2 / np.maximum(sums**2 + variance, np.finfo(np.float64).tiny), dtype=np.float64)
