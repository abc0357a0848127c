"""Gains of every system within every slice of the questions, corrected for the number of slices.

All slices x systems x gated measures are one family for `stats.compare`: among thirty slices one loses by chance. A
slice with few groups is not in that family. Its studentised statistic has long tails, and the largest statistic of the
family determines all intervals: ten slices of eight groups would widen the interval of a slice of a hundred by half.
Such a slice is listed with its difference and the reason.

This module must not know spec, plan, store or report, nor where slices come from: values by query go in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from harness.statistics.stats import Paired, check, compare, differences
from harness.values.findings import Comparison
from harness.values.gains import SliceGain

FEWEST_GROUPS = 20
"""The number of groups under which a report warns of an interval."""
NUMBER = re.compile(r"-?\d+(\.\d+)?")


class _Part(NamedTuple):
    """A pair on the questions of one slice."""

    field: str
    value: str
    pair: Paired


def slice_gains(
    pairs: Sequence[Paired],
    slices: Mapping[str, Mapping[str, str]],
    *,
    failure_limit: float = 0.0,
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[SliceGain]:
    """Return the gain of each pair in each slice; `slices` is field -> query -> slice, as `slicing` makes them.

    The order is fields, slices (low numbers first), pairs. A slice without a question of a measure's population is not
    listed. `failure_limit` holds within each slice. Raises ValueError if a field has no slice for a query, and as
    `stats.compare` does.
    """
    for pair in pairs:
        check(pair)
    parts = [part for field, values in slices.items() for part in _parts(field, values, pairs)]
    begun = [_begun(part) for part in parts]
    tested = [part.pair for part, row in zip(parts, begun, strict=True) if not row.reason]
    compared = iter(
        compare("exploratory", tested, failure_limit=failure_limit, alpha=alpha, resamples=resamples, seed=seed)
    )
    return [row if row.reason else _tested(row, next(compared)) for row in begun]


def _parts(field: str, values: Mapping[str, str], pairs: Sequence[Paired]) -> Iterator[_Part]:
    for pair in pairs:
        if unsliced := sorted(pair.values.keys() - values.keys()):
            raise ValueError(f"{field}: {len(unsliced)} queries are in no slice, such as {unsliced[0]!r}")
    for value in sorted(set(values.values()), key=_order):
        inside = {query for query, its in values.items() if its == value}
        for pair in pairs:
            part = _within(pair, inside)
            if part.values:
                yield _Part(field, value, part)


def _order(value: str) -> tuple[bool, float, str]:
    """Sort key of slices: thirds of numbers in ascending order (``up to`` comes first), then by name."""
    number = NUMBER.search(value)
    return not value.startswith("up to "), float(number[0]) if number else math.inf, value


def _within(pair: Paired, queries: set[str]) -> Paired:
    values, baseline = (
        {query: value for query, value in side.items() if query in queries} for side in (pair.values, pair.baseline)
    )
    return replace(pair, values=values, baseline=baseline)


def _begun(part: _Part) -> SliceGain:
    """Return the gain without its test, on the queries with a value on both sides; with a reason if none is made."""
    pair, gains = part.pair, differences(part.pair, "drop")
    before = [value for query in gains if (value := pair.baseline[query]) is not None]
    n_groups = len({pair.groups[query] for query in gains})
    few = f"too few groups for an interval: {n_groups}, and it takes {FEWEST_GROUPS}"
    reason = few if n_groups < FEWEST_GROUPS else ""
    return SliceGain(
        system=pair.system,
        seed=pair.seed,
        measure=str(pair.measure),
        field=part.field,
        value=part.value,
        baseline=fmean(before) if before else None,
        difference=fmean(gains.values()) if gains else None,
        n_queries=len(gains),
        n_groups=n_groups,
        verdict="inconclusive" if gains else "failed",
        reason=reason if gains else "no query has a value on both sides",
    )


def _tested(begun: SliceGain, row: Comparison) -> SliceGain:
    update = {"low": row.low, "high": row.high, "p_value": row.p_value, "verdict": row.verdict, "reason": row.reason}
    return begun.model_copy(update=update)
