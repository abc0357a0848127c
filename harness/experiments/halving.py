"""Early stopping of hopeless candidates: successive halving on dev, before the suite is run.

Each round trains the candidates that are left on a share of their training data and scores them on dev. What is
stopped keeps the share of its last round: it is scored on test like all others, so it stays in the table and in the
family of comparisons, and no error rate depends on what was stopped. Test decides nothing here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.data.datasets import Dataset
from harness.errors import ConfigError, Problem
from harness.execution.session import Executed, Session
from harness.experiments.curve import at_share, moved
from harness.experiments.rounds import Column, behind, go_on, halved, means, shares
from harness.planning.graph import Plan
from harness.planning.ledger import estimate, together
from harness.planning.plan import build_plan
from harness.planning.speed import Rates, rates
from harness.report import format as fmt
from harness.statistics.comparisons import DEV, values_of
from harness.store import Store
from harness.suite.search import Halving
from harness.suite.spec import Candidate, Suite
from harness.text.decimals import percent
from harness.values.effects import RecipeClaim
from harness.values.findings import Comparison, LedgerRow
from harness.values.measures import Measure
from harness.values.search import RoundScore
from harness.values.systems import UNTUNED

log = logging.getLogger(__name__)
POOL = 10
"""Passages of each untuned run that a round's candidates are ranked among, as in the dev evaluations of a training."""


class Searched(NamedTuple):
    """What became of the candidates: the share of each that was stopped, the rounds, and what they cost.

    `scored`: whether the stopped ones are scored, as they were when they were stopped.
    """

    stopped: Mapping[str, float] = {}
    rounds: tuple[RoundScore, ...] = ()
    ledger: Mapping[str, LedgerRow] = {}
    calls_made: int = 0
    scored: bool = True

    def applied(self, suite: Suite) -> Suite:
        """Return the suite with each stopped candidate as it was when it was stopped, or without it."""
        if not self.stopped:
            return suite
        candidates = {
            name: at_share(suite, candidate, self.stopped.get(name, 1.0))
            for name, candidate in suite.candidates.items()
            if self.scored or name not in self.stopped
        }
        return suite.model_copy(update={"candidates": candidates})

    def marked(self, rows: Sequence[Comparison]) -> tuple[Comparison, ...]:
        """Return comparisons with the verdict of stopped candidates: nobody knows what they would be in full."""
        return tuple(
            row.model_copy(update={"verdict": "stopped"}) if row.system in self.stopped else row for row in rows
        )

    def claimed(self, claims: Sequence[RecipeClaim]) -> tuple[RecipeClaim, ...]:
        """Return the claims about recipes that were trained in full."""
        return tuple(claim for claim in claims if claim.system not in self.stopped)

    def why(self, name: str) -> str:
        """Return why a candidate was stopped; empty if it was not."""
        if name not in self.stopped:
            return ""
        last = [row for row in self.rounds if row.candidate == name][-1]
        of = sum(row.round == last.round for row in self.rounds)
        return (
            f"stopped after {percent(last.share)} of its training data: {ordinal(last.rank)} of {of} on dev, "
            f"{last.measure} {last.value:.3f}"
        )


def ordinal(rank: int) -> str:
    """Return ``1st``, ``2nd``, ``11th``."""
    ending = "th" if rank % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"


def candidates_of(suite: Suite) -> dict[str, Candidate]:
    """Return the candidates that take part: those that are trained, without combinations of a factorial.

    The effects of a factorial need all of its combinations, each trained in full.
    """
    return {name: candidate for name, candidate in suite.candidates.items() if candidate.tune}


def measure_of(suite: Suite, rule: Halving) -> Measure:
    """Return the gated measure that ranks the candidates on dev. Raises ConfigError if there is none for all."""
    by_candidate = {name: moved(suite, candidate) for name, candidate in candidates_of(suite).items()}
    usable = [measure for measure in suite.margins if all(measure in own for own in by_candidate.values())]
    if rule.measure is None and usable:
        return usable[0]
    if rule.measure is None:
        what = "no gated measure depends on what every trained candidate tunes"
        raise ConfigError(Problem("search.halving", what, "gate one that does, such as utility"))
    if rule.measure not in suite.margins:
        raise ConfigError(Problem("search.halving.measure", f"{rule.measure} is not gated", "gate it"))
    if rule.measure not in usable:
        unmoved = next(name for name, own in by_candidate.items() if rule.measure not in own)
        what = f"{rule.measure} does not depend on what {unmoved} tunes"
        raise ConfigError(Problem("search.halving.measure", what, "name another one"))
    return rule.measure


def check(suite: Suite, dataset: Dataset) -> None:
    """Raise ConfigError if the search of a suite cannot be carried out on a dataset."""
    if suite.search is None or suite.search.halving is None:
        return
    measure = measure_of(suite, suite.search.halving)
    dev = dataset.splits.get(DEV)
    if dev is None or not (dev.judged if measure.is_rank else dev.references):
        needed = "judged queries" if measure.is_rank else "reference answers"
        what = f"candidates are stopped by {measure} on dev, and split 'dev' has no {needed}"
        raise ConfigError(Problem(dataset.name, what, "add some, or remove 'search'"))


def told(suite: Suite, dataset: Dataset, store: Store) -> list[str]:
    """Return what a plan of a suite with a search does not show: how many candidates each round trains, and the time.

    The time is a guess at the most: as if the candidates that take longest went on.
    """
    if suite.search is None or suite.search.halving is None:
        return []
    rule, measure, known = suite.search.halving, measure_of(suite, suite.search.halving), rates(store)
    whole = estimate(build_plan(suite, dataset), store, known)
    left = _longest_first(suite, dataset, measure, known, store)
    seconds: dict[str, float] = {}
    stopped: dict[str, float] = {}
    rounds: list[str] = []
    for share in _large_enough(suite, dataset, left, measure)[:-1]:
        if len(left) < 2:
            break
        round_plan = _plan_of_round(suite, dataset, left, share, measure)
        seconds |= {key: one.seconds for key, one in estimate(round_plan, store, known).items()}
        rounds.append(f"{len(left)} with {percent(share)}")
        stopped |= dict.fromkeys(left[go_on(len(left), rule.eta) :], share)
        left = left[: go_on(len(left), rule.eta)]
    last = build_plan(Searched(stopped, scored=rule.score_stopped).applied(suite), dataset)
    seconds |= {key: one.seconds for key, one in estimate(last, store, known).items()}
    return [
        f"Halving trains {', '.join([*rounds, f'{len(left)} with 100 %'])} of the training data, in about "
        f"{fmt.duration(sum(seconds.values()))} at most; the calls and times of this plan are those of all candidates "
        f"in full, {fmt.duration(sum(one.seconds for one in whole.values()))}"
    ]


def _longest_first(suite: Suite, dataset: Dataset, measure: Measure, known: Rates, store: Store) -> list[str]:
    """The candidates that take part, those first whose own calls take longest in full."""
    plan = _plan_of_round(suite, dataset, list(candidates_of(suite)), 1.0, measure)
    guesses = estimate(plan, store, known)
    own = dict.fromkeys(candidates_of(suite), 0.0)
    for system in plan.systems:
        if system.name in own:
            own[system.name] += sum(guesses[key].seconds for key in plan.upstream(system.goals))
    return sorted(own, key=lambda name: -own[name])


def search(session: Session, dataset: Dataset) -> Searched:
    """Carry out the rounds of a suite's search before the last one; nothing if it has none.

    Raises ConfigError if the suite or the dataset does not allow it, and HarnessError for endpoints.
    """
    suite = session.suite
    if suite.search is None or suite.search.halving is None:
        return Searched()
    check(suite, dataset)
    rule, left = suite.search.halving, list(candidates_of(suite))
    measure = measure_of(suite, rule)
    stopped: dict[str, float] = {}
    rounds: list[RoundScore] = []
    ledger: dict[str, LedgerRow] = {}
    made = 0
    for number, share in enumerate(_large_enough(suite, dataset, left, measure)[:-1], start=1):
        if len(left) < 2:
            break
        done = _round(session, dataset, left, share, measure)
        columns = {name: _columns(done, name, measure) for name in left}
        values = means(columns, suite.failure_limit)
        ranked, kept = halved(values, rule.eta, measure.kind.better == "lower")
        groups = {key: query.group for key, query in dataset.splits[DEV].queries.items()}
        lost = behind(columns, kept, groups, measure, suite.failure_limit)
        for name in [name for name in left if values[name] is None]:
            log.warning(
                "halving: %s goes on, as more scores of round %d failed than failure_limit allows", name, number
            )
        rounds += [
            RoundScore(
                candidate=name, round=number, share=share, measure=str(measure), value=values[name],
                rank=ranked.index(name) + 1, kept=name in kept, seconds=_training_seconds(done, name),
                **lost[name].model_dump(include={"difference", "low", "high"}) if name in lost else {},
            )
            for name in ranked
        ]  # fmt: skip
        stopped |= {name: share for name in left if name not in kept}
        ledger = together(ledger, done.execution.rows)
        made += done.execution.made
        left = [name for name in left if name in kept]
    return Searched(stopped, tuple(rounds), ledger, made, rule.score_stopped)


def round_of(suite: Suite, names: Sequence[str], share: float, measure: Measure) -> Suite:
    """Return the suite of one round: candidates with a share of their data, scored on dev by one measure."""
    return suite.model_copy(
        update={
            "evaluate": suite.evaluate.model_copy(update={"split": DEV}),
            "candidates": {name: at_share(suite, suite.candidates[name], share) for name in names},
            "factorial": {},
            "baseline_rows": (UNTUNED,),
            "measures": (measure,),
            "gates": tuple(gate for gate in suite.gates if gate.measure == measure),
            "slices": (),
            "forgetting": None,
            "search": None,
        }
    )


def _plan_of_round(suite: Suite, dataset: Dataset, names: Sequence[str], share: float, measure: Measure) -> Plan:
    """The plan of one round: every candidate ranks a pool, so that no corpus is indexed for what may be stopped."""
    read = 0 if measure.in_words else measure.cutoff if measure.is_rank else suite.pipeline.context
    return build_plan(round_of(suite, names, share, measure), dataset, pool=max(POOL, read or 0))


def _large_enough(suite: Suite, dataset: Dataset, names: Sequence[str], measure: Measure) -> list[float]:
    """Return the shares of all rounds without those that would give a training less than one batch."""
    assert suite.search is not None
    assert suite.search.halving is not None
    planned = shares(len(names), suite.search.halving)
    while len(planned) > 1 and _steps(_plan_of_round(suite, dataset, names, planned[0], measure)) < 1:
        planned = planned[1:]
    return planned


def _steps(plan: Plan) -> float:
    """Return the steps of the shortest training of a plan, as far as its examples can be told beforehand."""
    return min(
        (
            plan.calls[key].work.units / plan.suite.recipe(plan.suite.candidates[system.name], part).batch_size
            for system in plan.systems
            for part, key in system.models.items()
        ),
        default=1.0,
    )


def _round(session: Session, dataset: Dataset, names: Sequence[str], share: float, measure: Measure) -> Executed:
    def plan() -> Plan:
        return _plan_of_round(session.suite, dataset, names, share, measure)

    planned = plan()
    if session.check(session.measurements(planned, dataset, (measure,))):
        planned = plan()
    return session.execute(planned, dataset, (measure,))


def _columns(done: Executed, name: str, measure: Measure) -> list[Column]:
    systems = [system for system in done.scores.plan.systems if system.name == name]
    return [values_of(done.rows[system.label], str(measure), DEV) for system in systems]


def _training_seconds(done: Executed, name: str) -> float:
    systems = [system for system in done.scores.plan.systems if system.name == name]
    keys = {key for system in systems for key in system.models.values()}
    return sum(done.execution.rows[key].seconds for key in keys if key in done.execution.rows)
