"""weigh: two runs of dev queries and their judgements in, the weight of the second run out.

The weights 0, 0.1, ... 1 are tried; 0 is the first run alone and 1 the second, so that neither a reranker nor a fusion
that does harm on dev is used. `choose` says which one is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from harness.data.formats import read_run
from harness.stages import Inputs, Stage, Takes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.blending import Blending, BlendPool, Weight, blended
from harness.stages.shared.common import read_judgements
from harness.stages.shared.dev_evaluation import DEV_CUTOFF, ndcg
from harness.suite.fields import Positive, Spec
from harness.values.grades import judged_queries
from harness.values.records import Progress, Qrels, Run, Usage

POOL, WEIGHT = "pool", "weight"
"""Notes that the remarks of a report read."""
CHOICES = tuple(step / 10 for step in range(11))


class WeighSpec(Spec):
    """See `blending.Blending`; both must be those that the weight is used with."""

    depth: Positive
    pool: BlendPool = "first"


def weigh(spec: WeighSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write `weight.json`: the weight of the run `second`, and the mean ndcg@10 of every choice.

    The input `qrels` holds the judgements of dev, with their grades. Raises ValueError if no query has a relevant
    document.
    """
    first, second = (read_run(inputs[name] / RUN_FILE, escaped=True) for name in ("first", "second"))
    qrels = read_judgements(inputs["qrels"])
    queries = judged_queries(qrels)
    if not queries:
        raise ValueError("no dev query has a relevant document; judge some, or give the weight as a number")
    scores: dict[float, list[float]] = {}
    for number, weight in enumerate(CHOICES, start=1):
        scores[weight] = _scores(queries, first, second, qrels, Blending(weight, spec.depth, spec.pool))
        progress(number * len(queries) // len(CHOICES), len(queries))
    weight = choose(scores)
    means = {f"{choice:.1f}": fmean(values) for choice, values in scores.items()}
    Weight(weight, means).write(out)
    table = {key: round(mean, 4) for key, mean in means.items()}
    # What is weighted: a reranker within the pool of the first run, or a second first stage.
    notes = {"dev queries": len(queries), POOL: spec.pool, WEIGHT: weight, f"ndcg@{DEV_CUTOFF} by weight": table}
    return Usage(units=len(queries), notes=notes)


def _scores(queries: Sequence[str], first: Run, second: Run, qrels: Qrels, how: Blending) -> list[float]:
    """ndcg@10 of each query with one weight; an empty list scores 0."""
    lists = (blended(first.get(key, []), second.get(key, []), how) for key in queries)
    return [
        ndcg([doc_id for doc_id, _ in hits[:DEV_CUTOFF]], qrels[key], DEV_CUTOFF)
        for key, hits in zip(queries, lists, strict=True)
    ]


def choose(scores: Mapping[float, Sequence[float]]) -> float:
    """Choose a weight by its scores on each query; weights in rising order, the first is 0 and the last 1.

    The mean is best on a plateau more often than at a peak, and on few queries a peak is chance. So the middle of the
    plateau around the best mean is taken: the neighbours that are at most one standard error of the paired difference
    below it. None of them is worse than 0 or 1 on dev. Of two in the middle, the better one is taken, then the smaller.
    On two datasets with four pairs of runs each and 15 to 240 dev queries, drawn 200 times, this gains over the best
    mean on the other queries in 33 of 40 cases, 0.0006 of ndcg@10 on average, and loses at most 0.0004.
    """
    weights = list(scores)
    means = {weight: fmean(scores[weight]) for weight in weights}
    floor = max(means[weights[0]], means[weights[-1]])
    best = max(weights, key=lambda weight: (means[weight], -weight))

    def near(weight: float) -> bool:
        below = [top - value for top, value in zip(scores[best], scores[weight], strict=True)]
        error = stdev(below) / math.sqrt(len(below)) if len(below) > 1 else 0.0
        return means[weight] >= floor and means[best] - means[weight] <= error

    start = end = weights.index(best)
    while start > 0 and near(weights[start - 1]):
        start -= 1
    while end < len(weights) - 1 and near(weights[end + 1]):
        end += 1
    middle = [weights[(start + end) // 2], weights[(start + end + 1) // 2]]
    return max(middle, key=lambda weight: (means[weight], -weight))


STAGE = Stage(
    run=weigh,
    spec=WeighSpec,
    version=1,
    takes=Takes(("first", "second", "qrels")),
    heavy=False,
    rate=500.0,
    unit="queries",
)
