"""The parts of an outcome that follow from scores and comparisons: slices, ROI, and checked predictions.

Nothing here scores anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from harness.data.datasets import Dataset
from harness.data.slicing import slice_values
from harness.diagnosis.predictions import predict_outcome
from harness.hashing import digest_of
from harness.planning.estimates import recipe_identity
from harness.planning.oracles import pipeline_identity
from harness.results import diagnoses
from harness.statistics.comparisons import ALPHA, RESAMPLES, Comparisons
from harness.statistics.roi import roi
from harness.statistics.slices import slice_gains
from harness.suite.spec import Suite
from harness.values.findings import Outcome
from harness.values.insights import Diagnosis
from harness.values.measures import parse

Slices = Mapping[str, Mapping[str, str]]
"""Field -> query -> slice."""


def slices_of(suite: Suite, dataset: Dataset) -> Slices:
    """Return the slice of every scored query in each field of the suite. Raises ConfigError for an unknown field."""
    part = dataset.splits[suite.evaluate.split]
    language = dataset.language
    return {name: slice_values(name, part.queries, part.usable, dataset.documents, language) for name in suite.slices}


def complete(
    outcome: Outcome, suite: Suite, compared: Comparisons, slices: Slices, root: Path, unknown: Collection[str] = ()
) -> Outcome:
    """Return the outcome with its slices, its ROI, and, if the pipeline was diagnosed, the checked predictions.

    `unknown` has the labels of systems whose build cost is not known in full.
    """
    varying = {field: values for field, values in slices.items() if len(set(values.values())) > 1}
    gains = slice_gains(
        compared.deployable(), varying, failure_limit=suite.failure_limit, alpha=ALPHA, resamples=RESAMPLES
    ) if varying else []  # fmt: skip
    setting = outcome.best_untrained.system if outcome.best_untrained else ""
    whole = _in_full(outcome)
    outcome = outcome.model_copy(
        update={
            "slices": tuple(gains),
            "notes": (*outcome.notes, *_one_slice(slices)),
            "roi": tuple(roi(whole.systems, whole.comparisons, suite.prices, unknown=unknown, best_untrained=setting)),
        }
    )
    diagnosis = diagnoses.latest(root, suite.name)
    return outcome if diagnosis is None else _predicted(outcome, suite, diagnosis)


def _one_slice(slices: Slices) -> Iterator[str]:
    for field, values in slices.items():
        if len(kinds := set(values.values())) == 1:
            yield f"Slice {field}: every query is in {kinds.pop()!r}, so there is nothing to compare."


def _in_full(outcome: Outcome) -> Outcome:
    """The outcome without candidates that a search stopped: they say nothing of what their training would have paid."""
    stopped = {info.name for info in outcome.systems if info.stopped}
    return outcome.model_copy(
        update={
            "systems": tuple(info for info in outcome.systems if info.name not in stopped),
            "comparisons": tuple(row for row in outcome.comparisons if row.system not in stopped),
            "recipe_claims": tuple(claim for claim in outcome.recipe_claims if claim.system not in stopped),
        }
    )


def _predicted(outcome: Outcome, suite: Suite, diagnosis: Diagnosis) -> Outcome:
    """Return the outcome with the predictions of a diagnosis of the same pipeline, data and measures."""
    if mismatch := _other(diagnosis, outcome, suite):
        return outcome.model_copy(update={"notes": (*outcome.notes, mismatch)})
    changed = [
        estimate.candidate
        for estimate in diagnosis.estimates
        if estimate.identity != _identity(suite, estimate.candidate)
    ]
    estimates = tuple(estimate for estimate in diagnosis.estimates if estimate.candidate not in changed)
    # The spec and provenance of the diagnosis are in its own files.
    short = diagnosis.model_copy(update={"spec": {}, "provenance": {}, "estimates": estimates})
    predictions = predict_outcome(short, _in_full(outcome))
    unlike = {
        measure: why
        for prediction in predictions
        for measure in [prediction.measure]
        if (why := _unlike(measure, diagnosis, outcome, suite))
    }
    notes = [f"No prediction of {measure} is checked: {why}." for measure, why in unlike.items()]
    notes += [
        f"The predicted cost of {name} is left out: its recipe has changed since the diagnosis." for name in changed
    ]
    return outcome.model_copy(
        update={
            "diagnosis": short,
            "predictions": tuple(prediction for prediction in predictions if prediction.measure not in unlike),
            "notes": (*outcome.notes, *notes),
        }
    )


def _identity(suite: Suite, name: str) -> str:
    return recipe_identity(suite, suite.all_candidates[name]) if name in suite.all_candidates else ""


def _unlike(measure: str, diagnosis: Diagnosis, outcome: Outcome, suite: Suite) -> str:
    """Return why the diagnosis measured something else under the name of a measure; empty if it did not."""
    if suite.evaluate.contexts is not None and not parse(measure).is_rank:
        return "the suite fixes the passages that generators are shown, and the diagnosis does not"
    measured = outcome.measured.get(measure)
    if measured is None or diagnosis.settings.get(measure) != digest_of(measured.settings):
        return "the diagnosis measured it with other settings"
    return ""


def _other(diagnosis: Diagnosis, outcome: Outcome, suite: Suite) -> str:
    """Return why a diagnosis does not apply to this outcome; empty if it does."""
    same_pipeline = diagnosis.pipeline == pipeline_identity(suite)
    questions = [f"{diagnosis.split}.{part}" for part in ("queries", "qrels", "references")]
    same_data = all(diagnosis.digests.get(key) == outcome.dataset.digests.get(key) for key in ("corpus", *questions))
    if same_pipeline and same_data:
        return ""
    what = "pipeline" if same_data else "data"
    return f"The last diagnosis of {suite.name} is of another {what}; 'harness diagnose SUITE' makes a new one."
