"""Invented oracle gains, and advice with its cost estimates."""

from __future__ import annotations

from typing import Any

from harness.values.insights import (
    Advice,
    CostEstimate,
    Oracle,
    OracleGain,
    Worth,
)

GROUPS = 74
ROOM: tuple[tuple[Oracle, str, bool, float, float, float, float], ...] = (
    # oracle, measure, bound, real, best, interval of the difference
    ("oracle-retriever", "ndcg@10", True, 0.5512, 1.0000, 0.3904, 0.5072),
    ("oracle-reranker", "ndcg@10", True, 0.5512, 0.9012, 0.2945, 0.4055),
    ("oracle-retriever", "exact_match", False, 0.1379, 0.2299, 0.0184, 0.1656),
    ("oracle-reranker", "exact_match", False, 0.1379, 0.2184, 0.0093, 0.1517),
    ("oracle-context", "exact_match", False, 0.1379, 0.2529, 0.0352, 0.1948),
    ("oracle-generator", "exact_match", False, 0.1379, 0.5632, 0.3121, 0.5385),
    ("oracle-retriever", "utility", False, -0.6667, -0.5051, -0.0182, 0.3414),
    ("oracle-reranker", "utility", False, -0.6667, -0.5253, -0.0303, 0.3131),
    ("oracle-context", "utility", False, -0.6667, -0.4646, 0.0202, 0.3840),
    ("oracle-generator", "utility", False, -0.6667, 0.1919, 0.6364, 1.0808),
)


def oracle_gains() -> tuple[OracleGain, ...]:
    rank = {"n_queries": 172, "n_groups": GROUPS, "detectable": 0.031}
    answers = {"n_queries": 99, "n_groups": 58, "detectable": 0.081}
    found = [
        OracleGain(
            oracle=name, measure=measure, bound=bound, real=real, best=best, difference=best - real, low=low, high=high,
            **(rank if "@" in measure else answers),
        )
        for name, measure, bound, real, best, low, high in ROOM
    ]  # fmt: skip
    lost = OracleGain(
        oracle="oracle-generator", measure="ndcg@10", bound=True, real=0.5512, best=None,
        reason="a generator changes no ranks",
    )  # fmt: skip
    return (*found, lost)


def estimate(candidate: str, tunes: tuple[str, ...], seconds: float, **changes: Any) -> CostEstimate:
    values: dict[str, Any] = {
        "candidate": candidate,
        "tunes": tunes,
        "seconds": seconds,
        "seconds_in_full": seconds + 97.4,
        "dollars": (seconds + 97.4) / 3600 * 0.05,
        "added_p95_ms": 0.0,
        "added_dollars_per_1000": 0.0,
        "basis": {"synthesize": "measured", "index": "measured", f"tune_{tunes[0]}": "guessed"},
    }
    return CostEstimate(**values | changes)


def estimates() -> tuple[CostEstimate, ...]:
    served = {"added_p95_ms": 412.5, "added_dollars_per_1000": 0.0057}
    return (
        estimate("retriever", ("retriever",), 812.0),
        estimate("reranker", ("reranker",), 1150.0, **served),
        estimate("generator", ("generator",), 2260.0),
        estimate("retriever-reranker-generator", ("retriever", "reranker", "generator"), 4390.0, **served),
    )


def advice() -> tuple[Advice, ...]:
    by_name = {one.candidate: one for one in estimates()}

    def worth(oracle: Oracle, *measures: str) -> tuple[Worth, ...]:
        rows = [row for row in oracle_gains() if row.oracle == oracle and row.measure in measures]
        return tuple(
            Worth(measure=row.measure, difference=row.difference or 0.0, low=row.low, high=row.high, bound=row.bound)
            for row in rows
        )

    return (
        Advice(
            rank=1, rule="generator", kind="tune", action="Tune the generator", tunes=("generator",),
            candidates=("generator",), could_buy=worth("oracle-generator", "exact_match", "utility"),
            why=(
                "31 of 88 questions were answered wrongly with a relevant passage in the context (35 %)",
                "10 of 12 unanswerable questions got an invented answer",
            ),
            would_change=("a share of wrong answers under 15 %", "a limit of $0.02: the estimate is $0.033"),
            estimate=by_name["generator"],
        ),
        Advice(
            rank=2, rule="reranker", kind="tune", action="Add and tune a reranker", tunes=("reranker",),
            candidates=("reranker",), could_buy=worth("oracle-reranker", "ndcg@10", "exact_match"),
            why=("the pool holds a relevant document for 90 % of the questions, the context for 58 %",),
            would_change=("a limit on latency under 1,750 ms", "a recall of the context over 85 %"),
            estimate=by_name["reranker"],
        ),
        Advice(
            rank=3, rule="more-context", kind="change", action="Show 5 passages instead of 3",
            could_buy=(Worth(measure="exact_match", difference=0.0345, low=-0.021, high=0.09, bound=False),),
            why=("with 5 passages exact_match is 0.172, with 3 it is 0.138",),
            would_change=("a prompt that no longer fits the generator",),
        ),
        Advice(
            rank=4, rule="judgements", kind="measure", action="Judge more of the first ten passages",
            why=("12 % of the first ten passages have a judgement",), would_change=("judged@10 over 0.5",),
        ),
        Advice(
            rank=5, rule="retriever", kind="tune", action="Do not tune the retriever for its recall", against=True,
            tunes=("retriever",), candidates=("retriever",), could_buy=worth("oracle-retriever", "ndcg@10"),
            why=("17 of 172 questions have no relevant document in the pool (10 %)",),
            would_change=("a recall@100 under 0.8",), estimate=by_name["retriever"],
        ),
    )  # fmt: skip
