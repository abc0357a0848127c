"""Oracle gains: by hand, bounds against real scores, and what an oracle leaves to itself."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnosis.oracle_gains import Substituted, oracle_gains
from harness.scoring import score_run
from harness.statistics.stats import Paired, compare
from harness.values.ideals import ideal_order, ideal_pool
from harness.values.insights import Oracle, OracleGain
from harness.values.measures import Measure, parse
from harness.values.records import Qrels, Run, ScoreColumn

NDCG, F1, UTILITY, RUBRIC = Measure("ndcg", 10), Measure("token_f1"), Measure("utility"), Measure("rubric")


def by_query(values: list[float | None]) -> dict[str, float | None]:
    return {f"q{number:03}": value for number, value in enumerate(values)}


def one_each(values: Mapping[str, object]) -> dict[str, str]:
    return {query_id: f"g{query_id}" for query_id in values}


def one(oracle: Oracle, measure: Measure, real: ScoreColumn, substituted: ScoreColumn, **options: float) -> OracleGain:
    (found,) = oracle_gains([Substituted(oracle, measure, real, substituted)], one_each(real), **options)  # type: ignore[arg-type]
    return found


REAL = by_query([0.2, 0.4, 0.6, 0.8] * 5)
BETTER = by_query([1.0, 0.9, 0.6, 0.5] * 5)  # the last of each four is worse


# ---- which value an ideal part is given


@pytest.mark.parametrize(
    ("oracle", "measure", "best", "bound"),
    [
        ("oracle-retriever", NDCG, (1.0 + 0.9 + 0.6 + 0.8) / 4, True),
        ("oracle-reranker", NDCG, (1.0 + 0.9 + 0.6 + 0.8) / 4, True),
        ("oracle-generator", F1, (1.0 + 0.9 + 0.6 + 0.8) / 4, False),
        ("oracle-generator", UTILITY, (1.0 + 0.9 + 0.6 + 0.8) / 4, False),
        ("oracle-generator", RUBRIC, (1.0 + 0.9 + 0.6 + 0.5) / 4, False),  # a judge may say another thing next time
        ("oracle-retriever", F1, (1.0 + 0.9 + 0.6 + 0.5) / 4, False),
        ("oracle-reranker", F1, (1.0 + 0.9 + 0.6 + 0.5) / 4, False),
        ("oracle-context", F1, (1.0 + 0.9 + 0.6 + 0.5) / 4, False),
    ],
)
def test_an_ideal_part_may_do_as_the_real_one_where_it_makes_what_is_scored(
    oracle: Oracle, measure: Measure, best: float, bound: bool
) -> None:
    found = one(oracle, measure, REAL, BETTER)
    assert (found.oracle, found.measure, found.bound) == (oracle, str(measure), bound)
    assert (found.real, found.best) == pytest.approx((0.5, best))
    assert found.difference == pytest.approx(best - 0.5)
    assert (found.n_queries, found.n_groups) == (20, 20)


def test_no_bound_where_a_real_reranker_orders_what_an_ideal_retriever_found() -> None:
    bounds = {
        (oracle, reranked): Substituted(oracle, NDCG, REAL, BETTER, reranked).bound
        for oracle in ("oracle-retriever", "oracle-reranker")
        for reranked in (False, True)
    }
    assert [pair for pair, bound in bounds.items() if not bound] == [("oracle-retriever", True)]
    assert Substituted("oracle-retriever", NDCG, REAL, BETTER, True).best["q003"] == 0.8


def test_an_estimate_may_be_negative() -> None:
    worse = by_query([0.1, 0.2, 0.5, 0.7] * 5)
    found = one("oracle-context", F1, REAL, worse)
    assert found.high is not None
    assert found.high < 0
    assert one("oracle-generator", F1, REAL, worse).difference == 0


# ---- intervals


def test_intervals_are_those_of_stats_for_all_of_the_call_together() -> None:
    rng = np.random.default_rng(1)
    real = by_query(rng.uniform(0, 0.5, 60).tolist())
    groups = {query_id: f"g{number // 3}" for number, query_id in enumerate(real)}
    other: ScoreColumn = {query_id: float(rng.normal(0.3, 0.3)) for query_id in real}
    high: ScoreColumn = {query_id: (value or 0.0) + float(rng.uniform(0, 0.4)) for query_id, value in real.items()}
    oracles = [
        Substituted("oracle-reranker", NDCG, real, high),
        Substituted("oracle-context", F1, real, other),
    ]
    pairs = [
        Paired(system=row.oracle, measure=row.measure, values=row.substituted, baseline=row.real, groups=groups)
        for row in oracles
    ]
    for found, expected in zip(oracle_gains(oracles, groups), compare("exploratory", pairs), strict=True):
        assert (found.difference, found.low, found.high) == (expected.difference, expected.low, expected.high)
        assert (found.n_groups, found.detectable) == (20, expected.detectable)
        assert found.reason == ""
    (alone,) = oracle_gains(oracles[1:], groups)
    together = oracle_gains(oracles, groups)[1]
    assert (together.high or 0) - (together.low or 0) > (alone.high or 0) - (alone.low or 0)


def test_what_no_question_can_lose_has_no_negative_end() -> None:
    real, best = by_query([0.5] * 20), by_query([0.5] * 18 + [1.0, 1.0])
    bound, estimate = one("oracle-reranker", NDCG, real, best), one("oracle-context", F1, real, best)
    assert estimate.low is not None
    assert estimate.low < 0
    assert bound.low == 0
    assert bound.high == estimate.high


@pytest.mark.parametrize("oracle", ["oracle-retriever", "oracle-reranker", "oracle-generator", "oracle-context"])
def test_a_part_that_already_is_ideal_has_exactly_no_headroom(oracle: Oracle) -> None:
    for measure in (NDCG, F1) if oracle == "oracle-generator" else (NDCG,):
        found = one(oracle, measure, REAL, dict(REAL))
        assert (found.difference, found.low, found.high) == (0, 0, 0)
        assert found.real == found.best == pytest.approx(0.5)
        assert found.reason == "no query would get another score"
    for value, telling in ((1.0, True), (0.0, oracle == "oracle-generator"), (0.5, oracle == "oracle-generator")):
        # All right is all that can be; all wrong may be so for other reasons than the passages.
        found = one(oracle, F1, dict.fromkeys(REAL, value), dict.fromkeys(REAL, value))
        assert (found.low == found.high == 0) is telling


def test_failures_are_those_of_stats() -> None:
    real, best = by_query([None] + [0.5] * 19), by_query([0.9] * 19 + [None])
    strict = one("oracle-context", F1, real, best)
    assert (strict.low, strict.high, strict.n_queries) == (None, None, 18)
    assert strict.reason == "2 of 20 queries have no value on both sides (limit 0.0 %)"
    lenient = one("oracle-generator", F1, real, best, failure_limit=0.2)
    assert (lenient.real, lenient.best) == pytest.approx((0.5, 0.9))
    assert lenient.difference == pytest.approx(0.4)
    assert lenient.low is not None
    nothing = one("oracle-context", F1, by_query([None] * 9), by_query([0.5] * 9), failure_limit=1.0)
    assert (nothing.real, nothing.best, nothing.difference) == (None, None, None)
    assert nothing.reason == "no query has a value on both sides"


def test_few_groups_give_a_difference_without_an_interval() -> None:
    found = one("oracle-reranker", NDCG, by_query([0.1, 0.2]), by_query([0.5, 0.9]))
    assert found.difference == pytest.approx(0.55)
    assert (found.low, found.high) == (None, None)
    assert found.reason.startswith("too few groups")


def test_nothing_substituted_nothing_found() -> None:
    assert oracle_gains([], {}) == []


def test_other_questions_on_one_side_are_refused() -> None:
    with pytest.raises(ValueError, match="1 queries are on one side only, such as 'q001'"):
        one("oracle-reranker", NDCG, by_query([0.1]), by_query([0.5, 0.9]))


# ---- the lists of ideal parts: no part can do better

MEASURES = [
    parse(f"{name}@{cutoff}")
    for name in ("ndcg", "recall", "mrr", "map", "precision", "hit_rate")
    for cutoff in (1, 3, 10)
]
DEPTH = 6
GRADES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1, 3), min_size=1, max_size=6)
POOL = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=DEPTH)
CASES = st.lists(st.tuples(POOL, GRADES), min_size=1, max_size=4)
FIRST = st.integers(1, DEPTH)


def ranked(doc_ids: list[str]) -> list[tuple[str, float]]:
    return [(doc_id, 1.0 - place / 100) for place, doc_id in enumerate(doc_ids)]


def world(cases: list[tuple[list[str], dict[str, int]]]) -> tuple[Run, Qrels]:
    return (
        {f"q{number}": ranked(doc_ids) for number, (doc_ids, _) in enumerate(cases)},
        {f"q{number}": grades for number, (_, grades) in enumerate(cases)},
    )


@settings(max_examples=60)
@given(CASES, FIRST)
def test_a_bound_is_at_least_the_real_score(cases: list[tuple[list[str], dict[str, int]]], first: int) -> None:
    run, qrels = world(cases)
    real = score_run(run, qrels, MEASURES)
    order = {query_id: ideal_order(hits, qrels[query_id], first) for query_id, hits in run.items()}
    pool = {query_id: ideal_pool(hits, qrels[query_id], DEPTH) for query_id, hits in run.items()}
    for oracle in (order, pool):
        best = score_run(oracle, qrels, MEASURES)
        for measure in MEASURES:
            for query_id, value in best[measure].items():
                assert value >= real[measure][query_id] - 1e-12
    # What an ideal retriever finds no order can beat, and what is ideal already leaves nothing.
    again = {query_id: ideal_pool(hits, qrels[query_id], DEPTH) for query_id, hits in order.items()}
    assert score_run(again, qrels, MEASURES) == score_run(pool, qrels, MEASURES)


@settings(max_examples=40)
@given(CASES, FIRST)
def test_the_ideal_of_an_ideal_has_no_headroom(cases: list[tuple[list[str], dict[str, int]]], first: int) -> None:
    run, qrels = world(cases)
    oracles: list[Substituted] = []
    makers: dict[Oracle, object] = {
        "oracle-reranker": lambda hits, judged: ideal_order(hits, judged, first),
        "oracle-retriever": lambda hits, judged: ideal_pool(hits, judged, DEPTH),
    }
    for name, make in makers.items():
        once: Run = {query_id: make(hits, qrels[query_id]) for query_id, hits in run.items()}  # type: ignore[operator]
        twice: Run = {query_id: make(hits, qrels[query_id]) for query_id, hits in once.items()}  # type: ignore[operator]
        assert twice == once
        real, best = score_run(once, qrels, MEASURES), score_run(twice, qrels, MEASURES)
        oracles += [Substituted(name, measure, real[measure], best[measure]) for measure in MEASURES if real[measure]]
    for found in oracle_gains(oracles, {query_id: query_id for query_id in run}):
        assert (found.difference, found.low, found.high) == (0, 0, 0)


@given(POOL, GRADES, FIRST)
def test_ideal_order_keeps_the_documents(doc_ids: list[str], grades: dict[str, int], first: int) -> None:
    found = ideal_order(ranked(doc_ids), grades, first)
    ordered = [doc_id for doc_id, _ in found]
    assert sorted(ordered[:first]) == sorted(doc_ids[:first])
    assert ordered[first:] == doc_ids[first:]
    relevance = [grades.get(doc_id, 0) for doc_id in ordered[:first]]
    assert relevance == sorted(relevance, reverse=True)
    for before, after in pairwise(ordered[:first]):
        if grades.get(before, 0) == grades.get(after, 0):
            assert doc_ids.index(before) < doc_ids.index(after)
    check_falling(found)


@given(POOL, GRADES, FIRST)
def test_ideal_pool_holds_every_relevant_document_it_has_room_for(
    doc_ids: list[str], grades: dict[str, int], depth: int
) -> None:
    found = ideal_pool(ranked(doc_ids), grades, depth)
    ordered = [doc_id for doc_id, _ in found]
    relevant = {doc_id for doc_id, grade in grades.items() if grade > 0}
    others = [doc_id for doc_id in doc_ids if doc_id not in relevant]
    assert len(set(ordered)) == len(ordered) == min(depth, len(relevant) + len(others))
    assert set(ordered[: len(relevant)]) <= relevant
    assert ordered[len(relevant) :] == others[: max(depth - len(relevant), 0)]
    check_falling(found)


def check_falling(hits: list[tuple[str, float]]) -> None:
    assert all(before > after for (_, before), (_, after) in pairwise(hits))


def test_lists_by_hand() -> None:
    hits = ranked(["a", "b", "c", "d", "e"])
    judged = {"c": 1, "b": 1, "d": 3, "e": 2, "z": 2, "a": 0}
    assert [doc_id for doc_id, _ in ideal_order(hits, judged, 4)] == ["d", "b", "c", "a", "e"]
    assert [doc_id for doc_id, _ in ideal_order(hits, judged, 9)] == ["d", "e", "b", "c", "a"]
    assert [doc_id for doc_id, _ in ideal_pool(hits, judged, 9)] == ["d", "e", "z", "b", "c", "a"]
    assert [doc_id for doc_id, _ in ideal_pool(hits, judged, 2)] == ["d", "e"]
    assert [doc_id for doc_id, _ in ideal_pool([], judged, 9)] == ["d", "e", "z", "b", "c"]
