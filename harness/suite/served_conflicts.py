"""Conflicts of what runs elsewhere: served models, external systems, and gates on drift."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import nearest
from harness.suite.bounds import Drift
from harness.suite.conflict import Conflict
from harness.suite.renamed import KeyPath
from harness.suite.served_uses import same_model_elsewhere
from harness.suite.spec import Candidate, Suite


def served_conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield the conflicts of a suite that concern no single candidate."""
    for first, second in same_model_elsewhere(suite):
        what = f"is the model of {first.key} by name and revision, and is asked in another way"
        at, read = tuple(second.key.split(".")), tuple(first.key.split("."))
        yield Conflict(at, what, "give one of them a 'revision', or make them equal", (read,))
    for number, gate in enumerate(suite.gates):
        if gate.served is not None:
            yield from _drift_conflicts(suite, ("gates", number, "served"), gate.served)


def external_conflicts(suite: Suite, at: KeyPath, candidate: Candidate) -> Iterator[Conflict]:
    """Yield conflicts of a candidate that is an external system."""
    others = sorted(candidate.model_fields_set - {"external"})
    if others:
        what = f"an external system is a whole pipeline, so {others[0]!r} changes nothing of it"
        yield Conflict((*at, others[0]), what, "leave it out", ((*at, "external"),))
    if suite.evaluate.contexts is not None:
        what = "an external system finds its own passages, and evaluate.contexts fixes them"
        yield Conflict((*at, "external"), what, "remove one of the two", (("evaluate", "contexts"),))


def _drift_conflicts(suite: Suite, at: KeyPath, drift: Drift) -> Iterator[Conflict]:
    """Yield what is wrong with the rows and the measures of a gate on drift."""
    rows = {*suite.all_candidates, *suite.baseline_rows}
    for key, name in (("candidate", drift.candidate), ("of", drift.of)):
        if name not in rows:
            yield Conflict((*at, key), f"there is no row {name!r}", nearest(name, rows), (("candidates",),))
    if drift.candidate == drift.of:
        yield Conflict((*at, "of"), "is the served row itself", "name the row with the same model here")
    for measure in drift.measures:
        if measure not in suite.measures or measure.is_judged:
            why = "is judged by an LLM, and differs from itself" if measure.is_judged else "is not measured"
            yield Conflict((*at, "measures"), f"{measure} {why}", "leave it out, or add it to 'measures'")
    if not drift.measures and not suite.margins:
        yield Conflict(at, "no measure is gated, so none is compared", "gate one, or set 'measures'")
