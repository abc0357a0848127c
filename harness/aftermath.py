"""What an outcome says beyond gains: by slice, by dollar, on another data set, and against what was predicted.

All of it is worked out once the systems of a plan are scored and compared; nothing here scores anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from harness import diagnoses
from harness.comparing import ALPHA, RESAMPLES, Comparisons
from harness.datasets import Dataset
from harness.diagnosis_plan import pipeline_identity
from harness.findings import Outcome
from harness.insights import Diagnosis
from harness.predictions import predict_outcome
from harness.roi import returns
from harness.slices import slice_gains
from harness.slicing import slice_values
from harness.spec import Suite

Slices = Mapping[str, Mapping[str, str]]
"""Field -> query -> slice."""


def slices_of(suite: Suite, dataset: Dataset) -> Slices:
    """The slice of every scored question in each field that the suite names; ConfigError for a field there is not."""
    part = dataset.splits[suite.evaluate.split]
    return {name: slice_values(name, part.queries, part.qrels, dataset.documents) for name in suite.slices}


def complete(
    outcome: Outcome, suite: Suite, compared: Comparisons, slices: Slices, root: Path, unknown: Collection[str] = ()
) -> Outcome:
    """The outcome with its slices, its returns, and, if the pipeline was diagnosed, what was predicted of it.

    `unknown` has the labels of systems whose cost to make is not known in full.
    """
    found = slice_gains(
        compared.served(), slices, failure_limit=suite.failure_limit, alpha=ALPHA, resamples=RESAMPLES
    ) if slices else []  # fmt: skip
    outcome = outcome.model_copy(
        update={
            "slices": tuple(found),
            "returns": tuple(returns(outcome.systems, outcome.comparisons, suite.prices, unknown=unknown)),
        }
    )
    diagnosis = diagnoses.latest(root, suite.name)
    if diagnosis is None:
        return outcome
    if trouble := _other(diagnosis, outcome, suite):
        return outcome.model_copy(update={"notes": (*outcome.notes, trouble)})
    # What the diagnosis was made with stands in its own files.
    kept = diagnosis.model_copy(update={"spec": {}, "provenance": {}})
    return outcome.model_copy(update={"diagnosis": kept, "predictions": predict_outcome(diagnosis, outcome)})


def _other(diagnosis: Diagnosis, outcome: Outcome, suite: Suite) -> str:
    """Why a diagnosis does not speak of this outcome; empty if it does."""
    same_pipeline = diagnosis.pipeline == pipeline_identity(suite)
    same_corpus = diagnosis.digests.get("corpus") == outcome.dataset.digests.get("corpus")
    if same_pipeline and same_corpus:
        return ""
    what = "pipeline" if same_corpus else "corpus"
    return f"The last diagnosis of {suite.name} is of another {what}; 'harness diagnose {suite.name}' makes a new one."
