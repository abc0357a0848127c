"""Whether more training data would pay, in words.

The answer rests on the last step of a curve alone: what comes after it is not measured, and few points do not support
an extrapolation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from harness.text import decimals
from harness.values.insights import CurvePoint


def answers(points: Sequence[CurvePoint], margins: Mapping[str, float]) -> dict[str, str]:
    """Return whether more data would pay, in a sentence for each measure that has a step."""
    sentences = {}
    for measure, margin in margins.items():
        own = [point for point in points if point.measure == measure]
        if len(own) > 1:
            sentences[measure] = " ".join(_words(own[-2], own[-1], margin))
    return sentences


def _words(before: CurvePoint, last: CurvePoint, margin: float) -> Iterator[str]:
    step = step_words(before.share, last.share)
    if last.step is None or last.step_verdict == "failed":
        yield "unknown: a training failed, or too many of its scores did"
        return
    changed = f"{decimals.signed(last.step)} {decimals.interval(last.step_low, last.step_high)}"
    if last.step_low is None or last.step_high is None:
        yield f"unknown with this dataset: {step} changed it by {decimals.signed(last.step)},"
        yield "and there are too few groups for an interval"
    elif last.step_verdict == "improved" and last.step_high < margin:
        # A significant gain that is significantly below the margin.
        yield f"more data would hardly pay: {step} gained {changed}, less than the margin of {margin:g}"
    elif last.step_verdict == "improved":
        yield f"more data would pay: {step} gained {changed}"
    elif last.step_verdict == "equivalent":
        yield f"more data would not pay: {step} changed less than the margin of {margin:g}: {changed}"
    elif last.step_verdict == "regressed":
        yield f"more data would not pay: {step} made it worse, {changed}"
    else:
        verb = "gained" if last.step > 0 else "changed it by"
        yield f"unknown with this dataset: {step} {verb} {changed}"


def step_words(before: float, after: float) -> str:
    """``the last doubling``, or ``the step from 60 % to 100 % of the data``."""
    if math.isclose(after, 2 * before):
        return "the last doubling"
    return f"the step from {100 * before:.3g} % to {100 * after:.3g} % of the data"
