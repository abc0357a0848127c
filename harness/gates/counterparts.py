"""What each system of an outcome is compared with under a gate: its accepted scores, or why there is no comparison.

A system that is not trained, or one checkpoint, has the accepted scores of the same name and seed. A recipe with
six or more seeds on both sides has all of its accepted seeds. Reads tables only; must not know stores or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.gates import reseeded
from harness.gates.reasons import ACCEPTED_ONLY, UNMEASURED, UNSCORED
from harness.results.baselines import Baseline, answers_elsewhere, what_differs
from harness.results.score_tables import Tables, columns
from harness.statistics import stats
from harness.statistics.verdicts import About, Gated, Standing, label_of
from harness.suite.bounds import Gate, OnInconclusive
from harness.text.decimals import percent
from harness.values.findings import Outcome, SystemInfo
from harness.values.measures import Measure
from harness.values.records import ScoreColumn, SystemKey
from harness.values.systems import BOUNDS


class GateTerms(NamedTuple):
    """By what rules it is judged; `expected` names systems that must be there, trained ones with their seeds."""

    on_inconclusive: OnInconclusive = "pass"
    failure_limit: float = 0.0
    alpha: float = 0.05
    resamples: int = 10_000
    expected: Mapping[str, Sequence[int]] = {}


class Single(NamedTuple):
    """A system or a checkpoint that is compared query by query."""

    blank: Gated
    pair: stats.Paired


class Several(NamedTuple):
    """A recipe with its seeds, compared with the variance between them."""

    blank: Gated
    pair: reseeded.Retrained


Item = Gated | Single | Several


@dataclass(frozen=True)
class Counterparts:
    """An outcome and the accepted one, with what is compared under each gate."""

    outcome: Outcome
    tables: Tables
    baseline: Baseline | None
    terms: GateTerms

    def advisory(self, gate: Gate) -> bool:
        """Whether a gate on a measure never fails: it says so, or an uncalibrated judge decides its measure."""
        uncalibrated = {row.measure for row in self.outcome.comparisons if row.family == "advisory"}
        return gate.advisory or str(gate.measure) in (*self.outcome.advisory, *uncalibrated)

    def differs(self, gate: Gate) -> tuple[str, ...]:
        """The parts of a measurement that are not those of the accepted scores; nothing if none was accepted."""
        return what_differs(self.baseline.accepted, self.outcome, str(gate.measure)) if self.baseline else ()

    def strict(self, gate: Gate) -> bool:
        """Whether what is inconclusive under a gate fails."""
        return (gate.on_inconclusive or self.terms.on_inconclusive) == "fail"

    def accepted(self) -> dict[SystemKey, SystemInfo]:
        """The accepted systems by name and seed."""
        if self.baseline is None:
            return {}
        return {(system.info.name, system.info.seed): system.info for system in self.baseline.accepted.systems}

    def items(self, gate: Gate) -> Iterator[Item]:
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
            f"stopped after {percent(row.share)} of its training data, and not scored" for row in last if not row.kept
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
                why = f"{failed} of {len(now)} queries have no value (limit {percent(self.terms.failure_limit, 1)})"
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
        return Single(blank, pair)

    def _same(self, key: SystemKey, measure: Measure) -> bool:
        """Whether a system is made as it was when it was accepted, and therefore puts out the same."""
        if not measure.is_rank and answers_elsewhere(self.outcome):
            return False
        before = self.accepted()[key]
        return any(before.identity == info.identity for info in self.outcome.systems if (info.name, info.seed) == key)

    def _several(
        self, gate: Gate, name: str, now: Mapping[int, ScoreColumn], before: Mapping[int, ScoreColumn]
    ) -> Item:
        blank = self._blank(gate, name, tuple(sorted(now)), "inconclusive", about="recipe")
        measure, margin = _bound(gate)
        groups = self.tables[name, next(iter(now))].groups
        return Several(blank, reseeded.Retrained(name, measure, margin, now, before, groups))

    def _trained(self, name: str) -> bool:
        known = (*self.outcome.systems, *self.accepted().values())
        wanted = bool(self.terms.expected.get(name))
        return wanted or any(info.name == name and info.tunes for info in known)

    def _blank(
        self, gate: Gate, name: str, seeds: tuple[int, ...], verdict: Standing, reason: str = "",
        about: About = "system",
    ) -> Gated:  # fmt: skip
        return Gated(
            system=name, seeds=seeds, label=label_of(name, seeds, trained=self._trained(name)), gate=gate.name,
            verdict=verdict, advisory=self.advisory(gate), strict=self.strict(gate), about=about, reason=reason,
        )  # fmt: skip


def _without(name: str, gate: Gate) -> bool:
    """Whether there can be no score: examples in the prompt change no list."""
    return name == "few-shot" and _bound(gate)[0].is_rank


def _bound(gate: Gate) -> tuple[Measure, float]:
    assert gate.measure is not None
    return gate.measure, gate.margin or 0.0
