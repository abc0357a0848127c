"""What is said of a curve: its steps add up, its intervals are those of `stats`, planted curves are told as such."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.experiments.curve_answers import answers, step_words
from harness.statistics import stats
from harness.statistics.learning_curve import TrainedShare, averaged, curve_points
from harness.values.insights import CurvePoint
from harness.values.measures import Measure, parse

NDCG, UTILITY = parse("ndcg@10"), parse("utility")
QUERIES = [f"q{number}" for number in range(60)]
GROUPS = {query: f"g{number // 2}" for number, query in enumerate(QUERIES)}
FEW = 500
"""Resamples: enough for verdicts that are clear."""
values = st.floats(0, 1).map(lambda value: round(value, 3))


def column(mean: float, noise: float = 0.02, seed: int = 0) -> dict[str, float | None]:
    dice = random.Random(f"{mean} {seed}")
    return {query: min(1.0, max(0.0, mean + dice.gauss(0, noise))) for query in QUERIES}


def trained(means: Mapping[float, float], noise: float = 0.02) -> list[TrainedShare]:
    return [
        TrainedShare(share, f"tuned-at-{share}", round(100 * share), 60 * share, {NDCG: column(mean, noise)})
        for share, mean in means.items()
    ]


def told(means: Mapping[float, float], noise: float = 0.02, margin: float = 0.02) -> str:
    points = curve_points(trained(means, noise), {NDCG: column(0.3)}, GROUPS, {NDCG: margin}, resamples=FEW)
    return answers(points, {str(NDCG): margin})["ndcg@10"]


@pytest.mark.parametrize(
    ("means", "noise", "margin", "said"),
    [
        ({0.5: 0.5, 1.0: 0.6}, 0.02, 0.02, r"^more data would pay: the last doubling gained \+0\.\d{3} \[\+0"),
        (
            {0.25: 0.4, 0.5: 0.5, 1.0: 0.5001}, 0.02, 0.02,
            r"^more data would not pay: the last doubling changed less than the margin of 0\.02: .0\.00\d",
        ),
        ({0.5: 0.5, 1.0: 0.51}, 0.005, 0.05, r"^more data would hardly pay: .* gained \+0\.0.* less than the margin"),
        ({0.5: 0.6, 1.0: 0.4}, 0.02, 0.02, r"^more data would not pay: the last doubling made it worse, -0\.\d"),
        ({0.5: 0.5, 1.0: 0.52}, 0.3, 0.02, r"^unknown with this dataset: the last doubling (gained|changed it by)"),
        (
            {0.25: 0.4, 0.6: 0.5, 1.0: 0.6}, 0.02, 0.02,
            r"^more data would pay: the step from 60 % to 100 % of the data gained",
        ),
    ],
)  # fmt: skip
def test_a_planted_curve_is_told_as_what_it_is(
    means: Mapping[float, float], noise: float, margin: float, said: str
) -> None:
    assert re.search(said, told(means, noise, margin)), told(means, noise, margin)


def test_only_the_last_step_is_the_answer() -> None:
    """A curve that rose and has come to its end would not pay, however much was gained before."""
    assert told({0.25: 0.2, 0.5: 0.6, 1.0: 0.6001}, noise=0.02).startswith("more data would not pay")
    assert told({0.25: 0.6, 0.5: 0.6, 1.0: 0.9}).startswith("more data would pay")


@given(st.lists(st.lists(values, min_size=4, max_size=4), min_size=3, max_size=5))
def test_steps_add_up_to_the_difference_of_gains_and_gains_to_that_of_means(rows: list[list[float]]) -> None:
    queries = QUERIES[:4]
    untuned, *shares = [dict(zip(queries, row, strict=True)) for row in rows]
    made = [TrainedShare((n + 1) / 8, f"s{n}", n, 1.0, {NDCG: share}) for n, share in enumerate(shares)]
    points = curve_points(made, {NDCG: untuned}, GROUPS, {NDCG: 0.02}, resamples=40)
    first, last = points[0], points[-1]
    assert None not in (first.gain, last.gain, last.mean)
    steps = [point.step for point in points if point.step is not None]
    assert sum(steps) == pytest.approx(last.gain - first.gain, abs=1e-9)
    assert last.mean - last.gain == pytest.approx(sum(untuned.values()) / 4, abs=1e-9)
    assert [point.step_verdict is None for point in points] == [True] + [False] * (len(points) - 1)


@given(st.permutations([0.25, 0.5, 1.0]))
def test_the_order_in_which_shares_are_given_changes_nothing(order: list[float]) -> None:
    means = {0.25: 0.3, 0.5: 0.4, 1.0: 0.5}
    points = curve_points(
        trained({share: means[share] for share in order}), {NDCG: column(0.3)}, GROUPS, {NDCG: 0.0}, resamples=40
    )
    assert points == curve_points(trained(means), {NDCG: column(0.3)}, GROUPS, {NDCG: 0.0}, resamples=40)
    assert [point.share for point in points] == [0.25, 0.5, 1.0]


@given(st.lists(values, min_size=6, max_size=6))
def test_training_that_changes_nothing_has_no_steps(row: list[float]) -> None:
    same = dict(zip(QUERIES, row, strict=False))
    made = [TrainedShare(share, f"s{share}", 1, 1.0, {NDCG: same}) for share in (0.5, 1.0)]
    points = curve_points(made, {NDCG: same}, GROUPS, {NDCG: 0.02}, resamples=40)
    assert {(point.gain, point.step) for point in points} == {(0.0, None), (0.0, 0.0)}
    # Six queries do not tell that no other would change.
    assert answers(points, {"ndcg@10": 0.02})["ndcg@10"].startswith("unknown with this dataset")


def test_the_intervals_are_those_of_two_families_over_all_measures() -> None:
    """Against `stats.compare` on pairs put together here."""
    shares, measures = (0.25, 0.5, 1.0), {NDCG: 0.02, UTILITY: 0.05}
    scores = {
        share: {measure: column(0.4 + share / 10, 0.1, seed) for seed, measure in enumerate(measures)}
        for share in shares
    }
    untuned = {measure: column(0.4, 0.1, 7) for measure in measures}
    made = [TrainedShare(share, f"s{share}", 1, 1.0, scores[share]) for share in shares]
    points = {
        (point.measure, point.share): point for point in curve_points(made, untuned, GROUPS, measures, resamples=FEW)
    }

    def compared(before: Mapping[float, Any]) -> dict[tuple[str, float], Any]:
        pairs = [
            stats.Paired(
                system=f"{share}", measure=measure, margin=margin, values=scores[share][measure],
                baseline=before[share][measure], groups=GROUPS,
            )
            for measure, margin in measures.items()
            for share in before
        ]  # fmt: skip
        return {(row.measure, float(row.system)): row for row in stats.compare("exploratory", pairs, resamples=FEW)}

    for key, row in compared(dict.fromkeys(shares, untuned)).items():
        point = points[key]
        assert (point.gain, point.gain_low, point.gain_high) == (row.difference, row.low, row.high)
    for key, row in compared({0.5: scores[0.25], 1.0: scores[0.5]}).items():
        point = points[key]
        assert (point.step, point.step_low, point.step_high) == (row.difference, row.low, row.high)
        assert point.step_verdict == row.verdict
    assert len(points) == 6


def test_a_training_that_failed_is_told_and_no_number_is_made_up() -> None:
    made = trained({0.5: 0.5, 1.0: 0.6})
    gone: dict[Measure, Any] = {NDCG: dict.fromkeys(QUERIES)}
    points = curve_points(
        [made[0], made[1]._replace(values=gone)], {NDCG: column(0.3)}, GROUPS, {NDCG: 0.02}, resamples=FEW
    )
    assert (points[1].mean, points[1].gain, points[1].step) == (None, None, None)
    assert points[1].step_verdict == "failed"
    assert points[0].mean is not None
    assert answers(points, {"ndcg@10": 0.02}) == {
        "ndcg@10": "unknown: a training failed, or too many of its scores did"
    }


def test_too_few_groups_are_said_to_be_too_few() -> None:
    groups = dict.fromkeys(QUERIES, "one")
    points = curve_points(trained({0.5: 0.5, 1.0: 0.6}), {NDCG: column(0.3)}, groups, {NDCG: 0.02}, resamples=FEW)
    said = answers(points, {"ndcg@10": 0.02})["ndcg@10"]
    assert said.startswith("unknown with this dataset: the last doubling changed it by +0.")
    assert said.endswith("too few groups for an interval")


def test_one_point_is_no_curve() -> None:
    point = CurvePoint(share=1.0, examples=1, system="s", measure="ndcg@10", mean=0.5)
    assert answers([point], {"ndcg@10": 0.02}) == {}


def test_seeds_are_averaged_by_question_and_a_failure_of_one_is_a_failure() -> None:
    assert averaged([{"a": 0.0, "b": 1.0, "c": None}, {"a": 1.0, "b": 1.0, "c": 1.0}]) == {
        "a": 0.5,
        "b": 1.0,
        "c": None,
    }


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.5, 1.0, "the last doubling"),
        (0.1, 0.2, "the last doubling"),
        (0.25, 1.0, "the step from 25 % to 100 % of the data"),
        (0.125, 0.3, "the step from 12.5 % to 30 % of the data"),
    ],
)
def test_a_step_is_a_doubling_or_says_from_where_to_where(before: float, after: float, words: str) -> None:
    assert step_words(before, after) == words
