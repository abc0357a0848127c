"""Evaluate gates on drift: the scores of a row whose model a server runs against those of the same model here.

Both rows are of one outcome and one set of queries, and nothing is drawn at random, so there is no test: the means
differ by more than the tolerance, or they do not. This module knows no suites, stores or endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import NamedTuple

from harness.report.format import counted
from harness.results.score_tables import Tables
from harness.statistics.verdicts import Gated, Standing
from harness.suite.bounds import Gate
from harness.text import decimals
from harness.values.findings import Outcome, SystemInfo
from harness.values.measures import Measure
from harness.values.records import ScoreColumn


class _Difference(NamedTuple):
    """What a measure says: the difference of means, over how many queries, and how many of them differ."""

    measure: Measure
    value: float
    queries: int
    differ: int


def judge_drift(gate: Gate, outcome: Outcome, tables: Tables, gated: Iterable[Measure]) -> Gated:
    """Return the verdict of a gate on drift, by the measure that differs most.

    Without measures of its own it compares those that are `gated`. Of a trained row, the first seed is compared.
    """
    drift = gate.served
    assert drift is not None
    blank = Gated(
        system=drift.candidate, seeds=(0,), label=drift.candidate, gate=gate.name, verdict="missing",
        advisory=gate.advisory, about="drift",
    )  # fmt: skip
    first: dict[str, SystemInfo] = {}
    for info in outcome.systems:
        first.setdefault(info.name, info)
    absent = [name for name in (drift.candidate, drift.of) if name not in first]
    if absent:
        return blank.model_copy(update={"reason": f"{absent[0]} is not in the outcome; run the suite again"})
    served, here = first[drift.candidate], first[drift.of]
    if failed := served.failed or here.failed:
        return blank.model_copy(update={"verdict": "failed", "reason": failed})
    differences: list[_Difference] = []
    for measure in drift.measures or tuple(gated):
        columns = [tables[info.name, info.seed].column(measure) if (info.name, info.seed) in tables else {}
                   for info in (served, here)]  # fmt: skip
        found = _difference(measure, *columns)
        if not isinstance(found, _Difference):
            return blank.model_copy(update=found)
        differences.append(found)
    worst = max(differences, key=lambda one: abs(one.value))
    verdict: Standing = "within bound" if abs(worst.value) <= drift.tolerance else "over bound"
    said = "; ".join(map(_in_words, differences))
    update = {"verdict": verdict, "value": worst.value, "bound": drift.tolerance, "n": worst.queries, "reason": said}
    return blank.model_copy(update=update)


def _in_words(one: _Difference) -> str:
    return f"{one.measure} {decimals.signed(one.value)}, {counted(one.differ, 'query', 'queries')} with another score"


def _difference(measure: Measure, served: ScoreColumn, here: ScoreColumn) -> _Difference | Mapping[str, str]:
    """Return the difference of a measure, or the verdict and the reason why there is none."""
    if not served or not here:
        return {"verdict": "missing", "reason": f"one of the rows has no score of {measure}"}
    if served.keys() != here.keys():
        return {"verdict": "not comparable", "reason": f"the rows have scores of {measure} for different queries"}
    lost = sum(value is None and here[key] is not None for key, value in served.items())
    if lost:
        why = f"{lost:,} of {len(served):,} queries have a score of {measure} here and none where it is served"
        return {"verdict": "failed", "reason": why}
    pairs = [(there, ours) for key, there in served.items() if there is not None and (ours := here[key]) is not None]
    if not pairs:
        return {"verdict": "failed", "reason": f"no query has a score of {measure} in both rows"}
    value = fmean(there for there, _ in pairs) - fmean(ours for _, ours in pairs)
    return _Difference(measure, value, len(pairs), sum(there != ours for there, ours in pairs))
