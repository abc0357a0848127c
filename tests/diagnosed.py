"""Invented diagnoses, growths, and outcomes with what came after a diagnosis, that look like real ones.

Every function returns a new value; `diagnosis`, `growth` and `outcome` are those that the others vary.
"""

from __future__ import annotations

from typing import Any

import combined
import outcomes
from diagnosed_advice import GROUPS as GROUPS
from diagnosed_advice import ROOM as ROOM
from diagnosed_advice import advice as advice
from diagnosed_advice import estimate as estimate
from diagnosed_advice import estimates as estimates
from diagnosed_advice import oracle_gains as oracle_gains

from harness.values.findings import Outcome
from harness.values.frozen import Verdict
from harness.values.gains import Forgotten, Roi, SliceGain
from harness.values.insights import (
    Advice,
    Curve,
    CurvePoint,
    Diagnosis,
    Funnel,
    FunnelPlace,
    LearningCurve,
    LossPoint,
    PartTime,
    PlaceName,
    Population,
    Prediction,
    Sign,
)

RULES = {
    "answers": "right: exact_match of 1",
    "retrieval": "in the pool: a relevant document among the first 100; in the context: one among the first 3",
}

# fmt: off
RETRIEVAL: tuple[tuple[PlaceName, int, float, float, tuple[str, ...]], ...] = (
    ("not in the pool",     17, 0.054, 0.155, ("q1017", "q1140", "q1201")),
    ("not in the context",  55, 0.241, 0.405, ("q1003", "q1008", "q1021")),
    ("in the context",     100, 0.491, 0.667, ("q1001", "q1002", "q1004")),
)
ANSWERED: tuple[tuple[PlaceName, int, float, float, tuple[str, ...]], ...] = (
    ("not in the pool",      9, 0.046, 0.187, ("q1017", "q1140")),
    ("not in the context",  27, 0.214, 0.414, ("q1003", "q1008", "q1021")),
    ("answered wrongly",    31, 0.253, 0.461, ("q1001", "q1002", "q1033")),
    ("abstained",            3, 0.007, 0.097, ("q1052",)),
    ("wrong format",         5, 0.019, 0.128, ("q1004", "q1078")),
    ("right",               12, 0.073, 0.225, ("q1010", "q1044", "q1061")),
    ("failed",               1, 0.000, 0.062, ("q1099",)),
)
UNANSWERABLE: tuple[tuple[PlaceName, int, float, float, tuple[str, ...]], ...] = (
    ("invented",            10, 0.516, 0.979, ("u3", "u7", "u9")),
    ("abstained",            2, 0.021, 0.484, ("u1", "u4")),
)
# fmt: on


def places(rows: Any, population: Population) -> tuple[FunnelPlace, ...]:
    total = sum(row[1] for row in rows)
    return tuple(
        FunnelPlace(
            name=name, population=population, count=count, share=count / total, low=low, high=high, examples=examples
        )
        for name, count, low, high, examples in rows
    )  # fmt: skip


def funnels() -> tuple[Funnel, ...]:
    common: dict[str, Any] = {"system": "untuned", "depth": 100, "context": 3}
    return (
        Funnel(
            kind="retrieval", rule=RULES["retrieval"], groups=GROUPS, places=places(RETRIEVAL, "answerable"), **common
        ),
        Funnel(
            kind="answers",
            rule=RULES["answers"],
            groups=58,
            places=places(ANSWERED, "answerable") + places(UNANSWERABLE, "unanswerable"),
            right_without=1,
            right_measure="exact_match",
            **common,
        ),
    )


def curves() -> tuple[Curve, ...]:
    recall = ((1, 0.4419), (3, 0.5814), (5, 0.6512), (10, 0.7267), (20, 0.7965), (50, 0.8663), (100, 0.9012),
              (200, 0.9302))  # fmt: skip
    shown = ((1, 0.1034, 0.0402, 0.1666), (3, 0.1379, 0.0662, 0.2096), (5, 0.1724, 0.0936, 0.2512))
    return (
        Curve(
            kind="depth",
            measure="recall",
            chosen=100,
            points=tuple(
                LossPoint(at=at, mean=mean, low=mean - 0.05, high=min(1.0, mean + 0.05), n=172) for at, mean in recall
            ),
        ),
        Curve(
            kind="context",
            measure="exact_match",
            chosen=3,
            points=tuple(LossPoint(at=at, mean=mean, low=low, high=high, n=87) for at, mean, low, high in shown),
        ),
    )


def signs() -> tuple[Sign, ...]:
    return (
        Sign(name="shattered words", value=0.213, bar=0.15, worrying=True, n=3842,
             about="share of content words that the retriever's tokenizer cuts into three pieces or more"),
        Sign(name="no shared word", value=0.064, bar=0.2, worrying=False, n=172,
             about="share of queries that share no content word with their document"),
        Sign(name="agreement with bm25", value=0.418, bar=0.3, worrying=False, n=172,
             about="mean overlap of the first ten of bm25 and of the bi-encoder"),
        Sign(name="judged@10", value=0.121, bar=0.5, worrying=True, n=172,
             about="share of the first ten that have a judgement; below the bar, good lists may look bad"),
        Sign(name="similarity gap", value=None, bar=0.1, worrying=False, about="not computed: bm25 alone"),
    )  # fmt: skip


def diagnosis(**changes: Any) -> Diagnosis:
    """A pipeline whose generator loses the most, its ranking less, its first search little."""
    values: dict[str, Any] = {
        "suite": "covidqa",
        "title": "Where does the pipeline lose on COVID-QA?",
        "split": "dev",
        "created": "2025-11-22T09:12:40Z",
        "seconds": 1212.0,
        "machine": "cpu-2",
        "provenance": outcomes.provenance(),
        "spec": outcomes.spec(),
        "pipeline": outcomes.digest(71),
        "digests": {"corpus": outcomes.digest(4), "dev.queries": outcomes.digest(72)},
        "documents": 3842,
        "judged": 172,
        "answered": 100,
        "unanswerable": 12,
        "groups": GROUPS,
        "measures": ("ndcg@10", "exact_match", "utility"),
        "funnels": funnels(),
        "oracle_gains": oracle_gains(),
        "curves": curves(),
        "signs": signs(),
        "times": (
            PartTime(part="retrieve", p50_ms=17.92, p95_ms=22.74, share_p50=0.019, share_p95=0.017),
            PartTime(part="answer", p50_ms=929.6, p95_ms=1311.8, share_p50=0.981, share_p95=0.983),
        ),
        "p95_ms": 1334.5,
        "dollars_per_1000": 0.0131,
        "estimates": estimates(),
        "advice": advice(),
        "facts": {"not_in_pool": 0.0988, "not_in_context": 0.3198, "wrong": 0.3523, "judged@10": 0.121, "gap": None},
        "notes": ("1 answer failed and is counted as failed", "answers are sampled: 100 of 187 questions"),
    }
    return Diagnosis(**values | changes)


def retrieval_only() -> Diagnosis:
    """A dataset without answers: the retrieval steps, and no more."""
    return diagnosis(
        answered=0,
        unanswerable=0,
        measures=("ndcg@10",),
        funnels=funnels()[:1],
        oracle_gains=tuple(row for row in oracle_gains() if row.measure == "ndcg@10" and row.best is not None),
        curves=curves()[:1],
        times=(PartTime(part="retrieve", p50_ms=17.92, p95_ms=22.74, share_p50=1.0, share_p95=1.0),),
        estimates=estimates()[:2],
        advice=tuple(
            row.model_copy(update={"rank": rank, "could_buy": row.could_buy[:1]})
            for rank, row in enumerate((advice()[1], advice()[4]), start=1)
        ),
        notes=(),
    )


def nothing_lost() -> Diagnosis:
    """Every question is right, and nothing could be told of money, time or signs."""
    right = (("right", 40, 0.912, 1.0, ("q1",)),)
    funnel = funnels()[1].model_copy(update={"places": places(right, "answerable"), "right_without": 0})
    return diagnosis(
        title="", funnels=(funnel,), oracle_gains=(), curves=(), signs=(), times=(), p95_ms=None, dollars_per_1000=None,
        estimates=(), facts={}, notes=(), digests={}, provenance={}, answered=40, unanswerable=0,
        advice=(Advice(rank=1, rule="good", kind="leave", action="Leave the pipeline as it is"),),
    )  # fmt: skip


def too_small() -> Diagnosis:
    """A split on which nothing can be told."""
    first = Advice(
        rank=1, rule="small", kind="measure", action="Ask more questions: this split is too small to tell",
        why=("a difference under 0.21 would not have shown",), would_change=("60 groups of questions",),
    )  # fmt: skip
    rest = tuple(row.model_copy(update={"rank": row.rank + 1}) for row in advice()[:2])
    return diagnosis(groups=9, advice=(first, *rest))


def empty() -> Diagnosis:
    """A diagnosis in which every part is missing."""
    return diagnosis(
        title="", measures=(), funnels=(), oracle_gains=(), curves=(), signs=(), times=(), p95_ms=None,
        dollars_per_1000=None, estimates=(), advice=(), facts={}, notes=(), digests={}, provenance={}, spec={},
        machine="",
    )  # fmt: skip


def hostile(attacks: tuple[str, ...]) -> Diagnosis:
    """A diagnosis with an attack in every text that a stranger may have written."""
    base = diagnosis()

    def attacked(row: Any, *fields: str) -> Any:
        return row.model_copy(update={name: f"{getattr(row, name)} {attacks[0]}" for name in fields})

    return base.model_copy(
        update={
            "title": attacks[0],
            "suite": attacks[1],
            "machine": attacks[2],
            "notes": attacks,
            "spec": {attacks[1]: attacks[6]},
            "provenance": {"harness": attacks[1], "packages": {attacks[0]: attacks[1]}},
            "digests": {attacks[3]: attacks[4]},
            "facts": {attacks[5]: 1.0},
            "funnels": tuple(
                row.model_copy(
                    update={
                        "rule": attacks[6],
                        "places": tuple(one.model_copy(update={"examples": attacks}) for one in row.places),
                    }
                )
                for row in base.funnels
            ),
            "oracle_gains": tuple(row.model_copy(update={"reason": attacks[1]}) for row in base.oracle_gains),
            "signs": tuple(attacked(row, "name", "about") for row in base.signs),
            "times": tuple(attacked(row, "part") for row in base.times),
            "estimates": tuple(attacked(row, "candidate") for row in base.estimates),
            "advice": tuple(
                row.model_copy(update={"action": attacks[2], "why": attacks, "would_change": attacks})
                for row in base.advice
            ),
        }
    )


# ---- afterwards

COULD = {"ndcg@10": ("oracle-reranker", 0.35, True), "utility": ("oracle-generator", 0.8586, False)}
FORGOT: tuple[tuple[str, float, float, float, float, Verdict], ...] = (
    ("retriever", 0.6452, 0.5961, -0.0812, -0.0170, "regressed"),
    ("reranker", 0.6452, 0.6401, -0.0180, 0.0078, "inconclusive"),
    ("retriever-reranker", 0.6452, 0.6447, -0.0079, 0.0069, "equivalent"),
)


def predictions(outcome: Outcome) -> tuple[Prediction, ...]:
    quoted = {"retriever": 909.4, "reranker": 1247.4, "generator": 2357.4}
    rows = []
    for row in outcome.comparisons:
        info = next(one for one in outcome.systems if (one.name, one.seed) == (row.system, row.seed))
        if info.role != "candidate" or row.family != "gain":
            continue
        rank = {"generator": 1, "reranker": 2, "retriever": 5}.get(info.name)
        _, could, bound = COULD[row.measure]
        said = {
            "improved": {5: "the advice was wrong: it improved", 0: "no advice on it; it improved"}.get(
                rank or 0, "the advice held"
            ),
            "equivalent": "the advice held: little was promised here",
        }.get(
            row.verdict,
            f"inconclusive: the gain is between {row.low:+.3f} and {row.high:+.3f}, minimum detectable effect 0.074",
        )
        rows.append(
            Prediction(
                system=row.system, seed=row.seed, measure=row.measure, rank=rank, against=rank == 5,
                could_buy=could, bound=bound, bought=row.difference, low=row.low, high=row.high,
                verdict=row.verdict, estimated_seconds=quoted.get(info.name),
                paid_seconds=info.build_seconds, paid_dollars=info.build_dollars,
                estimated_dollars=quoted[info.name] / 3600 * 0.05 if info.name in quoted else None, conclusion=said,
            )
        )  # fmt: skip
    return tuple(rows)


def roi(outcome: Outcome) -> tuple[Roi, ...]:
    rows = []
    for row in outcome.comparisons:
        info = next(one for one in outcome.systems if (one.name, one.seed) == (row.system, row.seed))
        if info.role != "candidate" or row.family != "gain" or row.difference is None:
            continue
        dollars = info.build_dollars
        slow = 412.5 if "reranker" in info.tunes else 0.0
        low, high = row.low or 0.0, row.high or 0.0
        ratio = {f"per_dollar{end}": value / dollars for end, value in _ends(row.difference, low, high)}
        per_ms = {f"per_ms{end}": value / slow for end, value in _ends(row.difference, low, high)} if slow else {}
        front = info.name in ("retriever", "reranker", "generator", "retriever-generator")
        worth = 2.0 * row.difference / 1000
        paid = {"break_even": dollars / worth, "break_even_low": dollars / (2.0 * high / 1000)} if worth > 0 else {}
        if paid and low > 0:
            paid["break_even_high"] = dollars / (2.0 * low / 1000)
        rows.append(
            Roi(
                system=row.system, seed=row.seed, measure=row.measure, gain=row.difference, low=row.low, high=row.high,
                build_dollars=dollars, added_p95_ms=slow, added_dollars_per_1000=0.0057 if slow else 0.0,
                front=front, dominated_by=() if front else ("retriever (seed 0)", "generator (seed 0)"),
                reason="" if slow else "it adds no latency", **ratio, **per_ms, **paid,
            )
        )  # fmt: skip
    return tuple(rows)


def _ends(value: float, low: float, high: float) -> tuple[tuple[str, float], ...]:
    return ("", value), ("_low", low), ("_high", high)


P_VALUES = {"regressed": 0.004, "improved": 0.03, "inconclusive": 0.4}
SLICES: tuple[tuple[str, str, int], ...] = (
    ("query_kind", "keyword", 58), ("query_kind", "question", 171), ("query_kind", "claim", 17),
    ("query_length", "up to 7 words", 81), ("query_length", "8 to 11 words", 84),
    ("query_length", "12 words or more", 81), ("lexical_overlap", "none", 12),
    ("lexical_overlap", "some (up to half)", 119), ("lexical_overlap", "most (over half)", 115),
)  # fmt: skip


def slices() -> tuple[SliceGain, ...]:
    rows = []
    for system, shift in (("retriever", 0.0), ("reranker", 0.015)):
        for number, (field, value, size) in enumerate(SLICES):
            difference = round(0.041 + shift + 0.004 * (number - 4), 4)
            reach = round(0.6 / size**0.5, 4)
            low, high = difference - reach, difference + reach
            verdict: Verdict = "improved" if low > 0 else "inconclusive"
            if (system, value) == ("retriever", "keyword"):
                difference, low, high, verdict = -0.0614, -0.1021, -0.0207, "regressed"
            none = value == "none"
            rows.append(
                SliceGain(
                    system=system, seed=0, measure="ndcg@10", field=field, value=value, baseline=0.56 - 0.01 * number,
                    difference=None if none else difference, low=None if none else low, high=None if none else high,
                    p_value=None if none else P_VALUES[verdict], n_queries=size, n_groups=size // 2,
                    verdict="inconclusive" if none else verdict, reason="too few questions for an interval" * none,
                )
            )  # fmt: skip
    return tuple(rows)


def forgotten() -> tuple[Forgotten, ...]:
    return tuple(
        Forgotten(
            dataset="scifact", split="test", system=system, seed=0, measure="ndcg@10", untuned=untuned, tuned=tuned,
            difference=tuned - untuned, low=low, high=high, n_queries=300, n_groups=283, verdict=verdict,
        )
        for system, untuned, tuned, low, high, verdict in FORGOT
    )  # fmt: skip


def outcome(**changes: Any) -> Outcome:
    """The factorial, run after a diagnosis."""
    base = combined.factorial()
    values: dict[str, Any] = {
        "diagnosis": diagnosis(),
        "predictions": predictions(base),
        "roi": roi(base),
        "slices": slices(),
        "forgotten": forgotten(),
    }
    return base.model_copy(update=values | changes)


# ---- more data


def curve(**changes: Any) -> LearningCurve:
    """A retriever that gains by more data up to half of it, and then no more; of answers nothing is known."""
    rows: tuple[tuple[Any, ...], ...] = (
        (0.25, 105, "ndcg@10", 0.5741, (0.0138, -0.0101, 0.0377), None, None, 121.0),
        (0.5, 210, "ndcg@10", 0.5966, (0.0363, 0.0114, 0.0612), (0.0225, 0.0041, 0.0409), "improved", 214.0),
        (1.0, 419, "ndcg@10", 0.6014, (0.0411, 0.0159, 0.0663), (0.0048, -0.0061, 0.0157), "inconclusive", 402.0),
        (0.25, 105, "utility", -0.2667, (0.0083, -0.0634, 0.0800), None, None, 121.0),
        (0.5, 210, "utility", -0.2583, (0.0167, -0.0541, 0.0875), (0.0084, -0.0512, 0.0680), "inconclusive", 214.0),
        (1.0, 419, "utility", None, (None, None, None), (None, None, None), "failed", 402.0),
    )
    points = tuple(
        CurvePoint(
            share=share, examples=examples, system=f"retriever-{int(100 * share)}", measure=measure, mean=mean,
            gain=gain[0], gain_low=gain[1], gain_high=gain[2], step=step[0] if step else None,
            step_low=step[1] if step else None, step_high=step[2] if step else None, step_verdict=verdict,
            seconds=seconds,
        )
        for share, examples, measure, mean, gain, step, verdict, seconds in rows
    )  # fmt: skip
    values: dict[str, Any] = {
        "suite": "covidqa",
        "candidate": "retriever",
        "split": "dev",
        "created": "2025-11-24T20:01:13Z",
        "seconds": 811.0,
        "margins": outcomes.MARGINS,
        "points": points,
        "said": {
            "ndcg@10": "more data may still pay: from 50 to 100 % it could not be told",
            "utility": "nothing can be told: scores failed",
        },
        "notes": ("one seed: what is said holds for these checkpoints",),
    }
    return LearningCurve(**values | changes)
