"""Gains by slice: by hand, by their laws, and how often they cry wolf in simulated worlds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.slices import FEWEST_GROUPS, slice_gains
from harness.statistics.stats import Paired, compare
from harness.values.gains import SliceGain
from harness.values.measures import Measure

NDCG, UTILITY = Measure("ndcg", 10), Measure("utility")


def paired(
    differences: Sequence[float | None] | np.ndarray, system: str = "retriever", *, seed: int = 0,
    measure: Measure = NDCG, base: float = 0.5, per_group: int = 1, start: int = 0,
) -> Paired:  # fmt: skip
    """A system that differs from the baseline, `base` everywhere; None is a failure. Queries count from `start`."""
    queries = names(len(differences), start)
    values = {
        query: None if difference is None else base + float(difference)
        for query, difference in zip(queries, differences, strict=True)
    }
    groups = {query: f"g{number // per_group:03}" for number, query in enumerate(queries)}
    return Paired(
        system=system, seed=seed, measure=measure, margin=0.02, values=values,
        baseline=dict.fromkeys(queries, base), groups=groups,
    )  # fmt: skip


def names(count: int, start: int = 0) -> list[str]:
    return [f"q{number:03}" for number in range(start, start + count)]


def cut(*values: tuple[str, int]) -> dict[str, str]:
    """So many queries in a row in each slice."""
    flat = [value for value, count in values for _ in range(count)]
    return dict(zip(names(len(flat)), flat, strict=True))


def of(rows: Sequence[SliceGain], value: str, **wanted: Any) -> SliceGain:
    (row,) = [row for row in rows if row.value == value and wanted.items() <= row.model_dump().items()]
    return row


def noise(count: int, spread: float = 0.1, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(0, spread, count)
    return np.asarray(found - found.mean())


# ---- by hand


def test_a_slice_that_loses_and_one_that_gains() -> None:
    gains = np.concatenate([0.1 + noise(30), -0.2 + noise(24)])
    rows = slice_gains([paired(gains)], {"query_kind": cut(("question", 30), ("keyword", 24))})
    keyword, question = rows
    assert [row.value for row in rows] == ["keyword", "question"]
    assert (question.field, question.system, question.seed, question.measure) == (
        "query_kind",
        "retriever",
        0,
        "ndcg@10",
    )
    assert (question.n_queries, question.n_groups, question.baseline) == (30, 30, 0.5)
    assert question.difference == pytest.approx(0.1)
    assert keyword.difference == pytest.approx(-0.2)
    assert (question.verdict, keyword.verdict) == ("improved", "regressed")
    assert keyword.low is not None
    assert keyword.high is not None
    assert keyword.low < -0.2 < keyword.high < 0
    assert keyword.p_value is not None
    assert keyword.p_value < 0.05
    assert keyword.reason == ""


def test_thirds_stand_in_their_order_and_pairs_within_a_slice() -> None:
    lengths = cut(("12 words or more", 1), ("not given", 1), ("8 to 11 words", 1), ("up to 7 words", 1))
    pairs = [paired([0.1] * 4, "b"), paired([0.1] * 4, "a"), paired([0.1] * 4, "a", measure=UTILITY)]
    rows = slice_gains(pairs, {"query_length": lengths, "topic": cut(("pumps", 4))})
    order = ["up to 7 words", "8 to 11 words", "12 words or more", "not given", "pumps"]
    assert [row.value for row in rows[::3]] == order
    assert [(row.system, row.measure) for row in rows[:3]] == [("b", "ndcg@10"), ("a", "ndcg@10"), ("a", "utility")]


def test_a_small_slice_is_listed_with_the_reason_and_costs_the_others_nothing() -> None:
    gains = 0.05 + noise(60)
    whole = {"kind": cut(("question", 30), ("claim", 30))}
    few = cut(("pumps", FEWEST_GROUPS - 1), *((f"topic {number}", 8) for number in range(5)), ("ropes", 1))
    alone = slice_gains([paired(gains)], whole)
    rows = slice_gains([paired(gains)], {**whole, "topic": few})
    assert rows[:2] == alone
    pumps = of(rows, "pumps")
    assert pumps.reason == f"too few groups for an interval: {FEWEST_GROUPS - 1}, and it takes {FEWEST_GROUPS}"
    assert pumps.difference == pytest.approx(gains[: FEWEST_GROUPS - 1].mean())
    assert (pumps.low, pumps.high, pumps.p_value, pumps.verdict) == (None, None, None, "inconclusive")
    assert len(rows) == 2 + 7


def test_groups_are_counted_and_not_queries() -> None:
    rows = slice_gains([paired(noise(60), per_group=4)], {"kind": cut(("question", 60))})
    assert (rows[0].n_queries, rows[0].n_groups) == (60, 15)
    assert "15, and it takes 20" in rows[0].reason


def test_a_slice_without_a_question_of_the_measure_is_left_out_there() -> None:
    kinds = cut(("question", 30), ("keyword", 30))
    rows = slice_gains([paired(noise(60)), paired(noise(30), measure=UTILITY)], {"kind": kinds})
    assert [(row.value, row.measure) for row in rows] == [
        ("keyword", "ndcg@10"), ("question", "ndcg@10"), ("question", "utility"),
    ]  # fmt: skip


def test_failures_count_within_their_slice() -> None:
    holed = [None, None, *(0.3 + noise(58))]
    rows = slice_gains([paired(holed)], {"kind": cut(("question", 30), ("keyword", 30))}, failure_limit=0.05)
    question, keyword = of(rows, "question"), of(rows, "keyword")
    assert (question.verdict, question.n_queries) == ("failed", 28)
    assert "2 of 30 queries have no value on both sides" in question.reason
    assert (keyword.verdict, keyword.reason) == ("improved", "")
    (lost,) = slice_gains([paired([None] * 3)], {"kind": cut(("question", 3))}, failure_limit=1.0)
    assert (lost.verdict, lost.difference, lost.baseline) == ("failed", None, None)
    assert lost.reason == "no query has a value on both sides"


def test_what_no_caller_should_send() -> None:
    with pytest.raises(ValueError, match="kind: 2 queries are in no slice, such as 'q003'"):
        slice_gains([paired(noise(5))], {"kind": cut(("question", 3))})
    with pytest.raises(ValueError, match="on one side only"):
        slice_gains([replace(paired(noise(3)), baseline={})], {"kind": cut(("question", 3))})


def test_nothing_to_look_at() -> None:
    assert slice_gains([], {"kind": cut(("question", 3))}) == []
    assert slice_gains([paired(noise(30))], {}) == []


# ---- laws


def test_one_slice_of_everything_is_the_gain_itself() -> None:
    pairs = [paired(0.05 + noise(40, seed=1)), paired(noise(40, seed=2), "hybrid"), paired(noise(40), measure=UTILITY)]
    rows = slice_gains(pairs, {"all": cut(("all", 40))})
    for row, gain in zip(rows, compare("exploratory", pairs), strict=True):
        shared = row.model_dump().keys() & gain.model_dump().keys() - {"difference"}
        assert row.model_dump(include=shared) == gain.model_dump(include=shared)
        assert row.difference == pytest.approx(gain.difference)


def test_more_slices_widen_the_intervals_because_all_are_one_family() -> None:
    pairs = [paired(noise(80, seed=1)), paired(noise(80, seed=2), measure=UTILITY)]
    kinds = {"kind": cut(("question", 40), ("keyword", 40))}
    rng = np.random.default_rng(3)
    more = {
        f"field {n}": dict(zip(names(80), rng.permutation(["a", "b"] * 40).tolist(), strict=True)) for n in range(6)
    }
    for one, other in zip(slice_gains(pairs, kinds), slice_gains(pairs, kinds | more), strict=False):
        assert one.difference == other.difference
        assert one.p_value is not None
        assert other.p_value is not None
        assert one.p_value <= other.p_value
        assert _half(one) < _half(other)


def _half(row: SliceGain) -> float:
    assert row.low is not None
    assert row.high is not None
    return (row.high - row.low) / 2


@given(st.lists(st.tuples(st.integers(-9, 9), st.sampled_from("abc")), min_size=1, max_size=70))
def test_the_slices_of_a_field_add_up_to_the_whole(questions: list[tuple[int, str]]) -> None:
    pair = paired([gain / 10 for gain, _ in questions])
    slices = dict(zip(names(len(questions)), (value for _, value in questions), strict=True))
    rows = slice_gains([pair], {"field": slices}, resamples=99)
    assert {row.value for row in rows} == set(slices.values())
    assert sum(row.n_queries for row in rows) == len(questions)
    total = sum((row.difference or 0.0) * row.n_queries for row in rows)
    assert total == pytest.approx(sum(gain for gain, _ in questions) / 10, abs=1e-9)


# ---- how surely

WORLDS, QUESTIONS = 250, 120


def looked_at(rng: np.random.Generator, lost: float = 0.0) -> list[SliceGain]:
    """Two systems on two measures, questions two to a group, cut by two fields into thirds of uneven size.

    Nothing differs but by chance, as coarse as a right answer more or less on one of the measures; only the system
    ``b`` loses `lost` of ndcg@10 on the third ``x`` of the field ``first``, and gains elsewhere.
    """
    fields: dict[str, Mapping[str, str]] = {}
    for name in ("first", "second"):
        by_group = rng.choice(["x", "y", "z"], QUESTIONS // 2, p=[0.45, 0.3, 0.25]) if name == "first" else None
        values = np.repeat(by_group, 2) if by_group is not None else rng.choice(["x", "y", "z"], QUESTIONS)
        fields[name] = dict(zip(names(QUESTIONS), values.tolist(), strict=True))
    losing = np.asarray([value == "x" for value in fields["first"].values()])
    pairs = []
    for system in "ab":
        fine = np.repeat(rng.normal(0, 0.1, QUESTIONS // 2), 2) + rng.normal(0, 0.1, QUESTIONS)
        if lost and system == "b":
            fine += np.where(losing, -lost, lost)
        pairs.append(paired(fine, system, per_group=2))
        coarse = rng.choice([-1.0, 0.0, 1.0], QUESTIONS, p=[0.15, 0.7, 0.15])
        pairs.append(paired(coarse, system, measure=UTILITY, per_group=2, base=0.0))
    return slice_gains(pairs, fields, resamples=199, seed=int(rng.integers(2**31)))


def test_a_difference_is_found_where_there_is_none_no_more_often_than_said() -> None:
    rng = np.random.default_rng(6)
    found = [looked_at(rng) for _ in range(WORLDS)]
    # One out of twenty of each would be found in most worlds.
    assert np.mean([sum(row.low is not None for row in rows) for rows in found]) > 15
    wrong = np.mean([any(_is_found(row) for row in rows) for rows in found])
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / WORLDS)


def _is_found(row: SliceGain) -> bool:
    return (row.low or 0.0) > 0 or (row.high or 0.0) < 0


def test_a_slice_that_loses_is_found() -> None:
    rng = np.random.default_rng(7)
    found = [looked_at(rng, lost=0.12) for _ in range(60)]
    lost = [of(rows, "x", field="first", system="b", measure="ndcg@10").verdict == "regressed" for rows in found]
    assert np.mean(lost) >= 0.9
    others = [any(_is_found(row) for row in rows if row.system == "a" or row.measure == "utility") for rows in found]
    assert np.mean(others) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(found))
