"""Ratings and judges of known error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any


def slow_auroc(values: Sequence[float], accepted: Sequence[bool]) -> float:
    """Over all pairs of an accepted and a refused row: 1 if told apart, a half for a tie."""
    pairs = [
        (one > other) + (one == other) / 2
        for one, yes in zip(values, accepted, strict=True) if yes
        for other, also in zip(values, accepted, strict=True) if not also
    ]  # fmt: skip
    return sum(pairs) / len(pairs)


def slow_kappa(one: Sequence[float], other: Sequence[float]) -> float:
    """Quadratically weighted, from the table of counts."""
    observed = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / len(one)
    left, right = Counter(one), Counter(other)
    expected = sum(left[a] * right[b] * (a - b) ** 2 for a in left for b in right) / len(one) ** 2
    return 1 - observed / expected


def slow_cohen(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Agreement beyond chance of two yes-or-no raters, as in every textbook."""
    agree = fmean(a == b for a, b in zip(one, other, strict=True))
    yes, also = fmean(one), fmean(other)
    chance = yes * also + (1 - yes) * (1 - also)
    return (agree - chance) / (1 - chance)


def width(estimate: Any) -> float:
    assert estimate.low <= estimate.value <= estimate.high
    return float(estimate.high - estimate.low)


def row(number: int, **changes: Any) -> dict[str, Any]:
    value = {
        "id": f"set-{number}-some-model", "question": "Why?", "answer": "So.", "context": "It is so.", "history": [],
        "ratings": {"faithfulness": [4, 3.0, 1]}, "model": "some-model", "reference": "So it is.", "set": "x",
    }  # fmt: skip
    return value | changes
