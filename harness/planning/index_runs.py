"""Runs that show what the index of a pipeline loses: exact search by the same encoder beside search by the index."""

from __future__ import annotations

from dataclasses import replace

from harness.models.stored_vectors import QUANTIZED
from harness.planning.calls import TunedPipeline
from harness.planning.graph import IndexRuns
from harness.planning.rankings import Rankings
from harness.suite.pipeline import Retriever

EVERY_VECTOR = 1_000_000
"""As `rescore`: all quantized vectors are scored again, so that search in them is exact."""


def index_runs(planner: Rankings, pipeline: TunedPipeline, split: str) -> IndexRuns | None:
    """Add these runs to a plan and return their keys; None if the pipeline has no index."""
    rule, built = pipeline.settings.retriever, planner.built_index(pipeline)
    if rule.index is None or built is None:
        return None
    rescore = EVERY_VECTOR if rule.precision in QUANTIZED else rule.rescore
    exact = (
        rule.model_copy(update={"index": None, "precision": None}),
        rule.model_copy(update={"index": None, "rescore": rescore}),
    )
    runs = [planner.searched(one, split) for one in (*(_exact(pipeline, rule) for rule in exact), pipeline)]
    return IndexRuns(tuple(runs), tuple(str(planner.scored(pipeline, run, split)) for run in runs), built)


def _exact(pipeline: TunedPipeline, retriever: Retriever) -> TunedPipeline:
    settings = pipeline.settings.model_copy(update={"retriever": retriever})
    return replace(pipeline, settings=settings, name=f"{pipeline.name} (exact)")
