"""Advice: every rule on planted facts, the order of the list, and what is said of each piece of advice."""

from __future__ import annotations

from typing import Any

import diagnosed
import pytest
from advising import (
    CANDIDATES,
    DEEPER,
    MARGINS,
    MORE,
    RERANKED,
    RULES,
    SLOW,
    TRAINED,
    UNTRAINED,
    WITHOUT,
    advised,
    estimate,
    gain,
    surely,
)

from harness.diagnosis.advice import advise
from harness.diagnosis.meanings import NAMES

# ---- every rule


TURNS = {"conversation.turns": 0.4}
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
    "cut-into-chunks": (
        {"sign.unread_text": 0.11, "sign.unread_text.worrying": 1.0, "encoder.reads": 256.0},
        {"sign.unread_text.worrying": 0.0},
    ),
    "search-with-turns": (TURNS | {"concatenate.open": 1.0}, {"conversation.turns": 0.0}),
    "rewrite-with-turns": (TURNS | {"rewrite.open": 1.0}, {"rewrite.open": 0.0}),
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
