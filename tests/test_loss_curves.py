"""Curves of recall against depth, and of an answer measure against the passages shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnosis.loss_curves import context_curve, depth_curve, depths
from harness.statistics.shares import mean_of, wilson
from harness.values.measures import Measure
from harness.values.records import Qrels, Run

F1, UTILITY = Measure("token_f1"), Measure("utility")


def ranked(doc_ids: list[str]) -> list[tuple[str, float]]:
    return [(doc_id, float(-place)) for place, doc_id in enumerate(doc_ids)]


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (1, [1]),
        (2, [1, 2]),
        (4, [1, 2, 3, 4]),
        (10, [1, 2, 3, 5, 10]),
        (30, [1, 2, 3, 5, 10, 20, 30]),
        (100, [1, 2, 3, 5, 10, 20, 50, 100]),
        (200, [1, 2, 3, 5, 10, 20, 50, 100, 200]),
        (1000, [1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000]),
    ],
)
def test_depths(depth: int, expected: list[int]) -> None:
    assert depths(depth) == expected


# ---- recall against depth

RUN: Run = {
    "first": ranked(["yes", "x", "y"]),
    "third": ranked(["x", "y", "yes"]),
    "half": ranked(["also", "x", "y"]),
    "unjudged": ranked(["yes"]),
}
QRELS: Qrels = {
    "first": {"yes": 1},
    "third": {"yes": 2, "x": 0},
    "half": {"also": 1, "nowhere": 1},
    "absent": {"yes": 1},
    "zeros": {"yes": 0},
}
EACH = {query_id: query_id for query_id in [*RUN, *QRELS]}


def test_recall_by_hand() -> None:
    found = depth_curve(RUN, QRELS, EACH, depth=3, chosen=2)
    assert (found.kind, found.measure, found.chosen) == ("depth", "recall", 2)
    assert [(point.at, point.mean, point.n) for point in found.points] == [
        (1, pytest.approx(1.5 / 4), 4),
        (2, pytest.approx(1.5 / 4), 4),
        (3, pytest.approx(2.5 / 4), 4),
    ]
    expected = mean_of({"first": 1.0, "third": 1.0, "half": 0.5, "absent": 0.0}, EACH)
    assert (found.points[2].low, found.points[2].high) == pytest.approx(expected[1:3])


def test_hit_rates_by_hand_and_what_a_deeper_pool_gains_of_them() -> None:
    """A question with one of two documents counts as found: this is a share of questions, and recall is not."""
    found = depth_curve(RUN, QRELS, EACH, 3, 1, "hit_rate")
    assert (found.measure, found.chosen) == ("hit_rate", 1)
    assert [point.mean for point in found.points] == pytest.approx([2 / 4, 2 / 4, 3 / 4])
    assert [point.gain for point in found.points] == [None, 0.0, pytest.approx(1 / 4)]


def test_gains_of_depth_are_paired_and_point_both_ways() -> None:
    run = {f"q{number}": ranked(["yes", "x"] if number < 20 else ["x", "yes"]) for number in range(40)}
    qrels: Qrels = {key: {"yes": 1} for key in run}
    each = {key: key for key in run}
    for measure in ("recall", "hit_rate"):
        here, deeper = depth_curve(run, qrels, each, 2, 1, measure).points  # type: ignore[arg-type]
        assert (here.gain, deeper.gain) == (None, pytest.approx(0.5))
        assert deeper.gain_low is not None
        assert deeper.gain_high is not None
        assert 0.2 < deeper.gain_low < 0.5 < deeper.gain_high < 0.8
        flatter = depth_curve(run, qrels, each, 2, 2, measure).points[0]  # type: ignore[arg-type]
        assert (flatter.gain, flatter.gain_low) == (pytest.approx(-0.5), pytest.approx(-deeper.gain_high))
    assert [point.gain for point in depth_curve(run, qrels, each, 1, 2).points] == [None]


def test_other_depths_are_points_if_asked_for() -> None:
    assert [point.at for point in depth_curve(RUN, QRELS, EACH, 20, 10, also=(15, 30)).points] == [
        1,
        2,
        3,
        5,
        10,
        15,
        20,
    ]


def test_the_chosen_depth_is_a_point() -> None:
    assert [point.at for point in depth_curve(RUN, QRELS, EACH, 20, chosen=7).points] == [1, 2, 3, 5, 7, 10, 20]
    assert [point.at for point in depth_curve(RUN, QRELS, EACH, 2, chosen=7).points] == [1, 2]


def test_intervals_draw_groups() -> None:
    groups = dict.fromkeys(EACH, "one") | {"first": "two"}
    (point,) = depth_curve(RUN, QRELS, groups, 1, 1).points
    apart = depth_curve(RUN, QRELS, EACH, 1, 1).points[0]
    assert point.mean == apart.mean
    assert point.low is not None
    assert apart.low is not None
    assert point.low < apart.low
    (alone,) = depth_curve(RUN, QRELS, dict.fromkeys(EACH, "one"), 1, 1).points
    assert (alone.low, alone.high) == (None, None)


def test_recall_of_one_everywhere_still_has_an_interval() -> None:
    run = {f"q{number}": ranked(["yes"]) for number in range(12)}
    (point,) = depth_curve(run, {key: {"yes": 1} for key in run}, {key: key for key in run}, 1, 1).points
    assert (point.mean, point.high) == (1, 1)
    assert point.low == pytest.approx(wilson(1, 12)[0])


def test_without_judged_questions_there_are_no_points() -> None:
    assert depth_curve(RUN, {"zeros": {"yes": 0}}, EACH, 10, 10).points == ()


LISTS = st.lists(st.sampled_from("abcdefghijkl"), unique=True, max_size=12)
JUDGED = st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(0, 2), min_size=1, max_size=4)


@settings(max_examples=40)
@given(st.lists(st.tuples(LISTS, JUDGED), min_size=1, max_size=5), st.integers(1, 12))
def test_recall_is_the_share_found_and_never_falls(cases: list[tuple[list[str], dict[str, int]]], depth: int) -> None:
    run = {f"q{number}": ranked(docs) for number, (docs, _) in enumerate(cases)}
    qrels = {f"q{number}": grades for number, (_, grades) in enumerate(cases)}
    points = depth_curve(run, qrels, {query_id: query_id for query_id in run}, depth, depth).points
    means = [point.mean for point in points]
    assert means == sorted(means)
    for point in points:
        found = []
        for docs, grades in cases:
            relevant = {doc_id for doc_id, grade in grades.items() if grade > 0}
            if relevant:
                found.append(len(relevant.intersection(docs[: point.at])) / len(relevant))
        assert point.n == len(found)
        assert point.mean == pytest.approx(sum(found) / len(found))
        assert point.low is None or point.low <= point.mean <= (point.high or 0)


# ---- answers against the passages shown


def test_answers_by_hand() -> None:
    groups = {"a": "g", "b": "h", "c": "h"}
    by_context = {5: {"a": 0.8, "b": 0.2, "c": 0.5}, 1: {"a": 0.1, "b": 0.2, "c": 0.3}}
    found = context_curve(by_context, groups, F1, chosen=5)
    assert (found.kind, found.measure, found.chosen) == ("context", "token_f1", 5)
    assert [(point.at, point.mean, point.n) for point in found.points] == [
        (1, pytest.approx(0.2), 3),
        (5, pytest.approx(0.5), 3),
    ]
    expected = mean_of({"a": 0.8, "b": 0.2, "c": 0.5}, groups)
    assert (found.points[1].low, found.points[1].high) == expected[1:3]


def test_all_points_are_of_the_same_questions() -> None:
    groups = {"a": "a", "b": "b", "c": "c"}
    by_context = {1: {"a": 0.0, "b": 1.0, "c": 1.0}, 3: {"a": None, "b": 1.0, "c": 0.0}, 5: dict.fromkeys("abc")}
    found = context_curve(by_context, groups, F1, 3)
    assert [(point.at, point.mean, point.n) for point in found.points] == [(1, 1.0, 2), (3, 0.5, 2)]
    apart = {1: {"a": 0.5, "b": None}, 3: {"a": None, "b": 0.5}}
    assert context_curve(apart, groups, F1, 3).points == ()
    assert context_curve({}, groups, F1, 3).points == ()


def test_intervals_stay_in_the_range_of_the_measure() -> None:
    """Utility reaches from -1; an F1 of 0 everywhere is the end of its range, a utility of 0 is not."""
    groups = {f"q{number}": f"q{number}" for number in range(10)}
    values = dict.fromkeys(groups, 0.0)
    (utility,) = context_curve({1: values}, groups, UTILITY, 1).points
    (f1,) = context_curve({1: values}, groups, F1, 1).points
    low, high = wilson(0.5, 10)
    assert (utility.low, utility.high) == pytest.approx((2 * low - 1, 2 * high - 1))
    assert (f1.low, f1.high) == (0.0, pytest.approx(wilson(0, 10)[1]))
    beyond = context_curve({1: {**values, "q0": -3.0}}, groups, UTILITY, 1).points[0]
    assert beyond.mean == pytest.approx(-0.3)


def test_the_gain_of_a_context_is_paired_by_question() -> None:
    """Both points have wide intervals, and every question gains by the same."""
    few = {f"q{number}": number / 40 for number in range(30)}
    more = {query_id: value + 0.1 for query_id, value in few.items()}
    groups = {query_id: query_id for query_id in few}
    found = context_curve({1: few, 3: more}, groups, Measure("token_f1"), 1)
    here, best = found.points
    assert (here.gain, here.gain_low) == (None, None)
    assert best.gain == pytest.approx(0.1)
    assert best.gain_low is not None
    assert best.gain_low == pytest.approx(0.1, abs=1e-6)
    assert best.low is not None
    assert here.high is not None
    assert best.low < here.high


def test_where_the_present_context_was_not_measured_no_gain_is_told() -> None:
    values = {f"q{number}": 0.5 for number in range(9)}
    found = context_curve({1: values}, {query_id: query_id for query_id in values}, Measure("token_f1"), 3)
    assert [point.gain for point in found.points] == [None]
