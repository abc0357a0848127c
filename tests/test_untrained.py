"""The best system without training: chosen on dev, and tested against on the scored split."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics.comparisons import Comparisons
from harness.statistics.untrained import NO_DEV, NO_RANK_MEASURE, ON_DEV, best_untrained
from harness.suite.spec import Suite
from harness.values.measures import Measure
from harness.values.records import Score, ScoreColumn
from harness.values.systems import System

NDCG = Measure("ndcg", 10)
UNTUNED, BM25, BOUND = (System(name, 0, "baseline", ()) for name in ("untuned", "bm25", "oracle-context"))
LATE = System("late", 0, "candidate", (), changes=("reranker.kind=late-interaction",))
TUNED, OTHER = (System("retriever", seed, "candidate", ("retriever",)) for seed in (0, 1))
SYSTEMS = (UNTUNED, BM25, LATE, TUNED, OTHER, BOUND)
QUERIES = [f"q{number:02}" for number in range(30)]
MEANS = {"untuned": 0.4, "bm25": 0.5, "late": 0.6, "retriever (seed 0)": 0.9, "retriever (seed 1)": 0.3}
tenths = st.integers(0, 10).map(lambda number: number / 10)


def column(*values: float | None) -> ScoreColumn:
    return {f"q{number:02}": value for number, value in enumerate(values)}


def rows(system: System, split: str, scores: ScoreColumn, measure: str = "ndcg@10") -> list[Score]:
    return [
        Score(system.name, system.seed, split, query, query, measure, value, "failed" if value is None else "ok", "")
        for query, value in scores.items()
    ]


def suite(split: str = "test", **changes: Any) -> Suite:
    values = {
        "schema": "harness/suite-2", "name": "toy", "dataset": {"path": "data"}, "measures": ["ndcg@10", "utility"],
        "gates": [{"measure": "ndcg@10", "margin": 0.01}], "evaluate": {"split": split},
    }  # fmt: skip
    return Suite.model_validate(values | changes)


def compared(dev: Mapping[str, float], test: Mapping[str, float], asked: Suite | None = None) -> Comparisons:
    """Systems with these means on dev and on test, and some noise on every query."""
    generator = random.Random(3)
    asked = asked or suite()
    by_label: dict[str, Sequence[Score]] = {}
    for system in SYSTEMS:
        scores = []
        for split, means in (("dev", dev), (asked.evaluate.split, test)):
            if system.label in means:
                own = [min(1.0, max(0.0, means[system.label] + generator.gauss(0, 0.02))) for _ in QUERIES]
                scores += rows(system, split, column(*own))
        by_label[system.label] = scores
    return Comparisons(asked, SYSTEMS, by_label)


# ---- the choice


def test_a_trained_system_and_a_bound_are_never_chosen() -> None:
    on_dev = {system.label: column(0.1 * place, 0.1 * place) for place, system in enumerate(SYSTEMS)}
    best = best_untrained(SYSTEMS, NDCG, on_dev)
    assert (best.system, best.measure) == ("late", "ndcg@10")
    assert list(best.means) == ["untuned", "bm25", "late"]


@given(st.dictionaries(st.sampled_from(["untuned", "bm25", "late"]), st.lists(tenths, min_size=3, max_size=3)))
def test_the_choice_has_the_highest_mean_and_untuned_wins_ties(scores: dict[str, list[float]]) -> None:
    best = best_untrained(SYSTEMS, NDCG, {label: column(*values) for label, values in scores.items()})
    if not scores:
        assert (best.system, best.reason) == ("", NO_DEV)
        return
    assert best.means[best.system] == max(best.means.values())
    assert best.system == "untuned" or best.means.get("untuned", -1.0) < best.means[best.system]


def test_a_system_that_failed_on_a_dev_query_is_left_out() -> None:
    best = best_untrained(SYSTEMS, NDCG, {"untuned": column(0.1, 0.2), "bm25": column(0.9, None), "late": column(0.9)})
    assert (best.system, list(best.means)) == ("untuned", ["untuned"])


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (suite(gates=[{"measure": "utility", "margin": 0.02}]), NO_RANK_MEASURE),
        (suite("dev"), ON_DEV),
    ],
)
def test_where_no_choice_can_be_made_the_reason_is_kept(asked: Suite, reason: str) -> None:
    best = compared(MEANS, {}, asked).best_untrained
    assert best is not None
    assert (best.system, best.reason) == ("", reason)
    assert compared(MEANS, {}, asked).over_untrained() == []


def test_nothing_is_named_where_nothing_is_trained() -> None:
    assert Comparisons(suite(), SYSTEMS[:3], {system.label: [] for system in SYSTEMS[:3]}).best_untrained is None


# ---- the comparisons


def test_every_trained_checkpoint_is_compared_with_the_best_setting() -> None:
    found = compared(MEANS, MEANS).over_untrained()
    assert [(row.family, row.system, row.seed, row.verdict) for row in found] == [
        ("untrained", "retriever", 0, "improved"),
        ("untrained", "retriever", 1, "regressed"),
    ]
    assert [row.difference for row in found] == pytest.approx([0.3, -0.3], abs=0.02)


def test_it_is_a_family_of_its_own() -> None:
    """The intervals do not depend on how many systems are compared with `untuned`."""
    several, alone = compared(MEANS, MEANS), compared(MEANS, MEANS)
    alone.systems = [system for system in SYSTEMS if system not in (BM25, BOUND)]
    assert several.over_untrained() == alone.over_untrained()
    assert len(several.gains()) > len(alone.gains())


def test_where_untuned_is_the_best_the_gains_say_it() -> None:
    found = compared(MEANS | {"untuned": 0.95}, MEANS)
    assert found.best_untrained is not None
    assert found.best_untrained.system == "untuned"
    assert found.over_untrained() == []
    assert found.untrained_claims() == []


@settings(max_examples=30)
@given(st.permutations(sorted(MEANS)), st.lists(tenths, min_size=5, max_size=5))
def test_scores_of_the_scored_split_never_choose(names: list[str], means: list[float]) -> None:
    """Whoever has which scores on test, the choice on dev stays the same."""
    expected = compared(MEANS, MEANS).best_untrained
    assert compared(MEANS, dict(zip(names, means, strict=True))).best_untrained == expected
