"""Agreement statistics against slow computations of the same, and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rated_answers import slow_auroc, slow_cohen, slow_kappa, width
from scipy.stats import spearmanr

from harness.judge.agreement import (
    Floats,
    accepts,
    agreement,
    among_raters,
    auroc,
    binned,
    draw_clusters,
    kappa,
    spearman,
)
from harness.scoring import QueryScore

NA = QueryScore(None, "not_applicable", "no passages were shown")


def once(length: int) -> Floats:
    return np.ones((1, length))


def array(values: Sequence[float]) -> Floats:
    return np.asarray(values, dtype=np.float64)


NUMBERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=30).filter(
    lambda pairs: all(len(set(side)) > 1 for side in zip(*pairs, strict=True))
)


@given(NUMBERS)
def test_statistics_equal_the_obvious_ones(pairs: list[tuple[int, int]]) -> None:
    one, other = (array(side) for side in zip(*pairs, strict=True))
    weights = once(len(pairs))
    assert spearman(one, other, weights)[0] == pytest.approx(spearmanr(one, other).statistic, abs=1e-9)
    assert kappa(one, other, weights)[0] == pytest.approx(slow_kappa(one.tolist(), other.tolist()), abs=1e-9)
    accepted = other > other.min()
    assert auroc(one, accepted, weights)[0] == pytest.approx(slow_auroc(one.tolist(), accepted.tolist()), abs=1e-9)


@given(NUMBERS, st.data())
def test_a_weight_of_two_is_a_row_that_stands_there_twice(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    weights = np.vstack([np.ones(len(pairs)), array(counts)])
    one, other = (array(side) for side in zip(*pairs, strict=True))
    often = [number for number, count in enumerate(counts) for _ in range(count)]
    again = once(len(often))
    accepted = other > 2
    if len(often) < 2:
        return
    for weighted, repeated in (
        (spearman(one, other, weights), spearman(one[often], other[often], again)),
        (kappa(one, other, weights), kappa(one[often], other[often], again)),
        (auroc(one, accepted, weights), auroc(one[often], accepted[often], again)),
    ):
        assert weighted[1] == pytest.approx(repeated[0], abs=1e-9, nan_ok=True)


@given(st.lists(st.booleans(), min_size=4, max_size=30), st.data())
def test_kappa_of_yes_and_no_is_the_plain_one(one: list[bool], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.booleans(), min_size=len(one), max_size=len(one)))
    found = kappa(array(one), array(other), once(len(one)))[0]
    if len({*one, *other}) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(slow_cohen(one, other), abs=1e-9)


def test_what_is_not_defined_is_absent_and_no_nan() -> None:
    same = np.full(6, 0.5)
    found = agreement(same, same, draw_clusters(list("abcdef"), 50, 0), 0.75, 3)
    assert all(estimate == {"value": None, "low": None, "high": None} for estimate in found.model_dump().values())


def test_bins_are_the_steps_of_the_scale() -> None:
    shares = array([0, 1 / 6 - 1e-3, 1 / 6, 1 / 3, 0.5, 2 / 3, 5 / 6, 1])
    assert binned(shares, 3).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert accepts(array([2 / 3, fmean([1.0, 1.0, 0.0])]), 2 / 3).all()


# Intervals


def noisy(generator: np.random.Generator, rows: int, flips: float) -> tuple[Floats, Floats]:
    people = generator.integers(0, 4, size=rows) / 3
    return np.where(generator.random(rows) < flips, 1 - people, people), people


def test_intervals_cover_what_the_planted_error_implies() -> None:
    """Of accepted (1) and refused (0, 1/3, 2/3) rows, with a quarter of the judge's scores turned round."""
    large = noisy(np.random.default_rng(1), 400_000, 0.25)
    truth = float(auroc(large[0], accepts(large[1], 0.75), once(400_000))[0])
    covered = 0
    for seed in range(100):
        judged, people = noisy(np.random.default_rng(100 + seed), 150, 0.25)
        weights = draw_clusters([str(number) for number in range(150)], 300, seed)
        found = agreement(judged, people, weights, 0.75, 3).auroc
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert 88 <= covered <= 100


def test_copies_of_the_answers_of_a_turn_tell_nothing_new() -> None:
    judged, people = noisy(np.random.default_rng(0), 60, 0.2)
    turns = [str(number) for number in range(60)]
    alone = agreement(judged, people, draw_clusters(turns, 1000, 0), 0.75, 3)
    copied = agreement(*(np.repeat(side, 9) for side in (judged, people)), draw_clusters(turns * 9, 1000, 0), 0.75, 3)
    by_turn = draw_clusters(list(np.repeat(turns, 9)), 1000, 0)
    clustered = agreement(*(np.repeat(side, 9) for side in (judged, people)), by_turn, 0.75, 3)
    for name in ("spearman", "auroc", "weighted_kappa", "kappa"):
        one, blind, aware = (width(getattr(found, name)) for found in (alone, copied, clustered))
        assert getattr(clustered, name).value == pytest.approx(getattr(alone, name).value)
        assert aware == pytest.approx(one, rel=0.01)
        assert blind < one * 0.6


def test_clusters_are_drawn_whole_and_by_the_seed() -> None:
    turns = ["a", "a", "b", "c", "c", "c"]
    weights = draw_clusters(turns, 200, 7)
    assert weights.shape == (201, 6)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3:] == weights[:, 3:4]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert (weights == draw_clusters(turns, 200, 7)).all()
    assert (weights != draw_clusters(turns, 200, 8)).any()
    assert draw_clusters(["a", "a"], 200, 0).shape == (1, 2)


def test_the_ceiling_is_each_rater_against_the_mean_of_the_others() -> None:
    generator = np.random.default_rng(3)
    ratings = [[float(rating) for rating in generator.integers(0, 4, size=3) / 3] for _ in range(40)]
    ratings[5], ratings[6] = ratings[5][:2], ratings[6][:1]
    found, raters = among_raters(ratings, draw_clusters([str(n) for n in range(40)], 200, 0), 0.75, 3)
    expected: dict[str, list[float]] = {"spearman": [], "auroc": [], "weighted_kappa": [], "kappa": []}
    for rater in range(3):
        rows = [row for row in ratings if len(row) > rater and len(row) > 1]
        own = [row[rater] for row in rows]
        others = [fmean(row[:rater] + row[rater + 1 :]) for row in rows]
        yes, accepted = ([value >= 0.75 for value in side] for side in (own, others))
        steps = [[float(np.floor(value * 3 + 0.5 + 1e-5)) for value in side] for side in (own, others)]
        expected["spearman"].append(float(spearmanr(own, others).statistic))
        expected["auroc"].append(slow_auroc(own, accepted))
        expected["weighted_kappa"].append(slow_kappa(*steps))
        expected["kappa"].append(slow_cohen(yes, accepted))
    assert raters == 3
    for name, values in expected.items():
        estimate = getattr(found, name)
        assert estimate.value == pytest.approx(fmean(values), abs=1e-9)
        assert estimate.low < estimate.value < estimate.high
