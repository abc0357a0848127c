"""Pairs of scores with known differences, and what is read from their comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import pytest

from harness.statistics.stats import Paired, compare
from harness.values.findings import Comparison
from harness.values.measures import Measure

NDCG, UTILITY = Measure("ndcg", 10), Measure("utility")


Z80 = NormalDist().inv_cdf(0.8)


def paired(
    differences: Sequence[float], groups: Sequence[object] | None = None, *, margin: float = 0.02, base: float = 0.0
) -> Paired:
    """A system that differs from the baseline, `base` everywhere. Without `groups` each query is one of its own."""
    queries = [f"q{number:04}" for number in range(len(differences))]
    names = [f"g{group:04}" if isinstance(group, int) else str(group) for group in groups or range(len(queries))]
    values = {query: base + float(difference) for query, difference in zip(queries, differences, strict=True)}
    groups = dict(zip(queries, names, strict=True))
    baseline = dict.fromkeys(queries, base)
    return Paired(system="s", measure=NDCG, margin=margin, values=values, baseline=baseline, groups=groups)


def one(pair: Paired, **options: Any) -> Comparison:
    (comparison,) = compare("gain", [pair], **options)
    return comparison


def ends(comparison: Comparison) -> tuple[float, float]:
    assert comparison.low is not None
    assert comparison.high is not None
    return comparison.low, comparison.high


def numbers(row: Comparison) -> list[float]:
    found = (row.difference, row.low, row.high, row.p_value, row.detectable)
    return [math.nan if value is None else value for value in found]


def assert_same(a: Comparison, b: Comparison) -> None:
    """Equal but for the last bits: a product of matrices of another shape sums in another order."""
    assert numbers(a) == pytest.approx(numbers(b), nan_ok=True, abs=1e-9)
    assert (a.verdict, a.reason, a.n_groups) == (b.verdict, b.reason, b.n_groups)
