"""Blending two runs: weights 0 and 1 are the runs themselves, pools keep their documents, scales do not matter."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stage_inputs import silent

from harness.data.formats import read_run, write_run
from harness.models.search import Hits
from harness.stages.blend import BlendSpec, blend
from harness.stages.rerank import reordered
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.blending import Blending, BlendPool, Weight, blended, blended_runs, standardised

quick = settings(max_examples=150)
IDS = [f"d{number}" for number in range(14)]
SCORES = st.integers(-6, 6).map(float)
POOLS: list[BlendPool] = ["first", "union"]


def in_trec_order(hits: Hits) -> Hits:
    by_id = sorted(hits, reverse=True)
    return sorted(by_id, key=lambda hit: -hit[1])


def order(hits: Hits) -> list[str]:
    return [doc_id for doc_id, _ in hits]


@st.composite
def rankings(draw: st.DrawFn, least: int = 0) -> Hits:
    doc_ids = draw(st.lists(st.sampled_from(IDS), unique=True, min_size=least))
    return in_trec_order([(doc_id, draw(SCORES)) for doc_id in doc_ids])


@st.composite
def rescored(draw: st.DrawFn) -> tuple[Hits, Hits, int]:
    """A list, the list as a reranker of some depth leaves it, and that depth."""
    hits = draw(rankings())
    depth = draw(st.integers(1, 14))
    scores = draw(st.lists(SCORES, min_size=len(hits[:depth]), max_size=len(hits[:depth])))
    return hits, reordered(hits, scores), depth


WEIGHTS = st.integers(0, 16).map(lambda step: step / 16)
DEPTHS = st.integers(1, 14)


@quick
@given(case=rescored())
def test_weight_0_is_the_list_itself_and_weight_1_is_the_rerankers(case: tuple[Hits, Hits, int]) -> None:
    first, second, depth = case
    assert blended(first, second, Blending(0, depth, "first")) == first
    assert blended(first, second, Blending(1, depth, "first")) == second


@quick
@given(first=rankings(), second=rankings(), depth=DEPTHS)
def test_the_ends_of_a_union_are_its_runs(first: Hits, second: Hits, depth: int) -> None:
    assert blended(first, second, Blending(0, depth, "union")) == first[:depth]
    assert blended(first, second, Blending(1, depth, "union")) == second[:depth]


@quick
@given(first=rankings(), second=rankings(), weight=WEIGHTS, depth=DEPTHS)
def test_a_pool_keeps_its_documents_and_what_is_below_it(first: Hits, second: Hits, weight: float, depth: int) -> None:
    after = blended(first, second, Blending(weight, depth, "first"))
    assert sorted(order(after)[:depth]) == sorted(order(first)[:depth])
    assert order(after)[depth:] == order(first)[depth:]


@quick
@given(first=rankings(), second=rankings(), weight=st.integers(1, 15).map(lambda step: step / 16), depth=DEPTHS)
def test_a_union_holds_documents_of_both_as_many_as_fit(first: Hits, second: Hits, weight: float, depth: int) -> None:
    either = {*order(first), *order(second)}
    after = order(blended(first, second, Blending(weight, depth, "union")))
    assert set(after) <= either
    assert len(after) == len(set(after)) == min(depth, len(either))


@quick
@given(first=rankings(), second=rankings(), weight=WEIGHTS, depth=DEPTHS)
def test_a_union_is_the_same_the_other_way_round(first: Hits, second: Hits, weight: float, depth: int) -> None:
    here = blended(first, second, Blending(weight, depth, "union"))
    assert here == blended(second, first, Blending(1 - weight, depth, "union"))


@quick
@given(
    first=rankings(), second=rankings(), weight=WEIGHTS, depth=DEPTHS, pool=st.sampled_from(POOLS),
    scales=st.tuples(*[st.sampled_from([0.25, 3.0, 1e-6, 1e9])] * 2),
    shifts=st.tuples(*[st.sampled_from([0.0, -7.0, 40.0])] * 2),
)  # fmt: skip
def test_neither_scale_nor_shift_of_a_run_matters(
    first: Hits, second: Hits, weight: float, depth: int, pool: BlendPool,
    scales: tuple[float, float], shifts: tuple[float, float],
) -> None:  # fmt: skip
    how = Blending(weight, depth, pool)
    # A list that is not full is complete, and 0 is what its scores begin at.
    assume(
        pool == "first"
        or shifts == (0.0, 0.0)
        or min(len(first), len(second)) >= depth
        or {*order(first)} == {*order(second)}
    )
    moved = [
        [(doc_id, scale * (score + shift)) for doc_id, score in hits]
        for hits, scale, shift in zip((first, second), scales, shifts, strict=True)
    ]
    assert order(blended(moved[0], moved[1], how)) == order(blended(first, second, how))


@quick
@given(first=rankings(), second=rankings(), weight=WEIGHTS, depth=DEPTHS, pool=st.sampled_from(POOLS))
def test_a_blended_list_is_in_the_order_of_trec_eval(
    first: Hits, second: Hits, weight: float, depth: int, pool: BlendPool
) -> None:
    after = blended(first, second, Blending(weight, depth, pool))
    assert after == in_trec_order(after)
    assert all(math.isfinite(score) for _, score in after)


@quick
@given(hits=rankings(least=1))
def test_standardised_scores_are_those_of_numpy(hits: Hits) -> None:
    import numpy as np

    scores = np.array([score for _, score in hits])
    expected = (scores - scores.mean()) / scores.std() if scores.std() else np.zeros(len(scores))
    assert list(standardised(hits).values()) == pytest.approx(list(expected), abs=1e-12)


def test_a_blend_is_the_weighted_sum_of_standardised_scores() -> None:
    first = [("a", 3.0), ("b", 2.0), ("c", 1.0)]
    second = [("c", 0.9), ("d", 0.5), ("a", 0.1)]
    unit = 1 / math.sqrt(2 / 3)
    after = dict(blended(first, second, Blending(0.25, 10, "union")))
    # The lists are complete: d has score 0 in the first, b in the second.
    left = standardised([("a", 3.0), ("b", 2.0), ("c", 1.0), ("d", 0.0)])
    right = standardised([("a", 0.1), ("b", 0.0), ("c", 0.9), ("d", 0.5)])
    assert after == pytest.approx({key: 0.75 * left[key] + 0.25 * right[key] for key in left})
    # They are full: a missing document has the lowest score of the list.
    cut = dict(blended(first, second, Blending(0.25, 3, "union")))
    left = standardised([("a", 3.0), ("b", 2.0), ("c", 1.0), ("d", 1.0)])
    right = standardised([("a", 0.1), ("b", 0.1), ("c", 0.9), ("d", 0.5)])
    assert cut == pytest.approx({key: 0.75 * left[key] + 0.25 * right[key] for key in cut})
    # Only what is in the pool counts for the scale: d is in no pool of the first list.
    within = blended(first, second, Blending(0.25, 10, "first"))
    right = standardised([("a", 0.1), ("b", 0.1), ("c", 0.9)])
    left = {"a": unit, "b": 0.0, "c": -unit}
    assert dict(within) == pytest.approx({key: 0.75 * left[key] + 0.25 * right[key] for key in left})


def test_ties_are_broken_by_id_descending() -> None:
    first, second = [("a", 2.0), ("b", 1.0)], [("b", 5.0), ("a", 4.0)]
    for pool in POOLS:
        assert blended(first, second, Blending(0.5, 10, pool)) == [("b", 0.0), ("a", 0.0)]


def test_the_only_hit_of_a_rare_word_counts() -> None:
    dense = [("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6), ("e", 0.5)]
    words = [("d", 4.2)]
    assert order(blended(dense, words, Blending(0.5, 10, "union")))[0] == "d"
    # Two documents with the same words are both better than those without.
    both = order(blended(dense, [("e", 2.0), ("d", 2.0)], Blending(0.6, 10, "union")))
    assert both[:2] == ["d", "e"]


def test_equal_scores_say_nothing() -> None:
    first = [("b", 3.0), ("a", 2.0), ("c", 1.0)]
    second = [("c", 0.1), ("b", 0.1), ("a", 0.1)]
    assert order(blended(first, second, Blending(0.9, 3, "first"))) == ["b", "a", "c"]
    assert order(blended(first, second, Blending(1, 3, "first"))) == ["c", "b", "a"]


def test_scores_of_any_size_are_standardised() -> None:
    for size in (1e-300, 1e200):
        assert list(standardised([("a", size), ("b", 0.0)]).values()) == [1.0, -1.0]


def test_a_query_without_a_list_stays_so_unless_lists_are_joined() -> None:
    first = {"q1": [("a", 1.0), ("b", 0.0)]}
    second = {"q2": [("c", 1.0)]}
    assert blended_runs(first, second, Blending(0.5, 9, "first")) == first
    joined = blended_runs(first, second, Blending(0.5, 9, "union"))
    assert {key: order(hits) for key, hits in joined.items()} == {"q1": ["a", "b"], "q2": ["c"]}


# the stage


def runs(root: Path) -> dict[str, Path]:
    for name in ("first", "second", "out"):
        (root / name).mkdir()
    write_run(root / "first" / RUN_FILE, {"q1": [("d 1", 3.0), ("d2", 2.0), ("d3", 1.0)], "q2": [("d2", 1.0)]})
    write_run(root / "second" / RUN_FILE, {"q1": [("d2", 9.0), ("d 1", 1.0), ("d3", 0.0)], "q2": [("d2", 4.0)]})
    return {name: root / name for name in ("first", "second")}


def test_the_stage_takes_a_number_or_a_chosen_weight(tmp_path: Path) -> None:
    inputs = runs(tmp_path)
    usage = blend(BlendSpec(depth=2, weight=0.75), inputs, tmp_path / "out", 0, silent)
    by_number = (tmp_path / "out" / RUN_FILE).read_bytes()
    assert {key: order(hits) for key, hits in read_run(tmp_path / "out" / RUN_FILE, escaped=True).items()} == {
        "q1": ["d2", "d 1", "d3"],
        "q2": ["d2"],
    }
    assert usage.units == 2
    assert usage.notes == {"queries": 2, "weight": 0.75, "lists changed": 1}
    (tmp_path / "weight").mkdir()
    Weight(0.75, {"0.0": 0.5}).write(tmp_path / "weight")
    assert Weight.read(tmp_path / "weight") == Weight(0.75, {"0.0": 0.5})
    blend(BlendSpec(depth=2), inputs | {"weight": tmp_path / "weight"}, tmp_path / "out", 0, silent)
    assert (tmp_path / "out" / RUN_FILE).read_bytes() == by_number


def test_no_weight_and_two_weights_are_refused(tmp_path: Path) -> None:
    inputs = runs(tmp_path)
    with pytest.raises(ValueError, match="needs one weight"):
        blend(BlendSpec(depth=2), inputs, tmp_path / "out", 0, silent)
    with pytest.raises(ValueError, match="needs one weight"):
        blend(BlendSpec(depth=2, weight=0.5), inputs | {"weight": tmp_path}, tmp_path / "out", 0, silent)
