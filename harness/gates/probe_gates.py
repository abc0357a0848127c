"""Evaluate gates on figures of the probe, latency and cost per 1,000 queries, against a bound.

Times of different machine classes cannot be compared, so a relative bound needs two outcomes of one machine class. A
ceiling is absolute: it needs no accepted figure, and applies to the outcome's machine. This module knows no scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from harness.statistics.verdicts import Gated, Standing, label_of
from harness.suite.bounds import Gate
from harness.values.findings import Outcome, SystemInfo
from harness.values.records import SystemKey
from harness.values.systems import BOUNDS


class _Figure(NamedTuple):
    value: float | None
    n: int


def judge_probe(
    gate: Gate, outcome: Outcome, accepted: Mapping[SystemKey, SystemInfo], machine: str | None
) -> Iterator[Gated]:
    """Yield a verdict on every deployable system; `machine` is the machine class of the accepted figures."""
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
    update: dict[str, object] = {"value": now.value, "n": now.n}
    if gate.ceiling is not None:
        return blank.model_copy(update=update | {"bound": gate.ceiling, "verdict": _standing(now.value, gate.ceiling)})
    before_figure = _figure(gate, before) if before is not None else _Figure(None, 0)
    if before_figure.value is None:
        return blank.model_copy(update=update | {"verdict": "new", "reason": "no figure was accepted"})
    update["accepted"] = before_figure.value
    here = outcome.provenance.get("machine")
    if machine != here:
        why = f"another machine class: accepted on {machine or 'an unknown one'}, now on {here or 'an unknown one'}"
        return blank.model_copy(update=update | {"verdict": "not compared", "reason": why})
    bound = before_figure.value * (1 + (gate.relative or 0.0))
    return blank.model_copy(update=update | {"bound": bound, "verdict": _standing(now.value, bound)})


def _standing(value: float, bound: float) -> Standing:
    return "within bound" if value <= bound else "over bound"


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
    figures = {
        "p50_ms": serving.total.p50_ms, "p95_ms": serving.total.p95_ms, "cost_per_1000": serving.dollars_per_1000
    }  # fmt: skip
    return _Figure(figures[str(gate.probe)], serving.total.n)


def _not_timed(outcome: Outcome) -> list[str]:
    return [f"{name}: {why}" for name, why in outcome.not_run.items() if name.startswith("probe ")]
