"""fuse: two or more runs in, one run out, by reciprocal rank fusion."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from harness.data.formats import read_run, write_run
from harness.stages import Asked, Hits, Inputs, Stage, Step, Takes
from harness.stages.retrieve import RUN_FILE
from harness.suite.fields import Spec
from harness.values.records import Progress, Run, Usage


class FuseSpec(Spec):
    """`k` dampens the weight of the first ranks; it is 60 in the source."""

    depth: int
    k: int


def fuse(spec: FuseSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Fuse every input run, in the order of their names."""
    runs = [read_run(inputs[name] / RUN_FILE, escaped=True) for name in sorted(inputs)]
    fused = reciprocal_rank_fusion(runs, spec.k, spec.depth)
    write_run(out / RUN_FILE, fused)
    progress(len(fused), len(fused))
    return Usage(units=len(fused), notes={"queries": len(fused)})


def reciprocal_rank_fusion(runs: list[Run], k: int, depth: int) -> Run:
    """Score a document by the sum of 1 / (k + rank) over the runs (Cormack, Clarke and Buettcher, SIGIR 2009)."""
    queries = list(dict.fromkeys(query_id for run in runs for query_id in run))
    fused: Run = {}
    for query_id in queries:
        scores: dict[str, float] = defaultdict(float)
        for run in runs:
            for rank, (doc_id, _) in enumerate(run.get(query_id, []), start=1):
                scores[doc_id] += 1.0 / (k + rank)
        ranked = sorted(scores.items(), reverse=True)
        ranked.sort(key=lambda hit: -hit[1])
        fused[query_id] = ranked[:depth]
    return fused


def serve(spec: FuseSpec, inputs: Inputs) -> Step:
    """Fuse the lists of one query, as the stage does."""

    def step(asked: Asked) -> Hits:
        runs = [{"": asked.lists[name]} for name in sorted(asked.lists)]
        return reciprocal_rank_fusion(runs, spec.k, spec.depth)[""]

    return step


STAGE = Stage(
    run=fuse,
    spec=FuseSpec,
    version=1,
    takes=Takes(numbered="run"),
    heavy=False,
    rate=2000.0,
    unit="queries",
    serve=serve,
    runs=("run",),
)
