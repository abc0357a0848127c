"""Facts: what is read out of a diagnosis, by hand, and that what is not there is None."""

from __future__ import annotations

from typing import Any

import diagnosed
import pytest

from harness.diagnosis.facts import Setting, facts
from harness.diagnosis.meanings import MEANINGS, in_words, meaning, number
from harness.suite.bounds import Limits
from harness.values.insights import CostEstimate, Curve, Diagnosis, LossPoint, OracleGain, PartTime, Sign

SETTING = Setting({"ndcg@10": 0.02, "utility": 0.05})


def of(setting: Setting = SETTING, **changes: Any) -> dict[str, float | None]:
    return facts(diagnosed.diagnosis(**changes), setting)


def gain(oracle: Any, measure: str, low: float | None, high: float | None, difference: float = 0.1) -> OracleGain:
    return OracleGain(
        oracle=oracle, measure=measure, bound=True, real=0.5, best=0.5 + difference, difference=difference, low=low,
        high=high,
    )  # fmt: skip


def curve(kind: Any, chosen: int, *points: tuple[int, float], half: float | None = None, **changes: Any) -> Curve:
    made = [
        LossPoint(
            at=at, mean=mean, low=None if half is None else mean - half, high=None if half is None else mean + half, n=9
        )
        for at, mean in points
    ]
    measure = "recall" if kind == "depth" else "utility"
    return Curve(**{"kind": kind, "measure": measure, "points": tuple(made), "chosen": chosen} | changes)


def test_an_empty_diagnosis_has_every_fact_and_knows_next_to_none() -> None:
    found = facts(diagnosed.empty(), Setting({}))
    assert {name for name, value in found.items() if value} == {"n.judged", "n.groups"}
    assert facts(diagnosed.empty(), Setting({}, rerank_depth=50))["rerank.depth"] == 50
    assert set(MEANINGS) < set(found)


def test_every_fact_has_a_meaning() -> None:
    for name, value in of().items():
        assert meaning(name) is not None, name
        assert value is None or in_words(name, {name: value}), name


def test_losses_come_from_the_funnels() -> None:
    found = of()
    assert found["lost.pool"] == pytest.approx(17 / 172)
    assert (found["lost.pool.low"], found["lost.pool.high"]) == (0.054, 0.155)
    assert found["lost.context"] == pytest.approx(55 / 172)
    assert found["lost.wrong"] == pytest.approx(31 / 88)
    assert found["lost.abstained"] == pytest.approx(3 / 88)
    assert found["lost.format"] == pytest.approx(5 / 88)
    assert found["lost.generator"] == pytest.approx(39 / 88)
    assert found["invented"] == pytest.approx(10 / 12)
    # 9 were not in the pool, 27 not in the context; one more was right without a passage.
    assert (found["n.unshown"], found["right_without"]) == (37, pytest.approx(1 / 37))


def test_abstaining_from_unanswerable_questions_is_no_loss() -> None:
    answers = diagnosed.funnels()[1]
    only = [place for place in answers.places if place.population == "unanswerable"]
    found = of(funnels=(answers.model_copy(update={"places": tuple(only)}),))
    assert found["lost.abstained"] is None
    assert found["invented"] == pytest.approx(10 / 12)


def test_rooms_are_those_of_the_first_rank_measure_and_of_utility() -> None:
    found = of()
    assert found["oracle_gain.retriever"] == pytest.approx(1 - 0.5512)
    assert (found["oracle_gain.reranker.low"], found["oracle_gain.reranker.high"]) == (0.2945, 0.4055)
    assert found["oracle_gain.generator.answers.low"] == 0.6364
    assert found["oracle_gain.retrieval.answers"] == pytest.approx(0.6667 - 0.4646)
    assert found["oracle_gain.generator"] is None
    assert (found["margin.rank"], found["margin.answers"]) == (0.02, 0.05)
    assert (found["mde"], found["mde.margins"]) == (0.031, pytest.approx(1.55))
    assert of(measures=("recall@10", "exact_match"))["oracle_gain.generator.answers.low"] == 0.3121


@pytest.mark.parametrize(
    ("low", "high", "clear", "possible"),
    [(0.03, 0.2, 1, 1), (0.02, 0.2, 0, 1), (-0.1, 0.01, 0, 0), (0.0, 0.02, 0, 0), (None, None, 0, 1)],
)
def test_a_room_is_clear_or_possible_by_its_interval(
    low: float | None, high: float | None, clear: int, possible: int
) -> None:
    found = of(oracle_gains=(gain("oracle-retriever", "ndcg@10", low, high),))
    assert (found["oracle_gain.known"], found["oracle_gain.clear"], found["oracle_gain.possible"]) == (
        1,
        clear,
        possible,
    )


def test_a_room_without_an_interval_rules_nothing_out() -> None:
    found = of(oracle_gains=(gain("oracle-context", "utility", None, None, 0.0),))
    assert (found["oracle_gain.known"], found["oracle_gain.clear"], found["oracle_gain.possible"]) == (1, 0, 1)


def test_a_part_counts_once_and_a_measure_without_a_gate_has_no_margin() -> None:
    both = (gain("oracle-retriever", "ndcg@10", 0.01, 0.1), gain("oracle-retriever", "utility", 0.01, 0.1))
    found = of(oracle_gains=both)
    assert (found["oracle_gain.known"], found["oracle_gain.clear"], found["oracle_gain.possible"]) == (1, 0, 1)
    found = of(Setting({}), oracle_gains=both)
    assert (found["oracle_gain.known"], found["oracle_gain.clear"], found["margin.rank"]) == (1, 1, 0.0)
    assert found["mde.margins"] is None


def test_leaving_the_reranker_out_is_no_ideal_part() -> None:
    found = of(
        oracle_gains=(gain("without-reranker", "ndcg@10", 0.1, 0.3, 0.2), gain("without-reranker", "utility", 0, 1))
    )
    assert (found["oracle_gain.without_reranker"], found["oracle_gain.without_reranker.low"]) == (0.2, 0.1)
    assert found["oracle_gain.without_reranker.answers.high"] == 1
    assert (found["oracle_gain.known"], found["oracle_gain.clear"], found["oracle_gain.possible"]) == (0, 0, 0)


def test_what_can_be_shown_is_the_median_over_the_ideal_parts() -> None:
    def shows(oracle: Any, detectable: float | None) -> OracleGain:
        return gain(oracle, "ndcg@10", 0.0, 1.0).model_copy(update={"detectable": detectable})

    several = (shows("oracle-retriever", 0.03), shows("oracle-reranker", 0.05), shows("without-reranker", 0.9))
    assert of(oracle_gains=several)["mde"] == 0.05
    assert of(oracle_gains=several[:1])["mde"] == 0.03
    assert of(oracle_gains=(several[0], shows("oracle-reranker", None)))["mde"] == 0.03
    assert of(oracle_gains=several[2:])["mde"] is None


def test_groups_of_answers_are_told_apart_from_those_of_retrieval() -> None:
    found = of()
    assert (found["n.groups"], found["n.groups.answers"]) == (74, 58)
    assert of(funnels=diagnosed.funnels()[:1])["n.groups.answers"] is None


def hits(chosen: int, *points: tuple[int, float], width: float = 0.02) -> Curve:
    """A curve of hit rates with gains over `chosen`, each within `width` of what it is."""
    here = dict(points)[chosen]
    plain = curve("depth", chosen, *points, measure="hit_rate")
    told = [
        one if one.at == chosen else one.model_copy(
            update={"gain": one.mean - here, "gain_low": one.mean - here - width, "gain_high": one.mean - here + width}
        )
        for one in plain.points
    ]  # fmt: skip
    return plain.model_copy(update={"points": tuple(told)})


def test_depth_gains_what_was_measured_at_up_to_twice_the_depth() -> None:
    recall = curve("depth", 20, (10, 0.1), (20, 0.2), (40, 0.9))
    found = of(curves=(recall, hits(20, (10, 0.6), (20, 0.7), (30, 0.75), (40, 0.78), (100, 0.9))))
    assert (found["gain.depth"], found["gain.depth.measured"]) == (pytest.approx(0.08), 1)
    assert (found["gain.depth.low"], found["gain.depth.high"]) == (pytest.approx(0.06), pytest.approx(0.1))
    assert (found["gain.depth.to"], found["gain.depth.since"]) == (40, 20)
    assert (found["depth"], found["pool.share"]) == (100, pytest.approx(100 / 3842))


def test_a_mean_recall_is_no_share_of_questions_and_has_no_interval_for_a_rule() -> None:
    gaining = hits(20, (10, 0.6), (20, 0.7), (40, 0.78)).model_copy(update={"measure": "recall"})
    found = of(curves=(gaining,))
    assert found["gain.depth"] == pytest.approx(0.08)
    assert (found["gain.depth.low"], found["gain.depth.high"]) == (None, None)


@pytest.mark.parametrize(
    ("chosen", "points", "since"),
    [(20, (5, 10), 10), (50, (1, 10, 20), 20), (7, (1, 2, 3, 5), 3), (4, (1, 3), 3), (3, (1, 2), 2)],
)
def test_where_nothing_deeper_was_measured_it_says_since_which_depth(
    chosen: int, points: tuple[int, ...], since: int
) -> None:
    found = of(curves=(hits(chosen, *((at, at / 100) for at in points), (chosen, chosen / 100), width=0.005),))
    gain = (chosen - since) / 100
    assert (found["gain.depth"], found["gain.depth.since"]) == (pytest.approx(gain), since)
    assert (found["gain.depth.measured"], found["gain.depth.to"]) == (0, 2 * chosen)
    assert found["gain.depth.low"] == pytest.approx(gain - 0.005)
    assert found["gain.depth.high"] == pytest.approx(gain + 0.005)


def test_one_depth_alone_gains_nothing_that_is_known() -> None:
    assert of(curves=(hits(20, (20, 0.7)),))["gain.depth"] is None


@pytest.mark.parametrize(
    ("rerank_depth", "ordered", "gain"),
    [(50, 50, 0.1), (30, 30, 0.1), (20, 20, 0.3), (100, 100, None), (500, 100, None), (None, 100, None)],
)
def test_what_the_pool_holds_below_what_a_reranker_orders(
    rerank_depth: int | None, ordered: int, gain: float | None
) -> None:
    """At 30 nothing was measured: the next greater depth tells of less."""
    told = hits(100, (20, 0.5), (50, 0.7), (100, 0.8), (200, 0.9))
    setting = SETTING._replace(rerank_depth=rerank_depth)
    found = of(setting, curves=(told,))
    assert found["rerank.depth"] == ordered
    assert found["gain.rerank_depth"] == (None if gain is None else pytest.approx(gain))
    if gain is not None:
        assert found["gain.rerank_depth.low"] == pytest.approx(gain - 0.02)
        assert found["gain.rerank_depth.high"] == pytest.approx(gain + 0.02)
    recall = told.model_copy(update={"measure": "recall"})
    assert of(setting, curves=(recall,))["gain.rerank_depth"] is None


def test_a_wrong_format_that_nothing_was_shown_for_is_a_question_without_a_passage() -> None:
    """3 right and 2 in the wrong format were shown no relevant passage; the funnel counts both as right without one."""
    answers = diagnosed.funnels()[1].model_copy(update={"right_without": 5})
    found = of(funnels=(answers,))
    assert (found["n.unshown"], found["right_without"]) == (9 + 27 + 5, pytest.approx(5 / 41))
    assert found["lost.generator"] == pytest.approx(39 / 88)


# ---- judges that nobody has calibrated


def test_nothing_is_concluded_from_what_an_uncalibrated_judge_decides() -> None:
    known = of()
    found = of(SETTING._replace(uncalibrated=frozenset({"utility", "exact_match", "rubric"})))
    assert found["answers.uncalibrated"] == 2
    gone = {name for name, value in known.items() if value is not None and found[name] is None}
    assert {name for name in known if name.startswith("lost.") and ".answers" not in name} - gone == {
        f"lost.{place}{end}" for place in ("pool", "context") for end in ("", ".low", ".high")
    }
    assert not [name for name, value in found.items() if name.startswith("room.") and ".answers" in name and value]
    assert {"right", "n.unshown", "right_without", "margin.answers", "mde.answers", "context.best"} <= gone
    # Whether an answer was invented is seen without a judge.
    assert found["invented"] == known["invented"]
    assert found["oracle_gain.retriever"] == known["oracle_gain.retriever"]


def test_another_measure_of_answers_takes_the_place_of_an_unproven_one() -> None:
    setting = Setting({"exact_match": 0.04}, uncalibrated=frozenset({"utility"}))
    both = (curve("context", 3, (3, 0.2), (5, 0.9)), curve("context", 3, (1, 0.3), (3, 0.2), measure="exact_match"))
    found = of(setting, curves=both)
    assert (found["margin.answers"], found["oracle_gain.generator.answers.low"]) == (0.04, 0.3121)
    assert found["context.best"] == 1
    assert of(setting, curves=both[:1])["context.best"] is None


def test_the_funnel_rests_on_the_measure_that_its_rule_names() -> None:
    assert of(SETTING._replace(uncalibrated=frozenset({"exact_match"})))["lost.wrong"] is None
    assert of(SETTING._replace(uncalibrated=frozenset({"utility"})))["lost.wrong"] is None
    assert of(SETTING._replace(uncalibrated=frozenset({"rubric"})))["lost.wrong"] == pytest.approx(31 / 88)


def test_context_gains_what_the_best_number_of_passages_does() -> None:
    here = LossPoint(at=3, mean=0.2, low=0.16, high=0.23, n=9)
    best = LossPoint(at=5, mean=0.5, low=0.46, high=0.51, n=9, gain=0.3, gain_low=0.1, gain_high=0.5)
    found = of(curves=(Curve(kind="context", measure="utility", points=(here, best), chosen=3),))
    assert (found["context"], found["context.best"], found["gain.context"]) == (3, 5, pytest.approx(0.3))
    assert (found["gain.context.low"], found["gain.context.high"]) == (0.1, 0.5)
    assert found["gain.context.half"] == pytest.approx(0.2)


def test_the_present_context_is_best_among_equals_and_gains_nothing() -> None:
    found = of(curves=(curve("context", 3, (1, 0.2), (3, 0.2), (5, 0.2), half=0.03),))
    assert (found["context.best"], found["gain.context"], found["gain.context.low"]) == (3, 0.0, None)


def test_the_curve_is_that_of_the_main_answer_measure() -> None:
    other = curve("context", 3, (3, 0.2), (5, 0.9), measure="token_f1")
    assert of(curves=(other, curve("context", 3, (1, 0.3), (3, 0.2))))["context.best"] == 1
    assert of(curves=(other,))["context.best"] == 5


def test_signs_times_and_limits() -> None:
    sign = Sign(name="agreement", value=0.1, bar=0.2, worrying=True, about="")
    times = (PartTime(part="generator", p50_ms=90.0, p95_ms=100.0, share_p50=0.9, share_p95=0.95),)
    setting = Setting({}, Limits(max_p95_ms=900.0, max_build_usd=2.0), False, True, True, 750)
    estimates = [
        CostEstimate(
            candidate=str(ms), tunes=("retriever", "reranker"), seconds=1, seconds_in_full=1, dollars=1,
            added_p95_ms=ms, basis=basis,
        )
        for ms, basis in ((300.0, {}), (200.0, {"rerank": "guessed"}), (None, {"rerank": "measured"}))
    ]  # fmt: skip
    found = of(setting, signs=(sign,), times=times, p95_ms=500.0, estimates=tuple(estimates))
    assert (found["sign.agreement"], found["sign.agreement.bar"], found["sign.agreement.worrying"]) == (0.1, 0.2, 1)
    assert found["share.p95.generator"] == 0.95
    assert (found["p95_ms"], found["added.p95.reranker"], found["p95.reranker"]) == (500, 200, 700)
    assert (found["limit.p95_ms"], found["limit.usd"]) == (900, 2)
    assert (found["reranker.planned"], found["reranker.tuned"], found["reranker.untrained"]) == (1, 1, 1)
    assert found["train.judged"] == 750
    assert found["added.p95.reranker.guessed"] == 1
    assert of(setting, estimates=estimates[:1])["added.p95.reranker.guessed"] is None
    timed = estimates[1].model_copy(update={"basis": {"rerank": "measured"}})
    assert of(setting, estimates=(timed,))["added.p95.reranker.guessed"] == 0
    assert of(setting, p95_ms=None)["p95.reranker"] is None
    assert (found["reranker.real"], found["generator.remote"]) == (0, 0)
    served = of(setting._replace(has_reranker=True, remote_generator=True))
    assert (served["reranker.real"], served["generator.remote"]) == (1, 1)


def test_numbers_in_words() -> None:
    known = {
        "lost.pool": 0.123,
        "lost.pool.low": 0.08,
        "lost.pool.high": 0.171,
        "oracle_gain.retriever": 0.0424,
        "right": 0.004,
    }
    assert in_words("lost.pool", known) == "12 % [8, 17]"
    assert in_words("oracle_gain.retriever", known) == "+0.042"
    assert in_words("right", known) == "<1 %"
    assert in_words("invented", known) is None
    assert in_words("no.such.fact", {"no.such.fact": 1.0}) is None
    written = [
        number(0.05, "share"), number(0.0333, "share"), number(0.02, "size"), number(1234567, "count"),
        number(1234.4, "ms"), number(0.3, "dollars"), number(1, "yes"), number(3.14159, "count"),
    ]  # fmt: skip
    assert written == ["5 %", "3.3 %", "0.020", "1,234,567", "1,234 ms", "$0.30", "yes", "3.1"]


def test_meanings() -> None:
    assert meaning("lost.pool.low").about.endswith("(lower bound)")  # type: ignore[union-attr]
    assert meaning("n.groups.low") is None
    assert meaning("lost.pol") is None
    assert meaning("sign.judged@10.worrying").unit == "yes"  # type: ignore[union-attr]
    assert meaning("sign.judged@10.bar").about == "the threshold of the sign 'judged@10'"  # type: ignore[union-attr]


def test_facts_leave_the_diagnosis_alone() -> None:
    seen: Diagnosis = diagnosed.diagnosis()
    before = seen.model_dump()
    facts(seen, SETTING)
    assert seen.model_dump() == before
