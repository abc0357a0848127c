"""Advice: what it could gain, what it costs, and the laws of the list."""

from __future__ import annotations

from collections.abc import Mapping

import diagnosed
import pytest
from advising import CANDIDATES, DEEPER, MORE, RULES, advised, estimate, gain, surely
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnosis.advice import advise
from harness.diagnosis.meanings import NAMES
from harness.diagnosis.worths import could_buy
from harness.suite.recipes import Part
from harness.values.insights import Advice, CostEstimate

# ---- what it could buy


ORACLE_GAINS = (
    gain("oracle-retriever", "ndcg@10", 0.5),
    gain("oracle-reranker", "ndcg@10", 0.3),
    gain("oracle-generator", "ndcg@10", None),
    gain("oracle-retriever", "utility", 0.21, -0.4),
    gain("oracle-reranker", "utility", 0.11, -0.4),
    gain("oracle-context", "utility", 0.31, -0.4),
    gain("oracle-generator", "utility", 0.61, -0.4),
)


@pytest.mark.parametrize(
    ("tunes", "ndcg", "utility"),
    [
        ("retriever", 0.5, 0.21),
        ("reranker", 0.3, 0.11),
        ("generator", None, 0.61),
        ("retriever reranker", 0.5, 0.31),
        ("retriever generator", 0.5, 1.4),
        ("reranker generator", 0.3, 1.4),
        ("retriever reranker generator", 0.5, 1.4),
    ],
)
def test_what_parts_could_buy(tunes: str, ndcg: float | None, utility: float) -> None:
    found = {worth.measure: worth for worth in could_buy(ORACLE_GAINS, tunes.split())}
    assert found["utility"].difference == pytest.approx(utility)
    assert found["utility"].bound == (utility == 1.4)
    assert (found["ndcg@10"].difference if "ndcg@10" in found else None) == ndcg
    if ndcg is not None:
        assert (found["ndcg@10"].bound, found["ndcg@10"].low) == (True, 0.1)


def test_behind_a_real_reranker_both_are_bounded_by_a_perfect_score_alone() -> None:
    gains = (ORACLE_GAINS[0].model_copy(update={"bound": False, "difference": 0.0}), ORACLE_GAINS[1])
    found = {tunes: could_buy(gains, tunes.split()) for tunes in ("retriever", "retriever reranker", "reranker")}
    assert [(one.difference, one.bound) for (one,) in found.values()] == [(0.0, False), (0.6, True), (0.3, True)]
    assert could_buy(gains, ("retriever", "reranker", "generator")) == found["retriever reranker"]
    assert could_buy(gains, ("retriever", "generator")) == found["retriever"]


def test_one_part_without_its_own_ideal_could_buy_what_oracle_context_does() -> None:
    assert [worth.difference for worth in could_buy(ORACLE_GAINS[5:6], ["reranker"])] == [0.31]
    assert could_buy((), ["retriever"]) == ()


def test_what_no_ideal_was_tried_for_could_buy_nothing_that_is_known() -> None:
    only_reranker, only_oracle = ORACLE_GAINS[1:2], ORACLE_GAINS[5:6]
    assert could_buy(only_reranker, ["retriever"]) == ()
    assert could_buy(only_reranker, ["retriever", "reranker"]) == ()
    assert could_buy(only_oracle, ["generator"]) == ()
    assert could_buy(ORACLE_GAINS, []) == ()


def test_settings_could_buy_what_their_curves_say() -> None:
    (more,) = advised(MORE | {"gain.context.high": 0.2})["show-more"].could_buy
    assert (more.measure, more.difference, more.low, more.high, more.bound) == ("exact_match", 0.1, 0.02, 0.2, False)
    (deeper,) = advised(DEEPER)["raise-depth"].could_buy
    assert (deeper.measure, deeper.difference, deeper.low) == ("recall", 0.1, 0.04)
    recall, context = diagnosed.curves()
    hits = recall.model_copy(update={"measure": "hit_rate"})
    (deeper,) = advised(DEEPER, curves=(recall, hits, context))["raise-depth"].could_buy
    assert deeper.measure == "hit_rate"


def test_what_is_left_alone_could_buy_the_most_that_one_of_its_parts_could() -> None:
    facts = {"oracle_gain.known": 2.0, "oracle_gain.possible": 0.0}
    found = advised(facts, oracle_gains=ORACLE_GAINS)["leave-all"].could_buy
    assert {worth.measure: worth.difference for worth in found} == {"ndcg@10": 0.5, "utility": 0.61}


# ---- what it costs


def test_the_cheapest_candidate_for_exactly_these_parts_is_quoted() -> None:
    names: dict[str, tuple[Part, ...]] = {"dear": ("retriever",), "cheap": ("retriever",), **CANDIDATES}
    estimates = [
        CostEstimate(candidate=name, tunes=names[name], seconds=1, seconds_in_full=1, dollars=dollars)
        for name, dollars in (("dear", 3.0), ("cheap", 0.5), ("all", 0.1))
    ]
    found = advised(surely(lost__pool=0.2), names, estimates=tuple(estimates))["retriever-finds-too-little"]
    assert found.candidates == ("dear", "cheap", "retriever")
    assert found.estimate == estimates[1]


def test_candidates_over_a_limit_are_named_and_where_all_are_it_is_advised_against() -> None:
    facts = surely(lost__pool=0.2, lost__wrong=0.2) | {"limit.usd": 2.0, "limit.p95_ms": 900.0, "p95_ms": 1000.0}
    estimates = (
        estimate("retriever", 3.0),
        estimate("generator", 1.0, 50.0),
        estimate("retriever-generator", 1.0, 0.0),
    )
    found = advised(facts, estimates=estimates)
    assert found["retriever-finds-too-little"].against
    assert found["retriever-finds-too-little"].why[-1] == (
        "retriever is estimated to cost $3.00 to build, over max_build_usd ($2.00)."
    )
    assert found["generator"].against
    assert found["generator"].why[-1] == "generator is estimated to take 1,050 ms (p95), over max_p95_ms (900 ms)."
    # What adds no time is not to blame for a pipeline that is too slow already; what is not affordable is not staged.
    assert list(found) == ["slower-than-the-limit", "retriever-finds-too-little", "generator"]
    fast = advised(facts | {"p95_ms": 700.0, "limit.usd": 4.0}, estimates=estimates)
    assert [one.against for one in fast.values()] == [False, False, False]
    assert list(fast)[-1] == "in-stages"


def test_one_affordable_candidate_is_enough() -> None:
    names: dict[str, tuple[Part, ...]] = {"dear": ("generator",), "cheap": ("generator",)}
    dear = CostEstimate(candidate="dear", tunes=("generator",), seconds=1, seconds_in_full=1, dollars=3)
    facts = surely(lost__wrong=0.2) | {"limit.usd": 2.0}
    cheap = dear.model_copy(update={"candidate": "cheap", "dollars": 1.9})
    found = advised(facts, names, estimates=(dear, cheap))["generator"]
    assert (found.against, found.estimate) == (False, cheap)
    assert "dear" in found.why[-1]
    slow = facts | {"limit.p95_ms": 900.0, "p95_ms": 800.0}
    fitting = dear.model_copy(update={"dollars": 1.95})
    found = advised(slow, names, estimates=(fitting, cheap.model_copy(update={"added_p95_ms": 200.0})))["generator"]
    assert (found.against, found.estimate) == (False, fitting)
    assert not advised(facts, names, estimates=(dear,))["generator"].against  # nothing is known of the other
    assert advised(facts, {"dear": ("generator",)}, estimates=(dear,))["generator"].against


# ---- laws


FACTS = st.dictionaries(
    st.sampled_from([*NAMES, "sign.judged@10.worrying", "sign.judged@10.bar"]),
    st.none() | st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 50.0]) | st.floats(-1, 1000),
    max_size=40,
)
COSTS = st.lists(st.sampled_from([0.5, 5.0]), min_size=6, max_size=6)


def places(facts: Mapping[str, float | None], costs: list[float]) -> tuple[Advice, ...]:
    estimates = tuple(estimate(name, dollars, dollars) for name, dollars in zip(CANDIDATES, costs, strict=True))
    return tuple(advised(facts, estimates=estimates).values())


@settings(max_examples=150)
@given(FACTS, COSTS)
def test_ranks_count_up_and_no_rule_comes_twice(facts: dict[str, float | None], costs: list[float]) -> None:
    seen = diagnosed.diagnosis(
        facts=facts, estimates=tuple(estimate(*pair) for pair in zip(CANDIDATES, costs, strict=True))
    )
    found = advise(seen, RULES, CANDIDATES)
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    assert len({one.rule for one in found}) == len(found)
    assert [one.against for one in found] == sorted(one.against for one in found)
    assert found == advise(seen, RULES, CANDIDATES)
    shuffled = seen.model_copy(update={"facts": dict(reversed(facts.items())), "estimates": seen.estimates[::-1]})
    assert [one.rule for one in advise(shuffled, RULES, CANDIDATES)] == [one.rule for one in found]


@settings(max_examples=150)
@given(FACTS, COSTS, st.floats(0, 1), st.floats(0, 1))
def test_more_lost_in_the_pool_never_moves_the_retriever_down(
    facts: dict[str, float | None], costs: list[float], one: float, other: float
) -> None:
    def place(lost: float) -> float:
        found = places(facts | surely(lost__pool=lost), costs)
        # A setting that mends the same loss without training may step before it.
        tuning = [row for row in found if row.kind == "tune"]
        return min((place for place, row in enumerate(tuning) if row.tunes == ("retriever",)), default=99)

    less, more = sorted((one, other))
    assert place(0.0) >= place(less) >= place(more) >= place(1.0)
