"""Before a run: how large a gain in utility the answers of a plan can show."""

from __future__ import annotations

import re
from typing import Any

import pocket
import pytest
from scipy.stats import norm

from harness.planning.plan import build_plan
from harness.remarks import sample_size
from harness.statistics.intervals import expected_detectable

UTILITY: dict[str, Any] = {
    "measures": ["ndcg@10", "token_f1", "utility"],
    "utility": {"right": "token_f1", "threshold": 0.5, "wrong_cost": 1},
    "gates": [{"measure": "utility", "margin": 0.05}],
    "candidates": {"tuned": {"tune": ["generator"]}},
    "baseline_rows": ["untuned"],
}


def said(changes: dict[str, Any] | None = None) -> list[str]:
    return sample_size.before(build_plan(pocket.suite({**UTILITY, **(changes or {})}), pocket.dataset()))


@pytest.mark.parametrize(("deviation", "queries", "comparisons"), [(0.8, 80, 1), (0.8, 24, 10), (1.5, 300, 4)])
def test_an_effect_of_the_size_is_found_four_times_of_five(deviation: float, queries: int, comparisons: int) -> None:
    effect = expected_detectable(deviation, queries, comparisons, 0.05)
    error = deviation / queries**0.5
    beyond = norm.ppf(1 - 0.05 / 2 / comparisons) * error
    assert norm.sf(beyond, loc=effect, scale=error) == pytest.approx(0.8)


def test_too_few_answers_are_said_with_the_number_that_would_do() -> None:
    (line,) = said()
    effect, enough = (
        float(re.findall(pattern, line)[0]) for pattern in (r"about ([\d.]+), if", r"about (\d+) queries")
    )
    assert line.startswith("With 6 answers a system, the minimum detectable effect of utility is at best about 0.9")
    assert effect * (6 / enough) ** 0.5 == pytest.approx(0.3, abs=0.01)
    assert "raise evaluate.generation_queries" in line


def test_more_candidates_need_more_answers_and_a_cheaper_mistake_fewer() -> None:
    def enough(changes: dict[str, Any] | None = None) -> int:
        (line,) = said(changes)
        return int(re.findall(r"about (\d+) queries", line)[0])

    many = {"candidates": {name: {"tune": ["generator"], "generator": {"epochs": number}} for number, name in
                           enumerate(("one", "two", "three"), start=1)}}  # fmt: skip
    cheap = {"utility": {"right": "token_f1", "threshold": 0.5, "wrong_cost": 0.5}}
    assert enough(cheap) < enough() < enough(many)


def test_nothing_is_said_where_utility_is_not_gated_or_the_answers_do() -> None:
    assert said({"gates": [{"measure": "ndcg@10", "margin": 0.02}]}) == []
    assert said({"candidates": {}}) == []
    harmless = {"utility": {"right": "token_f1", "threshold": 0.5, "wrong_cost": 0}}
    assert said({**harmless, "evaluate.generation_queries": None}) == []
    (line,) = said({"evaluate.generation_queries": None})
    assert "add queries with reference answers" in line


def test_bounds_are_in_no_family() -> None:
    rows = ["untuned", "closed-book", "oracle-context"]
    assert said({"baseline_rows": rows}) == said()
