"""Scores of ranked lists, against pytrec_eval and ranx alone: warm, and in a process that has imported nothing.

Run as a script, it prints the seconds from the first import to the last score in this process.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator

MEASURES = ("ndcg@10", "recall@100", "mrr@10", "map@100")
QUERIES, DEPTH = 7_000, 100
Run = dict[str, list[tuple[str, float]]]
Qrels = dict[str, dict[str, int]]


def lists(queries: int) -> tuple[Run, Qrels]:
    """Lists of 100 documents and five judgements of each query, three of them in the list."""
    dice = random.Random(0)
    run, qrels = {}, {}
    for number in range(queries):
        scores = sorted((dice.random() for _ in range(DEPTH)), reverse=True)
        names = [f"d{dice.randrange(10**6)}-{place}" for place in range(DEPTH)]
        run[f"q{number}"] = list(zip(names, scores, strict=True))
        qrels[f"q{number}"] = dict.fromkeys([*dice.sample(names, 3), "missing-1", "missing-2"], 1)
    return run, qrels


def harness_scores(run: Run, qrels: Qrels) -> dict[str, float]:
    """The means of the four measures."""
    from harness.scoring import rank
    from harness.values.measures import parse

    values = rank.score_run(run, qrels, [parse(name) for name in MEASURES])
    return {str(measure): sum(scores.values()) / len(scores) for measure, scores in values.items()}


def pytrec_scores(run: Run, qrels: Qrels) -> dict[str, float]:
    import pytrec_eval

    asked = {"ndcg@10": "ndcg_cut_10", "recall@100": "recall_100", "mrr@10": "recip_rank", "map@100": "map_cut_100"}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100", "recip_rank", "map_cut.100"})
    rows = evaluator.evaluate({key: dict(hits) for key, hits in run.items()}).values()
    # trec_eval has no cut of the reciprocal rank: below rank 10 it is 0 here.
    cut = {"mrr@10": lambda value: value if value >= 0.1 else 0.0}
    means = {}
    for name, theirs in asked.items():
        keep: Callable[[float], float] = cut.get(name, float)
        means[name] = sum(keep(row[theirs]) for row in rows) / len(qrels)
    return means


def ranx_scores(run: Run, qrels: Qrels) -> dict[str, float]:
    import ranx

    judged, ranked = ranx.Qrels(qrels), ranx.Run({key: dict(hits) for key, hits in run.items()})
    return {name: float(value) for name, value in ranx.evaluate(judged, ranked, list(MEASURES)).items()}


SCORERS = {"harness": harness_scores, "pytrec_eval": pytrec_scores, "ranx": ranx_scores}
CHILD = "import rank_scores, sys; rank_scores.once(sys.argv[1], int(sys.argv[2]))"


def once(name: str, queries: int) -> None:
    run, qrels = lists(queries)
    started = time.perf_counter()
    SCORERS[name](run, qrels)
    print(time.perf_counter() - started)


def measure(lab: object) -> Iterator[object]:
    from measuring import Bar, Lab, Row, alternate, fresh, largest_difference

    assert isinstance(lab, Lab)
    queries = lab.sized(QUERIES, 50)
    run, qrels = lists(queries)
    means: dict[str, dict[str, float]] = {}

    def side(name: str) -> Callable[[], None]:
        return lambda: means.update({name: SCORERS[name](run, qrels)})

    def child(name: str) -> Callable[[], float]:
        return lambda: float(fresh(CHILD, name, str(queries)))

    what = f"{queries:,} queries x {DEPTH} documents x {len(MEASURES)} measures"
    for state, times, most in (
        ("warm", alternate({name: side(name) for name in SCORERS}, lab.repeats), 1.5),
        ("in a new process", alternate({name: child(name) for name in SCORERS}, lab.repeats), 5.0),
    ):
        yield Row(f"{what}, {state}", times["harness"], bar=Bar("at most", most))
        for name in ("pytrec_eval", "ranx"):
            yield Row(f"{what}, {state}", times["harness"], times[name], name)
    for name in ("pytrec_eval", "ranx"):
        difference = largest_difference(
            [means["harness"][key] for key in MEASURES], [means[name][key] for key in MEASURES]
        )
        yield Row(f"largest difference of a mean from {name}", (difference,), unit="", bar=Bar("at most", 1e-9))


if __name__ == "__main__":
    once(sys.argv[1], int(sys.argv[2]))
