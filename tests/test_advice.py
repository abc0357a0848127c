"""Advice: every rule on planted facts, the form of rules, what advice could buy and cost, the laws of the list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diagnosed
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnosis.advice import advise
from harness.diagnosis.meanings import NAMES
from harness.diagnosis.rules import Condition, Rules, load_rules, parse_condition
from harness.diagnosis.worths import could_buy
from harness.errors import ConfigError
from harness.suite.bounds import Limits
from harness.suite.recipes import Part
from harness.values.insights import Advice, CostEstimate, OracleGain

RULES = load_rules()
CANDIDATES: dict[str, tuple[Part, ...]] = {
    "retriever": ("retriever",),
    "reranker": ("reranker",),
    "generator": ("generator",),
    "retriever-generator": ("retriever", "generator"),
    "turned": ("reranker", "retriever"),
    "all": ("retriever", "reranker", "generator"),
}
DOCS = Path(__file__).parent.parent / "docs" / "diagnose.md"


def surely(**shares: float) -> dict[str, float]:
    """Facts with an interval that is the value itself; `__` stands for a dot."""
    names = {name.replace("__", "."): value for name, value in shares.items()}
    return {name + end: value for name, value in names.items() for end in ("", ".low", ".high")}


def advised(
    facts: Mapping[str, float | None],
    candidates: Mapping[str, tuple[Part, ...]] | None = None,
    rules: Rules = RULES,
    **changes: Any,
) -> dict[str, Advice]:
    seen = diagnosed.diagnosis(**{"facts": dict(facts), "estimates": ()} | changes)
    found = advise(seen, rules, CANDIDATES if candidates is None else candidates)
    return {one.rule: one for one in found}


def estimate(name: str, dollars: float = 1.0, added: float | None = 0.0) -> CostEstimate:
    return CostEstimate(
        candidate=name, tunes=CANDIDATES[name], seconds=60, seconds_in_full=60, dollars=dollars, added_p95_ms=added
    )


# ---- every rule


TRAINED = {"reranker.untrained": 0.0, "reranker.planned": 1.0, "reranker.tuned": 1.0}
UNTRAINED = TRAINED | {"reranker.untrained": 1.0}
MARGINS = {"margin.rank": 0.02, "margin.answers": 0.05}
SLOW = {"p95_ms": 500.0, "added.p95.reranker": 200.0, "p95.reranker": 700.0, "limit.p95_ms": 600.0}
DEEPER = {
    "depth": 100.0, "gain.depth.to": 200.0, "gain.depth": 0.1, "gain.depth.low": 0.04, "gain.depth.measured": 1.0,
    "lost.pool": 0.15, "lost.pool.low": 0.05, "pool.share": 0.02, "reranker.planned": 1.0,
}  # fmt: skip
MORE = {
    "context": 3.0, "context.best": 5.0, "gain.context": 0.1, "gain.context.low": 0.02, "gain.context.half": 0.08,
} | MARGINS  # fmt: skip
WITHOUT = surely(oracle_gain__without_reranker=0.2)
RERANKED = {"rerank.depth": 50.0, "depth": 100.0, "reranker.planned": 1.0}
PLANTED: dict[str, tuple[dict[str, float], dict[str, float | None]]] = {
    # rule: facts on which it comes first (or alone), and the least change on which it does not hold any more
    "settings-gain": (surely(free__gain=0.1) | MARGINS, {"free.gain.low": 0.02}),
    "settings-gain-answers": (surely(free__gain__answers=0.1) | MARGINS, {"free.gain.answers.low": 0.05}),
    "settings-may-gain": (surely(free__gain=0.1) | {"free.gain.low": 0.01} | MARGINS, {"free.gain": 0.02}),
    "leave-retrieval-after": (surely(left__gain=0.01) | MARGINS, {"left.gain.high": 0.021}),
    "set-too-small": (
        {"oracle_gain.known": 3, "oracle_gain.clear": 0, "oracle_gain.possible": 2},
        {"oracle_gain.clear": 1},
    ),
    "holes-behind-right-answers": ({"right_without": 0.3, "n.unshown": 20}, {"n.unshown": 9}),
    "slower-than-the-limit": ({"p95_ms": 900, "limit.p95_ms": 800}, {"limit.p95_ms": None}),
    "judge-uncalibrated": ({"answers.uncalibrated": 2}, {"answers.uncalibrated": 0}),
    "reranker-does-harm": (WITHOUT, {"oracle_gain.without_reranker.low": 0.0}),
    "raise-depth": (DEEPER, {"lost.pool": 0.21}),
    "raise-rerank-depth": (RERANKED | surely(gain__rerank_depth=0.05), {"gain.rerank_depth.low": 0.0}),
    "show-more": (MORE, {"gain.context": 0.04}),
    "show-fewer": (MORE | {"context.best": 1}, {"gain.context.low": 0.0}),
    "retriever-finds-too-little": (surely(lost__pool=0.05), {"lost.pool.low": 0.049}),
    "add-trained-reranker": (surely(lost__context=0.2) | UNTRAINED, {"lost.context.low": 0.04}),
    "reranker": (surely(lost__context=0.2) | TRAINED, {"reranker.untrained": None}),
    "retriever-ranks-too-low": (surely(lost__context=0.2) | {"reranker.real": 0}, {"lost.pool.low": 0.05}),
    "generator": (surely(lost__wrong=0.3), {"lost.wrong.low": 0.09}),
    "generator-remote": (surely(lost__wrong=0.3) | {"generator.remote": 1}, {"lost.wrong.low": 0.09}),
    "in-stages": (surely(lost__pool=0.3, lost__wrong=0.3), {"lost.wrong.low": 0.09}),
    "try-context": (MORE | {"gain.context.low": -0.1, "gain.context.half": 0.2}, {"gain.context.half": 0.21}),
    "set-blunt": ({"n.groups": 15}, {"n.groups": 20}),
    "holes-in-lists": (
        {"sign.judged@10": 0.2, "sign.judged@10.bar": 0.25, "sign.judged@10.worrying": 1},
        {"sign.judged@10.bar": 0.05},
    ),
    "leave-all": ({"oracle_gain.known": 2, "oracle_gain.possible": 0}, {"oracle_gain.possible": 1}),
    "leave-retrieval": (
        surely(oracle_gain__retriever=0.01, oracle_gain__reranker=0.0) | MARGINS,
        {"oracle_gain.reranker.high": 0.021},
    ),
    "leave-retriever": (
        surely(oracle_gain__retriever=0.01, oracle_gain__reranker=0.3) | MARGINS,
        {"oracle_gain.retriever.high": 0.021},
    ),
    "leave-reranker": (surely(oracle_gain__reranker=0.01) | MARGINS | RERANKED, {"oracle_gain.retriever.high": 0.01}),
    "leave-generator": (surely(oracle_gain__generator__answers=0.04) | MARGINS, {"margin.answers": None}),
    "reranker-untrained": (UNTRAINED, {"reranker.tuned": 0.0}),
    "reranker-too-slow": (SLOW, {"limit.p95_ms": 700}),
}


def test_every_rule_is_planted() -> None:
    assert set(PLANTED) == set(RULES.rules)


@pytest.mark.parametrize("rule", PLANTED)
def test_a_rule_holds_on_its_facts_and_not_beyond_its_threshold(rule: str) -> None:
    facts, change = PLANTED[rule]
    found = advised(facts)
    assert rule in found
    assert rule not in advised(facts | change)
    assert found[rule].why
    assert found[rule].would_change
    assert "{" not in " ".join((found[rule].action, *found[rule].why, *found[rule].would_change))


@pytest.mark.parametrize("rule", [rule for rule in PLANTED if rule != "in-stages"])
def test_a_rule_comes_first_where_nothing_else_is_planted(rule: str) -> None:
    assert next(iter(advised(PLANTED[rule][0]))) == rule


@pytest.mark.parametrize("cause", ["lost.wrong", "lost.abstained", "lost.format", "invented"])
def test_each_loss_of_the_generator_is_a_reason_to_tune_it(cause: str) -> None:
    found = advised(surely(**{cause.replace(".", "__"): 0.2}))["generator"]
    assert (found.tunes, found.candidates, found.rank) == (("generator",), ("generator",), 1)
    assert len(found.why) == 1
    assert "20 % [20, 20]" in found.why[0]


def test_nothing_known_is_nothing_advised() -> None:
    assert advised(dict.fromkeys(NAMES)) == {}
    assert advised({}) == {}


# ---- the order


def test_the_retriever_comes_before_a_larger_loss_behind_it() -> None:
    found = advised(surely(lost__pool=0.1, lost__wrong=0.8) | {"lost.generator": 0.8})
    assert list(found) == ["retriever-finds-too-little", "generator", "in-stages"]
    assert [one.rank for one in found.values()] == [1, 2, 3]
    assert found["in-stages"].tunes == ("retriever", "generator")
    assert found["in-stages"].candidates == ("retriever-generator",)
    assert found["in-stages"].action == "Tune retriever and generator in stages"


@pytest.mark.parametrize(("context", "generator"), [(0.5, 0.2), (0.2, 0.5)])
def test_behind_a_good_pool_the_larger_loss_comes_first(context: float, generator: float) -> None:
    facts = surely(lost__context=context, lost__wrong=generator) | {"lost.generator": generator} | TRAINED
    singles = [rule for rule in advised(facts) if rule in ("reranker", "generator")]
    assert singles == (["reranker", "generator"] if context > generator else ["generator", "reranker"])
    assert advised(facts)["in-stages"].candidates == ("all",)


def test_a_pool_in_the_wrong_order_wants_a_reranker_and_then_the_retriever() -> None:
    assert list(advised(surely(lost__context=1.0) | TRAINED))[:2] == ["reranker", "retriever-ranks-too-low"]
    found = advised(surely(lost__context=1.0) | UNTRAINED)
    assert list(found) == ["add-trained-reranker", "retriever-ranks-too-low", "reranker-untrained"]
    assert [worth.measure for worth in found["add-trained-reranker"].could_buy] == ["ndcg@10", "exact_match", "utility"]


def test_an_untrained_or_slow_reranker_is_advised_against_with_all_that_tunes_it() -> None:
    for facts, rule in ((UNTRAINED, "reranker-untrained"), (SLOW | TRAINED, "reranker-too-slow")):
        found = advised(surely(lost__pool=0.2, lost__context=0.5) | facts)
        assert list(found)[-1] == rule
        assert found[rule].against
        assert found[rule].candidates == ("reranker", "turned", "all")
        assert "reranker" not in found
        assert "in-stages" not in found


def test_headroom_within_the_margin_stops_what_the_funnel_asks_for() -> None:
    losses = surely(lost__pool=0.2, lost__context=0.2, lost__wrong=0.2) | UNTRAINED | MARGINS
    none = surely(oracle_gain__retriever=0.0, oracle_gain__reranker=0.0, oracle_gain__generator__answers=0.0) | {
        "oracle_gain.known": 2.0,
        "oracle_gain.possible": 0.0,
    }
    found = advised(losses | none)
    assert list(found) == ["leave-all", "leave-retrieval", "leave-generator", "reranker-untrained"]
    assert found["leave-retrieval"].candidates == ("retriever", "reranker", "turned")
    # Together they may buy what none does alone.
    assert "leave-all" not in advised(losses | none | {"oracle_gain.retriever.high": None})


# ---- a reranker that does harm, and what a reranker does not reach


def test_a_reranker_that_ruins_a_perfect_pool_is_no_reason_to_leave_retrieval_alone() -> None:
    gains = (
        surely(oracle_gain__retriever=0.0, oracle_gain__reranker=0.6)
        | MARGINS
        | {"oracle_gain.known": 2.0, "oracle_gain.possible": 1.0}
    )
    facts = surely(lost__context=0.6) | gains | TRAINED | RERANKED | {"reranker.real": 1.0}
    found = advised(facts | WITHOUT)
    assert list(found) == ["reranker-does-harm", "reranker"]
    assert any("does harm" in why for why in found["reranker"].why)
    # It may also do less well than an ideal one, and no harm: then no better pool is of use in front of it.
    found = advised(facts | surely(oracle_gain__without_reranker=-0.1))
    assert list(found) == ["reranker", "leave-retriever"]
    assert found["leave-retriever"].why[1].startswith("The reranker discards the better pool")
    assert not any("does harm" in why for why in found["reranker"].why)


def test_behind_a_reranker_that_does_harm_the_pool_still_wants_its_documents() -> None:
    facts = surely(lost__pool=0.2, oracle_gain__retriever=0.0, oracle_gain__reranker=0.3) | MARGINS | DEEPER | WITHOUT
    assert list(advised(facts)) == ["reranker-does-harm", "retriever-finds-too-little"]
    assert "retriever-finds-too-little" not in advised(facts | surely(oracle_gain__without_reranker=0.0))


def test_leaving_the_reranker_out_buys_what_was_measured_without_it() -> None:
    gains = (
        *diagnosed.oracle_gains(),
        gain("without-reranker", "ndcg@10", 0.2),
        gain("without-reranker", "utility", -0.1),
    )
    found = advised(WITHOUT | {"share.p95.rerank": 0.4}, oracle_gains=gains)["reranker-does-harm"]
    assert [(worth.measure, worth.difference) for worth in found.could_buy] == [("ndcg@10", 0.2), ("utility", -0.1)]
    assert found.why[:2] == (
        "Without it, retrieval gains +0.200 [+0.200, +0.200].",
        "It takes 40 % of the p95 latency.",
    )


def test_nothing_is_made_slower_where_time_is_short() -> None:
    deeper = DEEPER | RERANKED | surely(gain__rerank_depth=0.2)
    assert {"raise-depth", "raise-rerank-depth"} <= set(advised(deeper))
    for facts in (WITHOUT, SLOW, {"p95_ms": 900.0, "limit.p95_ms": 800.0}):
        assert not {"raise-depth", "raise-rerank-depth"} & set(advised(deeper | facts))


def test_the_ideal_order_is_that_of_what_a_reranker_reads() -> None:
    facts = surely(oracle_gain__reranker=0.01) | MARGINS | RERANKED
    assert advised(facts)["leave-reranker"].why[0].startswith("An oracle order of the first 50 documents gains")


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({}, True),
        ({"lost.pool.low": 0.049}, False),
        ({"gain.depth.low": 0.0}, False),
        ({"gain.depth.low": None}, False),
        ({"gain.depth": 0.07}, False),
        ({"pool.share": 0.2}, False),
        ({"reranker.planned": 0.0}, False),
    ],
)
def test_depth_is_raised_only_where_that_surely_finds_what_is_lost(changes: dict[str, Any], fires: bool) -> None:
    assert ("raise-depth" in advised(DEEPER | changes)) == fires


def test_what_was_gained_since_another_depth_is_said_so() -> None:
    found = advised(DEEPER | {"gain.depth.measured": 0.0, "gain.depth.since": 40.0})["raise-depth"]
    assert "From depth 40 to 100" in found.why[0]


# ---- the form of answers, endpoints, judges, guesses


@pytest.mark.parametrize(("low", "leaves"), [(0.1, False), (0.09, True), (None, True)])
def test_a_generator_whose_form_is_wrong_is_not_left_alone(low: float | None, leaves: bool) -> None:
    """By the rule of `utility` all are right, so an ideal generator gains nothing."""
    gains = (
        surely(oracle_gain__generator__answers=0.0) | MARGINS | {"oracle_gain.known": 1.0, "oracle_gain.possible": 0.0}
    )
    found = advised(gains | {"lost.format": 1.0, "lost.format.low": low, "lost.format.high": 1.0})
    assert ("leave-generator" in found) == ("leave-all" in found) == leaves
    assert ("generator" in found) == (not leaves)
    if not leaves:
        assert any("Only the format can improve" in why for why in found["generator"].why)
    else:
        phrase = "the share of queries with correct content in the wrong format (lower bound)"
        said = [text for text in found["leave-generator"].would_change if text.startswith(phrase)]
        assert len(said) == (low is not None)


@pytest.mark.parametrize("cause", ["lost.wrong", "lost.abstained", "lost.format", "invented"])
def test_a_generator_at_an_endpoint_is_not_tuned(cause: str) -> None:
    losses = surely(**{cause.replace(".", "__"): 0.2})
    found = advised(losses | {"generator.remote": 1.0})
    assert list(found) == ["generator-remote"]
    assert "20 % [20, 20]" in found["generator-remote"].why[0]
    assert [worth.measure for worth in found["generator-remote"].could_buy] == ["exact_match", "utility"]
    assert list(advised(losses | {"generator.remote": 0.0})) == ["generator"]
    left = surely(oracle_gain__generator__answers=0.0) | MARGINS
    assert ("leave-generator" in advised(losses | left | {"generator.remote": 1.0})) == (cause != "lost.format")


@pytest.mark.parametrize(("judged", "said"), [(0, "no judged query"), (1, "has 1 judged"), (199, "199"), (200, None)])
def test_what_is_said_of_questions_to_train_on(judged: float, said: str | None) -> None:
    why = advised(surely(lost__pool=0.2) | {"train.judged": judged})["retriever-finds-too-little"].why
    assert (said in why[1]) if said else len(why) == 1
    assert ("pairs: synthetic" in why[-1]) == (judged == 0)


def test_a_guess_is_called_one() -> None:
    for basis, guessed in ((1.0, True), (0.0, False), (None, False)):
        facts = SLOW | {"added.p95.reranker.guessed": basis}
        assert any("guess" in why for why in advised(facts)["reranker-too-slow"].why) == guessed
        fast = surely(lost__context=0.3) | TRAINED | facts | {"limit.p95_ms": 900.0}
        assert any("guess" in why for why in advised(fast)["reranker"].why) == guessed
    slow = estimate("reranker", added=700.0).model_copy(update={"basis": {"rerank": "guessed"}})
    facts = surely(lost__context=0.3) | TRAINED | {"p95_ms": 500.0, "limit.p95_ms": 900.0}
    found = advised(facts, {"reranker": ("reranker",)}, estimates=(slow,))["reranker"]
    assert found.why[-1] == (
        "reranker is estimated to take 1,200 ms (p95), over max_p95_ms (900 ms). "
        "The latency of the reranker is a guess."
    )


def test_noise_is_no_reason_to_try_another_context() -> None:
    """Where the measure is not gated its margin is 0, and of several contexts one always looks better."""
    noise = MORE | {"margin.answers": 0.0, "gain.context": 0.01, "gain.context.low": -0.1, "gain.context.half": 0.11}
    assert "try-context" not in advised(noise)
    assert "try-context" in advised(noise | {"gain.context": 0.06})
    assert "try-context" not in advised(noise | {"gain.context": 0.06, "gain.context.half": None})


def test_few_groups_of_answered_questions_are_said_apart() -> None:
    (reason,) = advised({"n.groups": 80.0, "n.groups.answers": 12.0})["set-blunt"].why
    assert reason.startswith("Answers are judged on 12 groups of queries.")


def test_the_curve_of_an_unproven_measure_is_not_what_a_context_buys() -> None:
    depth, context = diagnosed.curves()
    other = context.model_copy(update={"measure": "token_f1"})
    seen = diagnosed.diagnosis(
        facts=MORE, estimates=(), curves=(depth, context, other), measures=("ndcg@10", "exact_match", "token_f1")
    )
    for uncalibrated, measure in (((), "exact_match"), (("exact_match",), "token_f1")):
        (found,) = advise(seen, RULES, CANDIDATES, uncalibrated)
        assert [worth.measure for worth in found.could_buy] == [measure]


# ---- reasons, and what would change them


def test_reasons_quote_facts_and_leave_out_what_is_not_known() -> None:
    facts = {"lost.pool": 0.2, "lost.pool.low": 0.1, "lost.pool.high": 0.3, "train.judged": 60.0}
    found = advised(facts)["retriever-finds-too-little"]
    assert found.why[0] == "The pool lacks the relevant documents of 20 % [10, 30] of the queries."
    assert "60 judged queries" in found.why[1]
    assert len(advised(facts | {"train.judged": None})["retriever-finds-too-little"].why) == 1
    worried = {"sign.high_fertility": 0.11, "sign.high_fertility.worrying": 1.0}
    assert (
        "11 % of the distinct words are split into 4 or more tokens"
        in advised(facts | worried)["retriever-finds-too-little"].why[1]
    )


def test_what_would_change_it_is_said_with_the_threshold_and_the_present_value() -> None:
    found = advised(PLANTED["raise-depth"][0])["raise-depth"]
    gains = "the gain of a deeper pool in queries with a relevant document in it"
    losses = "the share of queries with no relevant document in the pool"
    assert found.action == "Raise 'depth' from 100 to 200, and 'rerank_depth' with it"
    assert found.would_change == (
        f"{losses} (lower bound) is below 5 % (now 5 %)",
        f"{gains} (lower bound) is at most +0.000 (now +0.040)",
        f"{gains} is below 0.5 times {losses} (+0.075) (now +0.100)",
        "the share of all documents that a pool holds is above 10 % (now 2 %)",
        "neither the pipeline nor a candidate has a reranker",
    )
    both = advised(surely(lost__wrong=0.2, invented=0.4))["generator"].would_change
    assert len(both) == 1
    assert ", and " in both[0]


def test_a_rule_that_would_stop_it_is_named_where_it_lacks_one_condition() -> None:
    facts = surely(lost__context=0.3, oracle_gain__reranker=0.3) | TRAINED | SLOW | MARGINS | {"limit.p95_ms": 900.0}
    phrases = advised(facts)["reranker"].would_change
    assert "the p95 latency with a reranker is above the limit max_p95_ms (900 ms) (now 700 ms)" in phrases
    assert any(phrase.startswith("the oracle gain of the reranker in retrieval (upper bound)") for phrase in phrases)


# ---- what it could buy


def gain(oracle: Any, measure: str, difference: float | None, real: float = 0.4) -> OracleGain:
    return OracleGain(
        oracle=oracle,
        measure=measure,
        bound="@" in measure,
        real=real,
        best=None,
        difference=difference,
        low=0.1,
        high=0.9,
    )


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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=150, deadline=None)
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


# ---- the form of the rules


numbers = st.floats(-1e6, 1e6)
names = st.sampled_from([*NAMES, "sign.agreement", "share.p95.generator"])


@given(
    st.builds(Condition, names, st.sampled_from([">=", ">", "<=", "<"]), numbers)
    | st.builds(Condition, names, st.sampled_from([">=", ">", "<=", "<"]), names, st.floats(0.01, 100))
)
def test_conditions_are_read_as_they_are_written(condition: Condition) -> None:
    assert parse_condition(str(condition)) == condition


@given(
    st.sampled_from([">=", ">", "<=", "<"]), st.none() | st.floats(0, 1), st.none() | st.floats(0, 1), st.floats(0.1, 2)
)
def test_a_condition_or_its_opposite_holds_unless_something_is_not_known(
    sign: Any, value: float | None, bound: float | None, times: float
) -> None:
    condition = Condition("right", sign, "invented", times)
    facts = {"right": value, "invented": bound}
    held = [condition.holds(facts), condition.opposite.holds(facts)]
    assert sorted(held) == ([False, False] if value is None or bound is None else [False, True])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lost.pol >= 0.1", "no fact is called 'lost.pol'; did you mean 'lost.pool'?"),
        ("lost.pool >= 2 * 0.1", "before '*' stands a number, after it a fact"),
        ("lost.pool >= x * right", "before '*' stands a number, after it a fact"),
        ("lost.pool = 0.1", "is no condition; write one like"),
        ("lost.pool >= nan", "no fact is called 'nan'"),
        ("", "is no condition"),
    ],
)
def test_what_is_no_condition_is_said_so(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_condition(text)


def written(tmp_path: Path, *rules: dict[str, Any], **changes: Any) -> Path:
    value = {"schema": "harness/advice-1", "classes": [{"about": "all", "rules": list(rules)}]} | changes
    path = tmp_path / "advice.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


SOUND = {"id": "one", "kind": "change", "action": "Do it", "when": ["right < 0.5"], "because": ["Right are {right}."]}


def test_rules_of_a_file(tmp_path: Path) -> None:
    rules = load_rules(written(tmp_path, SOUND))
    (found,) = advised({"right": 0.2}, rules=rules).values()
    assert (found.action, found.why) == ("Do it", ("Right are 20 %.",))
    assert found.would_change == ("the share of queries answered correctly is at least 50 % (now 20 %)",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"because": ["Right are {rigt}."]}, "no fact is called 'rigt'; did you mean 'right'?"),
        ({"when": ["rigt < 1"]}, "classes.0.rules.0.when.0: no fact is called 'rigt'"),
        ({"wen": []}, "classes.0.rules.0.wen: unknown key; did you mean 'when'?"),
        ({"because": []}, "a rule needs a reason"),
        ({"when": []}, "a rule has conditions, 'when' or 'any', unless it is 'together'"),
        ({"kind": "tune"}, "a rule that tunes has either 'tunes' or 'together: true'"),
        ({"kind": "tun"}, "classes.0.rules.0.kind: "),
        ({"unless": ["two"]}, "rule 'one' names a rule 'two'; known here: one"),
        ({"unless": ["one"]}, "rules that wait for each other: one, one"),
        ({"not_when": ["rigt < 1"]}, "classes.0.rules.0.not_when.0: no fact is called 'rigt'"),
        ({"rank_by": "rigt"}, "classes.0.rules.0.rank_by: no fact is called 'rigt'"),
    ],
)
def test_a_mistake_in_rules_is_one_sentence(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = written(tmp_path, SOUND | change)
    with pytest.raises(ConfigError) as caught:
        load_rules(path)
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert str(problem).startswith(str(path))
    assert "\n" not in str(problem)


def test_rules_named_twice_and_what_is_no_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rules named twice: one"):
        load_rules(written(tmp_path, SOUND, SOUND))
    (tmp_path / "advice.yaml").write_text("schema: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"advice.yaml:1: not YAML"):
        load_rules(tmp_path / "advice.yaml")


def test_every_rule_is_explained_in_the_docs_and_their_limits_can_be_read() -> None:
    text = DOCS.read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE))
    assert named == set(RULES.rules)
    (block,) = re.findall(r"```yaml\n(limits:.*?)```", text, re.DOTALL)
    assert Limits.model_validate(yaml.safe_load(block)["limits"]).max_p95_ms == 1500
