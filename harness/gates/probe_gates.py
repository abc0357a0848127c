"""Evaluate gates on figures of the probe, latency and cost per 1,000 queries, against a bound.

A latency is over its bound only if its interval is: a quantile of a hundred queries that lies a little above may do so
by chance, and is inconclusive. Times of different machine classes cannot be compared, so a relative bound needs two
outcomes of one machine class. A ceiling is absolute: it needs no accepted figure, and applies to the outcome's machine.
This module knows no scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from harness.statistics.verdicts import Gated, Standing, label_of
from harness.suite.bounds import Gate
from harness.values.findings import Outcome, SystemInfo
from harness.values.records import SystemKey
from harness.values.systems import BOUNDS

NOISY = "timed while something else kept the machine busy; run again on a quiet one"


class _Figure(NamedTuple):
    """A figure from `n` queries, with the 90 % interval of a latency."""

    value: float | None
    n: int
    range: tuple[float, float | None] | None = None


def judge_probe(
    gate: Gate, outcome: Outcome, accepted: Mapping[SystemKey, SystemInfo], machine: str | None, strict: bool = False
) -> Iterator[Gated]:
    """Yield a verdict on every deployable system; `machine` is the machine class of the accepted figures.

    `strict`: inconclusive fails.
    """
    for verdict in _judged_all(gate, outcome, accepted, machine):
        yield verdict.model_copy(update={"strict": strict})


def _judged_all(
    gate: Gate, outcome: Outcome, accepted: Mapping[SystemKey, SystemInfo], machine: str | None
) -> Iterator[Gated]:
    now = {(info.name, info.seed): info for info in outcome.systems if info.name not in BOUNDS and not info.stopped}
    for info in now.values():
        yield _judged(gate, info, accepted.get((info.name, info.seed)), outcome, machine)
    names = {info.name for info in now.values()}
    for info in accepted.values():
        if info.name not in (*names, *BOUNDS):
            blank = _blank(gate, info)
            yield blank.model_copy(update={"verdict": "missing", "reason": "accepted, but not in this outcome"})


def _judged(gate: Gate, info: SystemInfo, before: SystemInfo | None, outcome: Outcome, machine: str | None) -> Gated:
    now, blank = _figure(gate, info), _blank(gate, info)
    if info.role == "candidate" and info.serving is not None and not info.serving.parts:
        return blank.model_copy(update={"reason": "nothing of it runs here, so nothing is timed"})
    if now.value is None:
        why = info.failed or "; ".join(_not_timed(outcome)) or "not timed"
        return blank.model_copy(update={"verdict": "failed", "reason": f"no figure: {why}"})
    low, high = now.range or (None, None)
    update: dict[str, object] = {"value": now.value, "n": now.n, "low": low, "high": high}
    if _is_noisy(info):
        return blank.model_copy(update=update | {"reason": NOISY})
    if gate.ceiling is not None:
        return blank.model_copy(update=update | {"bound": gate.ceiling, "verdict": _standing(now, gate.ceiling)})
    before_figure = _figure(gate, before) if before is not None else _Figure(None, 0)
    if before_figure.value is None:
        return blank.model_copy(update=update | {"verdict": "new", "reason": "no figure was accepted"})
    update["accepted"] = before_figure.value
    if before is not None and _is_noisy(before):
        return blank.model_copy(update=update | {"reason": f"accepted {NOISY}"})
    here = outcome.provenance.get("machine")
    if machine != here:
        why = f"another machine class: accepted on {machine or 'an unknown one'}, now on {here or 'an unknown one'}"
        return blank.model_copy(update=update | {"verdict": "not compared", "reason": why})
    bound = before_figure.value * (1 + (gate.relative or 0.0))
    return blank.model_copy(update=update | {"bound": bound, "verdict": _standing(now, bound, before_figure)})


def _standing(now: _Figure, bound: float, before: _Figure | None = None) -> Standing:
    """Whether a figure keeps its bound, which may rest on another one that varies, too.

    The distance of the two on a logarithmic scale is compared with half of its one-sided 95 % interval, recovered from
    the intervals of both (MOVER: Zou and Donner 2008).
    """
    assert now.value is not None
    if now.value <= bound:
        return "within bound"
    if now.range is None or min(now.range[0], bound) <= 0:
        return "over bound"
    down = math.log(now.value / now.range[0])
    up = _up(before) if before is not None else 0.0
    return "over bound" if math.log(now.value / bound) > math.hypot(down, up) else "inconclusive"


def _up(figure: _Figure) -> float:
    """How far the interval of an accepted figure reaches up, on a logarithmic scale."""
    if not figure.range or not figure.value:
        # An earlier version kept no interval.
        return 0.0
    return math.inf if figure.range[1] is None else math.log(figure.range[1] / figure.value)


def _blank(gate: Gate, info: SystemInfo) -> Gated:
    seeds = (info.seed,)
    label = label_of(info.name, seeds, trained=bool(info.tunes))
    return Gated(
        system=info.name, seeds=seeds, label=label, gate=gate.name, verdict="not compared", advisory=gate.advisory
    )


def _figure(gate: Gate, info: SystemInfo) -> _Figure:
    serving = info.serving
    if serving is None or serving.total is None:
        return _Figure(None, 0)
    total = serving.total
    figures: dict[str, _Figure] = {
        "p50_ms": _Figure(total.p50_ms, total.n, total.p50_range),
        "p95_ms": _Figure(total.p95_ms, total.n, total.p95_range),
        "cost_per_1000": _Figure(serving.dollars_per_1000, total.n),
    }
    return figures[str(gate.probe)]


def _is_noisy(info: SystemInfo) -> bool:
    return info.serving is not None and info.serving.total is not None and info.serving.total.noisy


def _not_timed(outcome: Outcome) -> list[str]:
    return [f"{name}: {why}" for name, why in outcome.not_run.items() if name.startswith("probe ")]
