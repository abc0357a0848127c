"""Evaluate gates on scores: compare every system of an outcome with the accepted scores of the same name.

All gated measures of all systems are one family with simultaneous intervals. A system that is not trained, or a single
checkpoint, is compared query by query (`stats`). A recipe with six or more seeds on both sides is compared with the
variance between trainings (`reseeded`). If both kinds occur, each gets its share of alpha.

One checkpoint does not show the variance between trainings. A candidate with fewer seeds has therefore `regressed` only
if the whole interval lies below minus the margin: the margin must cover the effect of seeds. Otherwise `regressed` is
defined by `stats.verdict`. This module reads tables only; it must not know stores, files or wording.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import ConfigError, Problem
from harness.gates import reseeded
from harness.gates.counterparts import Counterparts, GateTerms, Several, Single
from harness.gates.drift import judge_drift
from harness.gates.probe_gates import judge_probe
from harness.gates.reasons import BY_SEEDS
from harness.results.baselines import Baseline
from harness.results.score_tables import Tables
from harness.statistics import stats
from harness.statistics.verdicts import Gated, Gating, Standing
from harness.suite.bounds import Gate
from harness.values.findings import Comparison, Outcome
from harness.values.records import ScoreTable


def evaluate(
    gates: Sequence[Gate], outcome: Outcome, tables: Tables, baseline: Baseline | None, terms: GateTerms | None = None
) -> Gating:
    """Return the verdicts on an outcome, in the order of the gates.

    Advisory measures are a family of their own, so that they do not widen the intervals of the others. Raises
    ConfigError if the measure of a gate was not run: such a gate must not pass.
    """
    _check(gates, outcome, tables)
    sides = Counterparts(outcome, tables, baseline, terms or GateTerms())
    gated = [gate.measure for gate in gates if gate.measure and not sides.advisory(gate)]
    by_gate: dict[str, list[Gated]] = {gate.name: [] for gate in gates}
    for advisory in (False, True):
        chosen = [gate for gate in gates if gate.measure and sides.advisory(gate) == advisory]
        for verdict in _compared(chosen, sides):
            by_gate[verdict.gate].append(verdict)
    for gate in gates:
        if gate.probe:
            by_gate[gate.name] += _probed(gate, sides)
        if gate.served:
            by_gate[gate.name].append(judge_drift(gate, outcome, tables, gated))
    accepted = baseline.accepted if baseline else None
    return Gating(
        suite=outcome.suite,
        split=outcome.split,
        created=outcome.created,
        accepted=accepted.accepted if accepted else "",
        why=accepted.reason if accepted else "",
        verdicts=tuple(verdict for verdicts in by_gate.values() for verdict in verdicts),
        changed=_changed(sides),
        questions=outcome.dataset.questions,
        measured=any(_has_value(table) for table in tables.values()),
        differs={str(gate.measure): parts for gate in gates if gate.measure and (parts := sides.differs(gate))},
    )


def _has_value(table: ScoreTable) -> bool:
    return any(value is not None for column in table.values.values() for value in column.values())


def _check(gates: Sequence[Gate], outcome: Outcome, tables: Tables) -> None:
    if not gates:
        raise ConfigError(Problem(f"suite {outcome.suite}", "nothing is gated", "add gates: [{measure, margin}]"))
    run = {name for table in tables.values() for name in table.values}
    problems = []
    for number, gate in enumerate(gates):
        if gate.measure is not None and str(gate.measure) not in run:
            why = outcome.not_run.get(str(gate.measure), "the suite did not measure it when it was run")
            what = f"{gate.measure} was not run: {why}"
            problems.append(Problem(f"gates.{number}", what, "run the suite again, or remove the gate"))
    if problems:
        raise ConfigError(problems)


def _changed(sides: Counterparts) -> tuple[str, ...]:
    """Systems that are made in another way than when they were accepted."""
    before = sides.accepted()
    now = {(info.name, info.seed): info for info in sides.outcome.systems}
    return tuple(info.label for key, info in now.items() if key in before and before[key].identity != info.identity)


def _probed(gate: Gate, sides: Counterparts) -> list[Gated]:
    machine = sides.baseline.accepted.provenance.get("machine") if sides.baseline else None
    return list(judge_probe(gate, sides.outcome, sides.accepted(), machine, sides.strict(gate)))


def _compared(gates: Sequence[Gate], sides: Counterparts) -> list[Gated]:
    """Verdicts on all systems under these gates, as one family."""
    items = [item for gate in gates for item in sides.items(gate)]
    single = [item for item in items if isinstance(item, Single)]
    several = [item for item in items if isinstance(item, Several)]
    terms, total = sides.terms, max(1, len(single) + len(several))
    one_by_one = iter(_query_by_query(single, terms.alpha * len(single) / total, terms))
    alpha = terms.alpha * len(several) / total
    pairs = [item.pair for item in several]
    with_seeds = iter(reseeded.recheck(pairs, failure_limit=terms.failure_limit, alpha=alpha))
    judged = []
    for item in items:
        if isinstance(item, Gated):
            judged.append(item)
        else:
            judged.append(_decided(item.blank, next(one_by_one if isinstance(item, Single) else with_seeds)))
    return judged


def _query_by_query(single: Sequence[Single], alpha: float, terms: GateTerms) -> list[Comparison]:
    if not single:
        return []
    return stats.compare(
        "regression",
        [item.pair for item in single],
        failure_limit=terms.failure_limit,
        alpha=max(alpha, 1 / terms.resamples),
        resamples=terms.resamples,
    )


def _decided(blank: Gated, row: Comparison) -> Gated:
    """The verdict of a comparison; a checkpoint not significantly worse by more than the margin is inconclusive."""
    # A system with the accepted identity is equivalent even with a margin of 0.
    verdict: Standing = row.verdict
    reason = row.reason
    if verdict == "inconclusive" and row.low == row.high == 0 and not row.failed:
        verdict = "equivalent"
    if blank.about == "checkpoint" and verdict == "regressed" and not (row.high is not None and row.high < -row.margin):
        verdict, reason = "inconclusive", BY_SEEDS
    comparison = row.model_copy(update={"verdict": verdict, "reason": reason})
    return blank.model_copy(update={"verdict": verdict, "comparison": comparison, "reason": reason})
