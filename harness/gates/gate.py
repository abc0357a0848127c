"""Evaluate gates on scores: compare every system of an outcome with the accepted scores of the same name.

All gated measures of all systems are one family with simultaneous intervals. A system that is not trained, or a single
checkpoint, is compared query by query (`stats`). A recipe with six or more seeds on both sides is compared with the
variance between trainings (`reseeded`). If both kinds occur, each gets its share of alpha.

One checkpoint does not show the variance between trainings. A candidate with fewer seeds has therefore `regressed` only
if the whole interval lies below minus the margin: the margin must cover the effect of seeds. Otherwise `regressed` is
defined by `stats.verdict`. This module reads tables only; it must not know stores, files or wording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.errors import ConfigError, Problem
from harness.gates import reseeded
from harness.gates.drift import judge_drift
from harness.gates.probe_gates import judge_probe
from harness.gates.reasons import ACCEPTED_ONLY, BY_SEEDS, UNMEASURED, UNSCORED
from harness.results.baselines import Baseline, answers_elsewhere, what_differs
from harness.results.score_tables import Tables, columns
from harness.statistics import stats
from harness.statistics.verdicts import About, Gated, Gating, Standing, label_of
from harness.suite.bounds import Gate, OnInconclusive
from harness.values.findings import Comparison, Outcome, SystemInfo
from harness.values.measures import Measure
from harness.values.records import ScoreColumn, ScoreTable, SystemKey
from harness.values.systems import BOUNDS


class GateTerms(NamedTuple):
    """By what rules it is judged; `expected` names systems that must be there, trained ones with their seeds."""

    on_inconclusive: OnInconclusive = "pass"
    failure_limit: float = 0.0
    alpha: float = 0.05
    resamples: int = 10_000
    expected: Mapping[str, Sequence[int]] = {}


class _Single(NamedTuple):
    """A system or a checkpoint that is compared query by query."""

    blank: Gated
    pair: stats.Paired


class _Several(NamedTuple):
    """A recipe with its seeds, compared with the variance between them."""

    blank: Gated
    pair: reseeded.Retrained


Item = Gated | _Single | _Several


def evaluate(
    gates: Sequence[Gate], outcome: Outcome, tables: Tables, baseline: Baseline | None, terms: GateTerms | None = None
) -> Gating:
    """Return the verdicts on an outcome, in the order of the gates.

    Advisory measures are a family of their own, so that they do not widen the intervals of the others. Raises
    ConfigError if the measure of a gate was not run: such a gate must not pass.
    """
    _check(gates, outcome, tables)
    evaluation = _Evaluation(outcome, tables, baseline, terms or GateTerms())
    gated = [gate.measure for gate in gates if gate.measure and not evaluation.advisory(gate)]
    by_gate: dict[str, list[Gated]] = {gate.name: [] for gate in gates}
    for advisory in (False, True):
        chosen = [gate for gate in gates if gate.measure and evaluation.advisory(gate) == advisory]
        for verdict in evaluation.measures(chosen):
            by_gate[verdict.gate].append(verdict)
    for gate in gates:
        if gate.probe:
            by_gate[gate.name] += evaluation.probed(gate)
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
        changed=evaluation.changed(),
        questions=outcome.dataset.questions,
        measured=any(_has_value(table) for table in tables.values()),
        differs={str(gate.measure): parts for gate in gates if gate.measure and (parts := evaluation.differs(gate))},
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


@dataclass(frozen=True)
class _Evaluation:
    outcome: Outcome
    tables: Tables
    baseline: Baseline | None
    terms: GateTerms

    def advisory(self, gate: Gate) -> bool:
        """Whether a gate on a measure never fails: it says so, or an uncalibrated judge decides its measure."""
        uncalibrated = {row.measure for row in self.outcome.comparisons if row.family == "advisory"}
        return gate.advisory or str(gate.measure) in (*self.outcome.advisory, *uncalibrated)

    def differs(self, gate: Gate) -> tuple[str, ...]:
        return what_differs(self.baseline.accepted, self.outcome, str(gate.measure)) if self.baseline else ()

    def changed(self) -> tuple[str, ...]:
        before = self._accepted()
        now = {(info.name, info.seed): info for info in self.outcome.systems}
        return tuple(info.label for key, info in now.items() if key in before and before[key].identity != info.identity)

    def probed(self, gate: Gate) -> list[Gated]:
        machine = self.baseline.accepted.provenance.get("machine") if self.baseline else None
        strict = (gate.on_inconclusive or self.terms.on_inconclusive) == "fail"
        return list(judge_probe(gate, self.outcome, self._accepted(), machine, strict))

    def measures(self, gates: Sequence[Gate]) -> list[Gated]:
        """Verdicts on all systems under these gates, as one family."""
        items = [item for gate in gates for item in self._items(gate)]
        single = [item for item in items if isinstance(item, _Single)]
        several = [item for item in items if isinstance(item, _Several)]
        one_by_one, with_seeds = iter(self._compared(single, items)), iter(self._rechecked(several, items))
        judged = []
        for item in items:
            if isinstance(item, Gated):
                judged.append(item)
            else:
                judged.append(_decided(item.blank, next(one_by_one if isinstance(item, _Single) else with_seeds)))
        return judged

    def _compared(self, single: Sequence[_Single], items: Sequence[Item]) -> list[Comparison]:
        if not single:
            return []
        limit, resamples = self.terms.failure_limit, self.terms.resamples
        alpha = max(self._alpha(single, items), 1 / resamples)
        return stats.compare(
            "regression", [item.pair for item in single], failure_limit=limit, alpha=alpha, resamples=resamples
        )

    def _rechecked(self, several: Sequence[_Several], items: Sequence[Item]) -> list[Comparison]:
        limit, alpha = self.terms.failure_limit, self._alpha(several, items)
        return reseeded.recheck([item.pair for item in several], failure_limit=limit, alpha=alpha)

    def _alpha(self, part: Sequence[Item], items: Sequence[Item]) -> float:
        """The share of alpha for a part of all comparisons."""
        return self.terms.alpha * len(part) / max(1, sum(not isinstance(item, Gated) for item in items))

    def _accepted(self) -> dict[SystemKey, SystemInfo]:
        return (
            {(system.info.name, system.info.seed): system.info for system in self.baseline.accepted.systems}
            if self.baseline
            else {}
        )

    def _items(self, gate: Gate) -> Iterator[Item]:
        """Yield the comparisons under a gate, and the verdicts that need none."""
        measure = str(gate.measure)
        before = columns(self.baseline.tables, measure) if self.baseline else {}
        now = columns(self.tables, measure)
        for name in dict.fromkeys((*now, *before, *self._seeds(), *self.terms.expected)):
            if name in BOUNDS or (name not in now and name not in before and _without(name, gate)):
                continue
            if self.differs(gate) and (name in now or name in before):
                seeds = tuple(now.get(name) or before[name])
                yield self._blank(gate, name, seeds, "not comparable", "the measurement has changed")
                continue
            if stopped := self._stopped(name):
                standing: Standing = "missing" if name in before else "not compared"
                seeds = tuple(now.get(name) or before.get(name) or self.terms.expected[name])
                yield self._blank(gate, name, seeds, standing, stopped)
                continue
            yield from self._lost(gate, name, now.get(name, {}), before.get(name, {}))
            if name in now:
                yield from self._of_system(gate, name, now[name], before.get(name, {}))
            elif name not in self._seeds():
                why = ACCEPTED_ONLY if name in before else UNMEASURED
                yield self._blank(gate, name, tuple(before.get(name) or self.terms.expected[name]), "missing", why)

    def _seeds(self) -> dict[str, list[int]]:
        """The systems of the outcome, with their seeds, whether it has scores of them or not."""
        found: dict[str, list[int]] = {}
        for info in self.outcome.systems:
            found.setdefault(info.name, []).append(info.seed)
        return found

    def _stopped(self, name: str) -> str:
        """Why a search stopped a candidate, so that it has no score of its whole training; empty if it did not."""
        last = [row for row in self.outcome.rounds if row.candidate == name][-1:]
        left_out = [
            f"stopped after {row.share:.0%} of its training data, and not scored" for row in last if not row.kept
        ]
        return next((info.stopped for info in self.outcome.systems if info.name == name), "".join(left_out))

    def _lost(
        self, gate: Gate, name: str, now: Mapping[int, ScoreColumn], before: Mapping[int, ScoreColumn]
    ) -> Iterator[Item]:
        """What the outcome names and has no score of: it crashed, or its scores were lost."""
        for info in self.outcome.systems:
            if info.name == name and info.seed not in now:
                why = info.failed or (ACCEPTED_ONLY if info.seed in before else UNSCORED)
                yield self._blank(gate, name, (info.seed,), "failed" if info.failed else "missing", why)

    def _of_system(
        self, gate: Gate, name: str, now: Mapping[int, ScoreColumn], before: Mapping[int, ScoreColumn]
    ) -> Iterator[Item]:
        unchanged = all(before.get(seed) == column for seed, column in now.items())
        populations = {frozenset(column) for column in (*now.values(), *before.values())}
        if before and len(populations) > 1:
            yield self._blank(gate, name, tuple(now), "not comparable", "its queries differ from the accepted ones")
        elif self._trained(name) and reseeded.enough(len(now), len(before)) and not unchanged:
            yield self._several(gate, name, now, before)
        else:
            for seed in now:
                yield self._of_seed(gate, name, seed, now[seed], before.get(seed))
            # The system is not missing as long as one of its seeds can be compared.
            left_out: Standing = "not compared" if now.keys() & before.keys() else "missing"
            for seed in sorted(before.keys() - now.keys() - {*self._seeds()[name]}):
                yield self._blank(gate, name, (seed,), left_out, "accepted with this seed, but this seed was not run")

    def _of_seed(self, gate: Gate, name: str, seed: int, now: ScoreColumn, before: ScoreColumn | None) -> Item:
        failed = sum(value is None for value in now.values())
        if failed == len(now):
            return self._blank(gate, name, (seed,), "failed", f"none of {len(now)} queries has a value")
        if before is None:
            if failed / len(now) > self.terms.failure_limit:
                why = f"{failed} of {len(now)} queries have no value (limit {self.terms.failure_limit:.1%})"
                return self._blank(gate, name, (seed,), "failed", why)
            return self._blank(gate, name, (seed,), "new", "nothing was accepted for it")
        about: About = "checkpoint" if self._trained(name) else "system"
        blank = self._blank(gate, name, (seed,), "inconclusive", about=about)
        measure, margin = _bound(gate)
        pair = stats.Paired(
            system=name,
            seed=seed,
            measure=measure,
            margin=margin,
            values=now,
            baseline=before,
            groups=self.tables[name, seed].groups,
            same=self._same((name, seed), measure),
        )
        return _Single(blank, pair)

    def _same(self, key: SystemKey, measure: Measure) -> bool:
        """Whether a system is made as it was when it was accepted, and therefore puts out the same."""
        if not measure.is_rank and answers_elsewhere(self.outcome):
            return False
        before = self._accepted()[key]
        return any(before.identity == info.identity for info in self.outcome.systems if (info.name, info.seed) == key)

    def _several(
        self, gate: Gate, name: str, now: Mapping[int, ScoreColumn], before: Mapping[int, ScoreColumn]
    ) -> Item:
        blank = self._blank(gate, name, tuple(sorted(now)), "inconclusive", about="recipe")
        measure, margin = _bound(gate)
        groups = self.tables[name, next(iter(now))].groups
        return _Several(blank, reseeded.Retrained(name, measure, margin, now, before, groups))

    def _trained(self, name: str) -> bool:
        known = (*self.outcome.systems, *self._accepted().values())
        wanted = bool(self.terms.expected.get(name))
        return wanted or any(info.name == name and info.tunes for info in known)

    def _blank(
        self, gate: Gate, name: str, seeds: tuple[int, ...], verdict: Standing, reason: str = "",
        about: About = "system",
    ) -> Gated:  # fmt: skip
        strict = (gate.on_inconclusive or self.terms.on_inconclusive) == "fail"
        return Gated(
            system=name, seeds=seeds, label=label_of(name, seeds, trained=self._trained(name)), gate=gate.name,
            verdict=verdict, advisory=self.advisory(gate), strict=strict, about=about, reason=reason,
        )  # fmt: skip


def _without(name: str, gate: Gate) -> bool:
    """Whether there can be no score: examples in the prompt change no list."""
    return name == "few-shot" and _bound(gate)[0].is_rank


def _bound(gate: Gate) -> tuple[Measure, float]:
    assert gate.measure is not None
    return gate.measure, gate.margin or 0.0


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
