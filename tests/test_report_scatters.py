"""The pictures of gains against costs, their front and their ticks."""

from __future__ import annotations

from typing import Any

import outcomes
from hypothesis import given
from hypothesis import strategies as st
from pictures import clean, labels_of
from test_report_html import CASES, each_case

from harness.report.charts.canvas import LOG_FROM, cost_ticks
from harness.report.charts.outcome import scatters, with_front
from harness.report.charts.values import Scatter, ScatterPoint
from harness.report.view import view

# ---- pictures

gain_and_cost = st.tuples(st.integers(-9, 9), st.integers(0, 9))


@given(st.lists(gain_and_cost, min_size=1, max_size=12))
def test_the_front_is_what_no_point_beats(numbers: list[tuple[int, int]]) -> None:
    points = [
        ScatterPoint(str(n), str(n), "candidate", gain / 10, None, None, "inconclusive", float(cost), "")
        for n, (gain, cost) in enumerate(numbers)
    ]

    def beaten(point: ScatterPoint) -> bool:
        return any(
            (one.gain >= point.gain and one.cost < point.cost) or (one.gain > point.gain and one.cost <= point.cost)
            for one in points
        )

    assert [point.front for point in with_front(points)] == [not beaten(point) for point in points]


def drawn(case: str) -> list[Scatter]:
    return list(scatters(view(CASES[case]())))


@each_case
def test_a_picture_is_clean_svg_with_every_system_named(case: str) -> None:
    for picture in drawn(case):
        root = clean(picture, picture.name)
        assert labels_of(root) == [point.label for point in picture.points]


def test_pictures_take_the_latency_of_what_the_measure_judges() -> None:
    axes = {picture.name: picture.axis for picture in drawn("normal")}
    assert axes["ndcg-10-p95"] == "retrieval p95"
    assert axes["utility-p95"] == "total p95"
    assert axes["ndcg-10-make"] == "build time"


def test_a_paid_endpoint_turns_the_cost_into_dollars() -> None:
    base = outcomes.normal()
    rows = tuple(row.model_copy(update={"llm_dollars": 0.5}) for row in base.ledger)
    found = scatters(view(base.model_copy(update={"ledger": rows})))
    assert {picture.axis for picture in found if picture.name.endswith("make")} == {"build cost in dollars"}


def test_bounds_that_nobody_would_serve_are_not_drawn() -> None:
    for picture in drawn("normal"):
        assert not {"closed-book", "oracle-context"} & {point.system for point in picture.points}


@given(st.floats(1e-3, 1e5), st.floats(1.05, 1e5), st.sampled_from(["seconds", "milliseconds", "dollars"]))
def test_ticks_are_few_and_differ(low: float, times: float, unit: Any) -> None:
    for by_logarithm in (False, times >= LOG_FROM):
        found = cost_ticks(low, low * times, unit, by_logarithm)
        assert len(found) <= 7
        assert len({text for _, text in found}) == len(found)
        assert all(low * 0.999 <= place <= low * times for place, _ in found)
