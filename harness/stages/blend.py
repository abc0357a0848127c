"""blend: two runs in, one run out: the weighted sum of their scores, standardised per query.

With the pool ``first``, a reranker's scores move the first documents of a list. With
``union``, two first stages are fused. The weight is given, or chosen on dev by `weigh`.
"""

from __future__ import annotations

from pathlib import Path

from harness.data.formats import read_run, write_run
from harness.stages import Inputs, Stage, Step, Takes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.blending import Blending, BlendPool, Weight, blended, blended_runs
from harness.suite.fields import Positive, Share, Spec
from harness.values.records import Progress, Usage


class BlendSpec(Spec):
    """See `blending.Blending`; `weight` is that of the run `second`, None if the input `weight` holds a chosen one.

    A reranker must have scored the same `depth`: what it puts below its own depth is no score.
    """

    depth: Positive
    weight: Share | None = None
    pool: BlendPool = "first"


def blend(spec: BlendSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Blend the runs `first` and `second`. Raises ValueError unless exactly one weight is given."""
    if (spec.weight is None) == ("weight" not in inputs):
        raise ValueError("blend needs one weight: a number in its settings, or one that weigh chose on dev")
    weight = Weight.read(inputs["weight"]).weight if spec.weight is None else spec.weight
    first, second = (read_run(inputs[name] / RUN_FILE, escaped=True) for name in ("first", "second"))
    run = blended_runs(first, second, Blending(weight, spec.depth, spec.pool))
    write_run(out / RUN_FILE, run)
    progress(len(run), len(run))
    changed = sum(_order(hits) != _order(first.get(query_id, [])) for query_id, hits in run.items())
    return Usage(units=len(run), notes={"queries": len(run), "weight": weight, "lists changed": changed})


def _order(hits: list[tuple[str, float]]) -> list[str]:
    return [doc_id for doc_id, _ in hits]


def serve(spec: BlendSpec, inputs: Inputs) -> Step:
    """Blend the lists of one query, as the stage does."""
    weight = Weight.read(inputs["weight"]).weight if spec.weight is None else spec.weight
    how = Blending(weight, spec.depth, spec.pool)
    return lambda asked: blended(asked.lists["first"], asked.lists["second"], how)


STAGE = Stage(
    run=blend,
    spec=BlendSpec,
    version=1,
    takes=Takes(("first", "second"), ("weight",)),
    heavy=False,
    rate=1000.0,
    unit="queries",
    serve=serve,
    runs=("first", "second"),
)
