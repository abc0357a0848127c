"""`harness curve`: trains a candidate on shares of its data, to see whether more data would pay.

The suite is run with that candidate alone, once for each share, beside the untuned pipeline. The result is no outcome
of the suite: it has its own folder, no gate or leaderboard reads it, and nothing is timed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple, Unpack

from harness import provenance
from harness.data.datasets import Dataset
from harness.errors import ConfigError, Problem, nearest
from harness.execution.measurements import Measurements
from harness.execution.scheduler import Execution
from harness.execution.session import STORE, Executed, Options, Session
from harness.experiments import curve_answers, reports
from harness.planning.graph import Plan, SystemPlan
from harness.planning.plan import build_plan
from harness.statistics import learning_curve
from harness.statistics.comparisons import ALPHA, RESAMPLES, values_of
from harness.suite.files import load_suite
from harness.suite.recipes import Part
from harness.suite.spec import Candidate, Suite
from harness.values.insights import LearningCurve
from harness.values.measures import Measure
from harness.values.questions import synthetic_questions
from harness.values.systems import UNTUNED

SHARES = (0.25, 0.5, 1.0)
CALIBRATE = "calibrate it with 'harness judge', or gate another measure"
RETRIEVAL: tuple[Part, ...] = ("retriever", "reranker")
Where = Literal["dev", "test"]


class CurveResult(NamedTuple):
    """A curve, where it was written, and how much of it had to be computed."""

    curve: LearningCurve
    folder: Path
    calls_made: int
    failed: Mapping[str, str]


def curve(
    suite: str | Path, candidate: str, store: str | Path = STORE, shares: Sequence[float] = SHARES,
    split: Where = "dev", seeds: Sequence[int] = (), **options: Unpack[Options],
) -> CurveResult:  # fmt: skip
    """Train a candidate of a suite on each share of its data, score it on `split`, and write what came of it.

    `seeds` replaces those of the suite; scores of several are averaged by question. `options` are those of a session.
    Raises HarnessError for anything wrong with the suite, its data, its models or what was asked for; a training that
    fails is part of the curve.
    """
    started = time.perf_counter()
    session = Session(load_suite(suite)[0], store, **options)
    derived = suite_for(session.suite, candidate, shares, split, seeds)
    dataset = session.load(derived)
    planned = _measurements(session, derived, dataset)
    if session.check(planned):
        planned = _measurements(session, suite_for(session.suite, candidate, shares, split, seeds), dataset)
    done = session.execute(planned.plan, dataset, planned.measures)
    learned = _learning_curve(session.suite, candidate, sorted(set(shares)), done)
    learned = learned.model_copy(update={"seconds": time.perf_counter() - started})
    rows = [row for of_system in done.rows.values() for row in of_system]
    folder = reports.write_curve(learned, session.root, rows, session.suite.track)
    session.note_keys(folder)
    return CurveResult(learned, folder, done.execution.made, done.execution.failed)


def _measurements(session: Session, suite: Suite, dataset: Dataset) -> Measurements:
    """The plan of a curve with the measures that decide it. Raises ConfigError if none does."""
    plan = build_plan(suite, dataset)
    # Dev is scored only if it is what was asked for.
    plan.systems = [replace(system, dev_run=None) for system in plan.systems]
    measurements = session.measurements(plan, dataset)
    if not measurements.calibrated:
        names = ", ".join(measurements.uncalibrated())
        raise ConfigError(Problem("gates", f"{names} rests on an uncalibrated judge", CALIBRATE))
    return session.measurements(plan, dataset, measurements.calibrated)


def suite_for(suite: Suite, name: str, shares: Sequence[float], split: Where, seeds: Sequence[int] = ()) -> Suite:
    """The suite with one candidate at every share beside the untuned pipeline, under a name of its own.

    Raises ConfigError for an unknown candidate, for shares that make no curve, and if no gated measure could move.
    """
    candidate = suite.all_candidates.get(name)
    if candidate is None:
        raise ConfigError(Problem("", f"{suite.name} has no candidate {name!r}", nearest(name, suite.all_candidates)))
    if not candidate.tune:
        what = f"{name} trains nothing, so it has no curve over its training data"
        raise ConfigError(Problem(f"suite {suite.name}", what, "name a candidate that tunes a part"))
    ordered = sorted(set(shares))
    if len(ordered) < 2 or not all(0 < share <= 1 for share in ordered):
        what = "a curve needs at least two shares, above 0 and at most 1"
        raise ConfigError(Problem("--shares", what, "try 0.25,0.5,1"))
    measures = moved(suite, candidate)
    if not measures:
        what = f"no gated measure depends on the {' and the '.join(candidate.tune)}"
        raise ConfigError(Problem("gates", what, "gate a measure that does"))
    return suite.model_copy(
        update={
            "name": f"{suite.name}-curve-{name}",
            "evaluate": suite.evaluate.model_copy(update={"split": split}),
            "candidates": {label_of(name, share): at_share(suite, candidate, share) for share in ordered},
            "factorial": {},
            "baseline_rows": (UNTUNED,),
            "seeds": tuple(dict.fromkeys(seeds)) or suite.seeds,
            "measures": measures,
            "gates": tuple(gate for gate in suite.gates if gate.measure in measures),
            "slices": (),
            "forgetting": None,
        }
    )


def moved(suite: Suite, candidate: Candidate) -> tuple[Measure, ...]:
    """Return the gated measures that depend on what the candidate tunes: runs do not depend on the generator."""
    ranks = bool({*RETRIEVAL} & {*candidate.tune})
    return tuple(measure for measure in suite.margins if ranks or not measure.is_rank)


def label_of(name: str, share: float) -> str:
    """Return the name of a candidate at a share: ``retriever-at-25``, ``retriever-at-12-5``."""
    return f"{name}-at-{100 * share:.10g}".replace(".", "-")


def at_share(suite: Suite, candidate: Candidate, share: float) -> Candidate:
    """Return the candidate with each part trained on a share of its present data; the same one for the share 1."""
    if share == 1:
        return candidate
    update: dict[str, Any] = {}
    for part in candidate.tune:
        whole = suite.recipe(candidate, part).train_share
        update[part] = getattr(candidate, part).model_copy(update={"train_share": share * whole})
    return candidate.model_copy(update=update)


def _learning_curve(suite: Suite, name: str, shares: Sequence[float], done: Executed) -> LearningCurve:
    plan, measures = done.scores.plan, done.scores.measures
    split, untuned = plan.suite.evaluate.split, done.rows[UNTUNED]
    margins = {measure: plan.suite.margins[measure] for measure in measures}
    named = {str(measure): margin for measure, margin in margins.items()}
    points = learning_curve.curve_points(
        [_trained(label_of(name, share), share, done) for share in shares],
        {measure: values_of(untuned, str(measure), split) for measure in measures},
        {row.query_id: row.group for row in untuned},
        margins,
        failure_limit=suite.failure_limit,
        alpha=ALPHA,
        resamples=RESAMPLES,
    )
    return LearningCurve(
        suite=suite.name,
        candidate=name,
        split=split,
        created=provenance.now(),
        margins=named,
        points=tuple(points),
        said=curve_answers.answers(points, named),
        notes=tuple(_notes(suite, name, done)),
        questions=synthetic_questions(done.scores.dataset.splits[split].queries.values(), done.scores.dataset.source),
    )


def _trained(name: str, share: float, done: Executed) -> learning_curve.TrainedShare:
    """Return a share over its seeds: scores averaged by query, mean examples and mean seconds of a seed."""
    plan = done.scores.plan
    systems = [system for system in plan.systems if system.name == name]
    split = plan.suite.evaluate.split
    made = [_making(system, plan, done.execution) for system in systems]
    return learning_curve.TrainedShare(
        share=share,
        system=name,
        examples=round(fmean(examples for examples, _ in made)),
        seconds=fmean(seconds for _, seconds in made),
        values={
            measure: learning_curve.averaged(
                [values_of(done.rows[system.label], str(measure), split) for system in systems]
            )
            for measure in done.scores.measures
        },
    )


def _making(system: SystemPlan, plan: Plan, execution: Execution) -> tuple[int, float]:
    """Return examples (of all parts together, each as often as it is tuned) and seconds of a system's trainings.

    An example is what the stage counts: a list of a retriever, a pair of a reranker, a prompt of a generator.
    """
    examples, seconds = 0, 0.0
    for part, key in system.models.items():
        row = execution.rows.get(key)
        if row is not None:
            examples += row.units // plan.suite.recipe(plan.suite.candidates[system.name], part).epochs
            seconds += row.machine_seconds
    return examples, seconds


def _notes(suite: Suite, name: str, done: Executed) -> Iterator[str]:
    """Yield what a reader must know to judge the curve."""
    plan, measures = done.scores.plan, done.scores.measures
    for system in plan.systems:
        if why := done.execution.why_failed(system.goals):
            yield f"{system.label} failed: {why}"
    split = plan.suite.evaluate.split
    if split == "dev" and plan.chooses_on_dev:
        yield (
            "Checkpoints were chosen on the queries that are scored here, so every share looks too good; "
            "set recipes...checkpoints: 1, or run once with --split test"
        )
    if split == "dev" and any(planned.call.stage == "weigh" for planned in plan.calls.values()):
        yield (
            "Weights were chosen on the queries that are scored here, anew for every share; give them as numbers, or "
            "run once with --split test"
        )
    if split == "test":
        yield "This was an evaluation on the test split, and the outcomes of the suite count it"
    seeds = plan.suite.seeds
    yield (
        f"Each share was trained once, with seed {seeds[0]}: another seed would move every point; repeat --seed"
        if len(seeds) == 1
        else f"Scores are averaged over {len(seeds)} seeds, and the intervals are about these trainings"
    )
    yield "Every share is trained for as many epochs, so less data also means fewer steps"
    left_out = [str(measure) for measure in suite.margins if measure not in measures]
    if left_out:
        tuned = " and the ".join(suite.all_candidates[name].tune)
        yield (
            f"Left out: {', '.join(left_out)}; tuning the {tuned} cannot change it, or an uncalibrated judge decides it"
        )
