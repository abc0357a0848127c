"""What an outcome says beyond gains: by slice, by dollar, on another data set, and against what was predicted.

All of it is worked out once the systems of a plan are scored and compared; nothing here scores anything.
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
    """The slice of every scored question in each field that the suite names; ConfigError for a field there is not."""
    part = dataset.splits[suite.evaluate.split]
    language = dataset.language
    return {name: slice_values(name, part.queries, part.usable, dataset.documents, language) for name in suite.slices}


def complete(
    outcome: Outcome, suite: Suite, compared: Comparisons, slices: Slices, root: Path, unknown: Collection[str] = ()
) -> Outcome:
    """The outcome with its slices, its returns, and, if the pipeline was diagnosed, what was predicted of it.

    `unknown` has the labels of systems whose cost to make is not known in full.
    """
    told = {field: values for field, values in slices.items() if len(set(values.values())) > 1}
    found = slice_gains(
        compared.deployable(), told, failure_limit=suite.failure_limit, alpha=ALPHA, resamples=RESAMPLES
    ) if told else []  # fmt: skip
    outcome = outcome.model_copy(
        update={
            "slices": tuple(found),
            "notes": (*outcome.notes, *_one_slice(slices)),
            "roi": tuple(roi(outcome.systems, outcome.comparisons, suite.prices, unknown=unknown)),
        }
    )
    diagnosis = diagnoses.latest(root, suite.name)
    return outcome if diagnosis is None else _predicted(outcome, suite, diagnosis)


def _one_slice(slices: Slices) -> Iterator[str]:
    for field, values in slices.items():
        if len(kinds := set(values.values())) == 1:
            yield f"Slice {field}: every question is in {kinds.pop()!r}, so there is nothing to tell apart."


def _predicted(outcome: Outcome, suite: Suite, diagnosis: Diagnosis) -> Outcome:
    """The outcome beside what a diagnosis said, as far as that speaks of the same pipeline, data and measures."""
    if trouble := _other(diagnosis, outcome, suite):
        return outcome.model_copy(update={"notes": (*outcome.notes, trouble)})
    changed = [
        estimate.candidate
        for estimate in diagnosis.estimates
        if estimate.identity != _identity(suite, estimate.candidate)
    ]
    estimates = tuple(estimate for estimate in diagnosis.estimates if estimate.candidate not in changed)
    # What the diagnosis was made with stands in its own files.
    kept = diagnosis.model_copy(update={"spec": {}, "provenance": {}, "estimates": estimates})
    told = predict_outcome(kept, outcome)
    unlike = {
        measure: why
        for one in told
        for measure in [one.measure]
        if (why := _unlike(measure, diagnosis, outcome, suite))
    }
    notes = [f"Nothing was predicted of {measure}: {why}." for measure, why in unlike.items()]
    notes += [f"The cost of {name} was estimated for another recipe of that name." for name in changed]
    return outcome.model_copy(
        update={
            "diagnosis": kept,
            "predictions": tuple(one for one in told if one.measure not in unlike),
            "notes": (*outcome.notes, *notes),
        }
    )


def _identity(suite: Suite, name: str) -> str:
    return recipe_identity(suite, suite.all_candidates[name]) if name in suite.all_candidates else ""


def _unlike(measure: str, diagnosis: Diagnosis, outcome: Outcome, suite: Suite) -> str:
    """Why a measure of the outcome is not what the diagnosis measured; empty if it is."""
    if suite.evaluate.contexts is not None and not parse(measure).is_rank:
        return "the suite fixes the passages that generators are shown, and the diagnosis did not"
    measured = outcome.measured.get(measure)
    if measured is None or diagnosis.settings.get(measure) != digest_of(measured.settings):
        return "it is measured in another way than the diagnosis did"
    return ""


def _other(diagnosis: Diagnosis, outcome: Outcome, suite: Suite) -> str:
    """Why a diagnosis does not speak of this outcome; empty if it does."""
    same_pipeline = diagnosis.pipeline == pipeline_identity(suite)
    questions = [f"{diagnosis.split}.{part}" for part in ("queries", "qrels", "references")]
    same_data = all(diagnosis.digests.get(key) == outcome.dataset.digests.get(key) for key in ("corpus", *questions))
    if same_pipeline and same_data:
        return ""
    what = "pipeline" if same_data else "data"
    return f"The last diagnosis of {suite.name} is of another {what}; 'harness diagnose {suite.name}' makes a new one."
