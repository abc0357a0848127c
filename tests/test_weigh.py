"""The weight chosen on dev is never worse there than either run alone, and stands in the middle of a plateau."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_inputs import silent

from harness.data.formats import write_run
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.blending import WEIGHT_FILE, Blending, Weight, blended
from harness.stages.shared.dev_evaluation import ndcg
from harness.stages.weigh import CHOICES, WeighSpec, choose, weigh
from harness.values.records import Progress, Qrels, Run, Usage


@settings(max_examples=200)
@given(
    table=st.integers(1, 6).flatmap(
        lambda queries: st.lists(
            st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0]), min_size=queries, max_size=queries),
            min_size=len(CHOICES), max_size=len(CHOICES),
        )
    )
)  # fmt: skip
def test_the_choice_is_never_worse_on_dev_than_either_run(table: list[list[float]]) -> None:
    scores = dict(zip(CHOICES, table, strict=True))
    chosen = fmean(scores[choose(scores)])
    assert chosen >= fmean(scores[0.0])
    assert chosen >= fmean(scores[1.0])


def constant(means: list[float]) -> dict[float, list[float]]:
    """Scores of four queries that are all equal: any difference of means is certain."""
    return {weight: [mean] * 4 for weight, mean in zip(CHOICES, means, strict=True)}


@pytest.mark.parametrize(("means", "weight"), [
    ([0.5] * 11, 0.5),
    ([0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3], 0.4),
    ([0.5, 0.6, 0.7, 0.7, 0.6, 0.6, 0.6, 0.6, 0.5, 0.4, 0.3], 0.2),
    ([0.9, 0.6, 0.7, 0.7, 0.6, 0.6, 0.6, 0.6, 0.5, 0.4, 0.3], 0.0),
    ([0.1, 0.2, 0.3, 0.3, 0.4, 0.6, 0.6, 0.6, 0.7, 0.7, 0.8], 1.0),
    ([0.5, 0.9, 0.6, 0.6, 0.6, 0.6, 0.9, 0.9, 0.9, 0.6, 0.5], 0.1),
])  # fmt: skip
def test_the_middle_of_the_best_plateau_is_taken(means: list[float], weight: float) -> None:
    assert choose(constant(means)) == weight


def test_neighbours_within_a_standard_error_of_the_best_belong_to_its_plateau() -> None:
    # 0.7 is best by one query of four, and worse by another: the difference is smaller than its error.
    scores = constant([0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.3, 0.2])
    scores[0.7] = [0.62, 0.48, 0.5, 0.5]
    assert choose(scores) == 0.5
    # By all four it is surely better.
    scores[0.7] = [0.6, 0.61, 0.6, 0.6]
    assert choose(scores) == 0.7


# the stage

FIRST = {"q1": [("d1", 3.0), ("d2", 2.0), ("d3", 1.0)], "q2": [("d1", 1.0), ("d2", 0.5)], "q3": [("d9", 1.0)]}
SECOND = {"q1": [("d3", 3.0), ("d1", 2.0), ("d2", 1.0)], "q2": [("d2", 4.0), ("d1", 3.0)]}
QRELS: Qrels = {"q1": {"d1": 2, "d3": 1}, "q2": {"d2": 1}, "q3": {"d9": 0}, "q4": {"d1": 1}}


def run_stage(root: Path, first: Run, second: Run, qrels: Qrels, spec: WeighSpec, progress: Progress = silent) -> Usage:
    for name in ("first", "second", "qrels", "out"):
        (root / name).mkdir(exist_ok=True)
    write_run(root / "first" / RUN_FILE, first)
    write_run(root / "second" / RUN_FILE, second)
    common.write_judgements(root / "qrels", qrels)
    return weigh(spec, {name: root / name for name in ("first", "second", "qrels")}, root / "out", 0, progress)


@pytest.mark.parametrize("pool", ["first", "union"])
def test_every_weight_is_scored_over_all_judged_queries(tmp_path: Path, pool: str) -> None:
    steps: list[tuple[int, int]] = []
    spec = WeighSpec.model_validate({"depth": 3, "pool": pool})
    usage = run_stage(tmp_path, FIRST, SECOND, QRELS, spec, lambda *at: steps.append(at))
    chosen = Weight.read(tmp_path / "out")
    assert list(chosen.scores) == [f"{weight:.1f}" for weight in CHOICES]
    for weight in CHOICES:
        how = Blending(weight, 3, spec.pool)
        # q3 has no relevant document and is left out; q4 has no list and scores 0.
        expected = fmean(
            ndcg([doc_id for doc_id, _ in blended(FIRST.get(key, []), SECOND.get(key, []), how)], QRELS[key], 10)
            for key in ("q1", "q2", "q4")
        )
        assert chosen.scores[f"{weight:.1f}"] == pytest.approx(expected)
    assert chosen.scores[f"{chosen.weight:.1f}"] >= max(chosen.scores["0.0"], chosen.scores["1.0"])
    assert usage.notes["weight"] == chosen.weight
    assert usage.notes["dev queries"] == 3
    assert usage.notes["ndcg@10 by weight"] == {key: round(value, 4) for key, value in chosen.scores.items()}
    assert steps[-1] == (3, 3) == (usage.units, usage.units)


def test_a_harmful_reranker_gets_no_weight_and_a_perfect_one_all_it_needs(tmp_path: Path) -> None:
    good = {f"q{number}": [("d1", 3.0), ("d2", 2.0), ("d3", 1.0), ("d4", 0.0)] for number in range(8)}
    bad = {key: [(doc_id, -score) for doc_id, score in reversed(hits)] for key, hits in good.items()}
    qrels = {key: {"d1": 1} for key in good}
    run_stage(tmp_path, good, bad, qrels, WeighSpec(depth=4))
    assert Weight.read(tmp_path / "out").scores["0.0"] == 1.0
    # Opposite lists cancel out at 0.5: all below is as good as 0.
    assert Weight.read(tmp_path / "out").weight == 0.2
    run_stage(tmp_path, bad, good, qrels, WeighSpec(depth=4))
    assert Weight.read(tmp_path / "out").weight == 0.8


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    run_stage(tmp_path, FIRST, SECOND, QRELS, WeighSpec(depth=3))
    before = (tmp_path / "out" / WEIGHT_FILE).read_bytes()
    run_stage(tmp_path, FIRST, SECOND, QRELS, WeighSpec(depth=3))
    assert (tmp_path / "out" / WEIGHT_FILE).read_bytes() == before
    assert json.loads(before)["weight"] in CHOICES


def test_a_split_without_a_relevant_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no dev query has a relevant document"):
        run_stage(tmp_path, FIRST, SECOND, {"q1": {"d1": 0}}, WeighSpec(depth=3))
