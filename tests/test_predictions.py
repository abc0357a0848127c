"""Predictions beside outcomes: which advice speaks of a candidate, and what is said of it afterwards."""

from __future__ import annotations

from typing import Any

import diagnosed
import outcomes
import pytest

from harness.diagnosis.predictions import advice_on, predict_outcome
from harness.diagnosis.training_free import cost_of
from harness.values.findings import Comparison, Outcome, ServingCost, SystemInfo, Timing
from harness.values.frozen import Verdict
from harness.values.insights import Advice, Diagnosis, OracleGain, Prediction
from harness.values.training_free import SettingsGain, TrainingFree

ENDS: dict[str, tuple[float | None, float | None]] = {
    "improved": (0.01, 0.09), "equivalent": (-0.01, 0.01), "regressed": (-0.3, -0.1), "inconclusive": (-0.02, 0.12),
    "failed": (None, None),
}  # fmt: skip


def advice(rank: int, *tunes: Any, **changes: Any) -> Advice:
    return Advice(**{"rank": rank, "rule": f"r{rank}", "kind": "tune", "action": "", "tunes": tunes} | changes)


def gain(difference: float, oracle: Any = "oracle-retriever", measure: str = "ndcg@10") -> OracleGain:
    return OracleGain(oracle=oracle, measure=measure, bound="@" in measure, real=0.5, best=None, difference=difference)


def seen(*rows: Advice, **changes: Any) -> Diagnosis:
    gains = (gain(0.3), gain(0.2, "oracle-generator", "utility"), gain(0.01, "oracle-context", "utility"))
    return diagnosed.diagnosis(**{"advice": rows, "oracle_gains": gains, "facts": {}} | changes)


def after(
    verdict: Verdict, measure: str = "ndcg@10", tunes: Any = ("retriever",), info: dict[str, Any] | None = None,
    **changes: Any,
) -> Outcome:  # fmt: skip
    low, high = ENDS[verdict]
    values: dict[str, Any] = {
        "family": "gain", "system": "it", "seed": 0, "measure": measure, "low": low, "high": high, "p_value": None,
        "difference": None if low is None or high is None else (low + high) / 2, "margin": 0.02, "detectable": 0.08,
        "n_queries": 9, "n_groups": 9, "verdict": verdict,
    }  # fmt: skip
    row = Comparison(**values | changes)
    system = SystemInfo(
        name="it",
        seed=0,
        role="candidate",
        tunes=tunes,
        identity="x",
        build_seconds=90,
        build_dollars=0.3,
        **info or {},
    )
    return outcomes.normal().model_copy(update={"systems": (system,), "comparisons": (row,), "split": "test"})


def said(diagnosis: Diagnosis, outcome: Outcome) -> str:
    (found,) = predict_outcome(diagnosis, outcome)
    return found.conclusion


# ---- what is said


FIRST = advice(1, "retriever")
AGAINST = advice(2, "retriever", against=True)
LEFT = advice(2, "retriever", "reranker", kind="leave")


UNTOLD = "inconclusive: the gain is between -0.020 and +0.120, minimum detectable effect 0.080"


@pytest.mark.parametrize(
    ("row", "verdict", "words"),
    [
        (FIRST, "improved", "the advice held"),
        (FIRST, "regressed", "the advice was wrong: it regressed"),
        (FIRST, "equivalent", "the advice was wrong: no relevant gain"),
        (AGAINST, "improved", "the advice was wrong: it improved"),
        (AGAINST, "regressed", "the advice held: it regressed"),
        (AGAINST, "equivalent", "the advice held: no relevant gain"),
        (LEFT, "improved", "inconclusive: it improved, perhaps by more than the margin (0.020)"),
        (LEFT, "equivalent", "the advice held: no relevant gain"),
        (LEFT, "regressed", "the advice held: it regressed"),
        (None, "improved", "no advice on it; it improved"),
        (None, "regressed", "no advice on it; it regressed"),
        (FIRST, "inconclusive", UNTOLD),
        (AGAINST, "failed", "not judged: failed"),
    ],
)
def test_what_is_said_of_an_outcome(row: Advice | None, verdict: Verdict, words: str) -> None:
    (found,) = predict_outcome(seen(*[row] if row else []), after(verdict))
    assert found.conclusion == words
    assert found.verdict == verdict
    assert found.rank == (row.rank if row else None)
    assert found.against == (row in (AGAINST, LEFT))
    assert (found.could_buy, found.bound) == (0.3, True)


def settings(name: str = "it") -> TrainingFree:
    gains = (SettingsGain(measure="ndcg@10", mean=0.6, untuned=0.5, difference=0.1, low=0.05, verdict="improved"),)
    return TrainingFree(name=name, origin="suite", change={}, changes=("depth=9",), gains=gains)


@pytest.mark.parametrize(
    ("advised", "verdict", "words"),
    [
        (True, "improved", "the advice held"),
        (True, "regressed", "the advice was wrong: it regressed"),
        (False, "improved", "no advice on it; it improved"),
    ],
)
def test_settings_are_judged_by_what_was_measured_of_them(advised: bool, verdict: Verdict, words: str) -> None:
    """Advice to leave parts alone speaks of no candidate that trains nothing."""
    use = advice(1, kind="change", estimate=cost_of(settings("it" if advised else "other")))
    (found,) = predict_outcome(seen(use, LEFT, training_free=(settings(),)), after(verdict, tunes=()))
    assert (found.conclusion, found.could_buy, found.bound) == (words, 0.1, False)
    assert not found.against


def test_a_failure_says_why() -> None:
    assert said(seen(FIRST), after("failed", reason="3 of 9 failed")) == "not judged: 3 of 9 failed"
    assert said(seen(FIRST), after("inconclusive", detectable=None)).endswith("between -0.020 and +0.120")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("improved", "the advice held, with a gain where little was promised"),
        ("equivalent", "the advice held: little was promised here"),
        ("regressed", "the advice was wrong: it regressed"),
    ],
)
def test_advice_is_not_blamed_for_a_measure_that_it_promised_little_on(verdict: Verdict, words: str) -> None:
    outcome = after(verdict, "utility", low=-1, high=0.01)
    (found,) = predict_outcome(seen(FIRST), outcome)
    assert (found.conclusion, found.could_buy) == (words, 0.01)


@pytest.mark.parametrize("row", [advice(1, "generator"), advice(1, "generator", kind="leave")])
def test_where_no_ideal_part_says_anything_nothing_was_predicted(row: Advice) -> None:
    words = {"improved": "it improved", "equivalent": "no relevant gain", "regressed": "it regressed"}
    for verdict, what in words.items():
        (found,) = predict_outcome(seen(row), after(verdict, tunes=("generator",)))  # type: ignore[arg-type]
        assert (found.conclusion, found.could_buy) == (f"no prediction; {what}", None)
    failed = gain(0.1).model_copy(update={"difference": None})
    assert said(seen(FIRST, oracle_gains=(failed,)), after("improved")) == "no prediction; it improved"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.021, 0.3, "the advice was wrong: it gained more than the margin (0.020)"),
        (0.001, 0.02, "the advice held: it gained no more than the margin (0.020)"),
        (0.001, 0.03, "inconclusive: it improved, perhaps by more than the margin (0.020)"),
    ],
)
def test_what_was_left_alone_is_held_against_the_margin(low: float, high: float, words: str) -> None:
    assert said(seen(LEFT), after("improved", low=low, high=high)) == words
    assert said(seen(AGAINST), after("improved", low=low, high=high)) == "the advice was wrong: it improved"
    dear = seen(LEFT, facts={"limit.usd": 0.2})
    assert said(dear, after("improved", low=low, high=high)).endswith("is over max_build_usd")


def test_more_than_a_bound_or_an_estimate_is_noted() -> None:
    beyond: dict[str, Any] = {"low": 0.31, "high": 0.5}
    assert said(seen(FIRST), after("improved", **beyond)) == "the advice held; more than the bound: dev and test differ"
    same = after("improved", **beyond).model_copy(update={"split": "dev"})
    assert said(seen(FIRST), same).endswith("more than the bound: the queries or the pipeline differ")
    assert said(seen(FIRST), after("improved", low=0.3, high=0.5)) == "the advice held"
    made = after("improved", "utility", ("generator",), low=0.21, high=0.5)
    assert said(seen(advice(1, "generator")), made) == "the advice held; more than the estimate"


def test_what_gained_over_a_limit_was_rightly_advised_against() -> None:
    dear = seen(AGAINST, facts={"limit.usd": 0.2})
    assert said(dear, after("improved")) == "the advice held: it improved, but is over max_build_usd"
    assert said(seen(AGAINST, facts={"limit.usd": 0.4}), after("improved")) == "the advice was wrong: it improved"
    total = Timing(part="total", n=9, p50_ms=1, p95_ms=900)
    slow = after("improved", info={"serving": ServingCost(parts=("x",), total=total)})
    assert said(seen(AGAINST, facts={"limit.p95_ms": 800}), slow).endswith("is over max_p95_ms")
    assert said(seen(FIRST, facts={"limit.usd": 0.2}), after("improved")) == "the advice held"


# ---- which advice speaks


@pytest.mark.parametrize(
    ("tunes", "rank"),
    [
        ("retriever", 2),  # exactly
        ("generator", 1),
        ("generator retriever", 4),  # both, in whatever order
        ("reranker", 6),
        ("reranker retriever", 6),  # a part that is advised against spoils all that hold it
    ],
)
def test_which_advice_speaks_of_a_candidate(tunes: str, rank: int) -> None:
    rows = (
        advice(1, "generator"),
        advice(2, "retriever"),
        advice(3, kind="change"),
        advice(4, "retriever", "generator"),
        advice(5, kind="measure"),
        advice(6, "reranker", against=True),
    )
    found = advice_on(seen(*rows), tuple(tunes.split()))
    assert found is not None
    assert found.rank == rank


def test_parts_of_stages_and_parts_left_alone() -> None:
    rows = (advice(1, "retriever", "reranker", "generator"), advice(2, "retriever", "reranker", kind="leave"))
    for tunes, rank in (("retriever generator", 1), ("generator", 1), ("reranker", 2), ("reranker retriever", 2)):
        found = advice_on(seen(*rows), tuple(tunes.split()))
        assert found is not None
        assert found.rank == rank
    single = seen(advice(1, "retriever", "generator"), advice(2, "generator"))
    assert advice_on(single, ("generator",)) == single.advice[1]
    assert advice_on(seen(advice(1, "generator")), ("retriever",)) is None
    assert advice_on(seen(), ("retriever",)) is None


# ---- figures


def test_figures_stand_side_by_side() -> None:
    estimate = diagnosed.estimate("it", ("retriever",), 100.0, dollars=0.25)
    (found,) = predict_outcome(seen(FIRST, estimates=(estimate,)), after("improved", difference=0.05))
    assert found == Prediction(
        system="it", seed=0, measure="ndcg@10", rank=1, could_buy=0.3, bound=True, bought=0.05, low=0.01, high=0.09,
        verdict="improved", estimated_seconds=estimate.seconds_in_full, paid_seconds=90, estimated_dollars=0.25,
        paid_dollars=0.3, conclusion="the advice held",
    )  # fmt: skip


def test_every_candidate_seed_and_gated_measure_has_one_prediction_and_baseline_rows_have_none() -> None:
    outcome = outcomes.normal()
    found = predict_outcome(seen(FIRST), outcome)
    candidates = {(info.name, info.seed) for info in outcome.systems if info.role == "candidate"}
    expected = [
        (row.system, row.seed, row.measure)
        for row in outcome.comparisons
        if row.family == "gain" and (row.system, row.seed) in candidates
    ]
    assert sorted((row.system, row.seed, row.measure) for row in found) == sorted(expected)
    assert len(expected) == 4
    other = outcome.model_copy(
        update={"comparisons": tuple(row.model_copy(update={"family": "regression"}) for row in outcome.comparisons)}
    )
    assert predict_outcome(seen(FIRST), other) == ()
