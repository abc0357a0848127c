"""Returns on tuning: by hand, by their laws, and in agreement with the pictures of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import combined
import outcomes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.charts.outcome import scatters
from harness.report.content.roi import returned
from harness.report.view import view
from harness.statistics.roi import CostPosition, dominated_by, roi
from harness.statistics.stats import verdict
from harness.suite.bounds import Prices
from harness.values.findings import Comparison, Outcome, ServingCost, SystemInfo, Timing
from harness.values.gains import Roi

FREE = Prices()
WORTH = Prices(right_answer=0.5)


def system(
    name: str = "tuned", *, dollars: float = 0.0, retrieval: float | None = 20.0, total: float | None = 1000.0,
    per_1000: float | None = 0.01, **changes: Any,
) -> SystemInfo:  # fmt: skip
    timings = {
        part: None if p95 is None else Timing(part=part, n=100, p50_ms=p95 / 2, p95_ms=p95)
        for part, p95 in (("retrieval", retrieval), ("total", total))
    }
    values: dict[str, Any] = {
        "name": name, "seed": 0, "role": "baseline", "identity": name, "build_dollars": dollars,
        "serving": ServingCost(parts=(), dollars_per_1000=per_1000, **timings),
    }  # fmt: skip
    return SystemInfo(**values | changes)


UNTUNED = system("untuned", dollars=1.0)


def gain(
    difference: float, low: float | None, high: float | None, *, system: str = "tuned", measure: str = "utility",
    **changes: Any,
) -> Comparison:  # fmt: skip
    known = low is not None and high is not None
    values: dict[str, Any] = {
        "family": "gain", "system": system, "seed": 0, "measure": measure, "difference": difference, "low": low,
        "high": high, "p_value": 0.01, "margin": 0.02, "detectable": 0.03, "n_queries": 120, "n_groups": 60,
        "verdict": verdict(low, high, 0.02) if known else "inconclusive",
    }  # fmt: skip
    return Comparison(**values | changes)


def one(info: SystemInfo, row: Comparison, prices: Prices = FREE, **options: Any) -> Roi:
    (found,) = roi([UNTUNED, info], [row], prices, **options)
    return found


def ratios(row: Roi, name: str) -> tuple[float | None, float | None, float | None]:
    return getattr(row, f"{name}_low"), getattr(row, name), getattr(row, f"{name}_high")


# ---- ratios


def test_ratios_by_hand() -> None:
    row = one(system(dollars=4.0, total=1250.0, per_1000=0.03), gain(0.1, 0.05, 0.2))
    assert (row.system, row.seed, row.measure, row.gain, row.low, row.high) == ("tuned", 0, "utility", 0.1, 0.05, 0.2)
    assert (row.build_dollars, row.added_p95_ms, row.added_dollars_per_1000) == (4.0, 250.0, pytest.approx(0.02))
    assert ratios(row, "per_dollar") == pytest.approx((0.0125, 0.025, 0.05))
    assert ratios(row, "per_ms") == pytest.approx((0.0002, 0.0004, 0.0008))
    assert ratios(row, "break_even") == (None, None, None)
    assert row.reason == "the price of a right answer is not set"


def test_rank_measures_are_timed_by_their_retrieval() -> None:
    row = one(system(dollars=4.0, retrieval=25.0, total=9999.0), gain(0.1, 0.05, 0.2, measure="ndcg@10"), WORTH)
    assert (row.added_p95_ms, row.per_ms, row.break_even, row.reason) == (5.0, pytest.approx(0.02), None, "")


@pytest.mark.parametrize(
    ("info", "row", "reason"),
    [
        (system(dollars=4.0), gain(0.1, 0.05, 0.2), "it is no slower than untuned"),
        (system(dollars=4.0, total=900.0), gain(0.1, 0.05, 0.2), "it is no slower than untuned"),
        (system(dollars=4.0, total=None), gain(0.1, 0.05, 0.2), "it was not timed"),
        (system(dollars=4.0, serving=None), gain(0.1, 0.05, 0.2), "it was not timed"),
        (system(dollars=4.0, total=2e3), gain(0.0, -0.1, 0.1), "it gains nothing"),
        (system(dollars=4.0, total=2e3), gain(-0.2, -0.3, -0.1), "it gains nothing"),
    ],
)
def test_why_there_is_no_gain_per_millisecond(info: SystemInfo, row: Comparison, reason: str) -> None:
    found = one(info, row)
    assert ratios(found, "per_ms") == (None, None, None)
    assert reason in found.reason.split("; ")


def test_why_there_is_no_gain_per_dollar() -> None:
    row = gain(0.1, 0.05, 0.2)
    free, hidden = one(system(), row, WORTH), one(system(dollars=4.0), row, WORTH, unknown=["tuned"])
    assert ratios(free, "per_dollar") == ratios(hidden, "per_dollar") == (None, None, None)
    assert "it has no build cost" in free.reason
    assert "its build cost is not known" in hidden.reason
    assert (free.break_even, hidden.break_even) == (0.0, None)


def test_a_gain_without_an_interval_has_ratios_without_bounds() -> None:
    row = one(system(dollars=4.0, total=1250.0), gain(0.1, None, None, reason="too few groups"), WORTH)
    assert ratios(row, "per_dollar") == (None, pytest.approx(0.025), None)
    assert ratios(row, "break_even") == (None, pytest.approx(80.0), None)
    assert row.reason == "too few groups"


def test_a_comparison_that_failed_has_no_ratios() -> None:
    row = one(system(dollars=4.0, total=1250.0), gain(0.1, None, None, verdict="failed", reason="9 of 99"), WORTH)
    assert [ratios(row, name) for name in ("per_dollar", "per_ms", "break_even")] == [(None, None, None)] * 3
    assert row.reason == "failed: 9 of 99"


def test_who_has_no_row() -> None:
    systems = [UNTUNED, system("oracle-context"), system("closed-book"), system("broken", failed="out of memory")]
    rows = [gain(0.1, 0.05, 0.2, system=info.name) for info in systems]
    rows += [gain(0.1, 0.05, 0.2, system="gone"), gain(0.1, 0.05, 0.2, family="regression")]
    nothing = gain(0.0, None, None).model_copy(update={"difference": None, "verdict": "failed"})
    assert roi([*systems, system()], [*rows, nothing], FREE) == []


# ---- break-even


def test_break_even_by_hand() -> None:
    # A query earns 0.1 x $0.50 and costs $0.00002 more: $4 are paid after 80.03 queries.
    row = one(system(dollars=4.0, per_1000=0.03), gain(0.1, 0.05, 0.2), WORTH)
    assert ratios(row, "break_even") == pytest.approx((4 / 0.09998, 4 / 0.04998, 4 / 0.02498))
    assert row.reason == "it is no slower than untuned"


def test_an_interval_with_gains_that_never_pay_has_no_upper_bound() -> None:
    row = one(system(dollars=4.0, total=2e3), gain(0.1, -0.05, 0.2), WORTH)
    assert ratios(row, "break_even") == (pytest.approx(40.0), pytest.approx(80.0), None)
    assert row.reason == "it may never break even"
    never = one(system(dollars=4.0, total=2e3, per_1000=1000.0), gain(0.1, 0.05, 5.0), WORTH)
    assert ratios(never, "break_even") == (pytest.approx(4 / 1.50001, rel=1e-4), None, None)
    assert never.reason == "a query earns no more than it costs"


def test_a_cheaper_system_that_loses_nothing_breaks_even_without_a_price() -> None:
    cheap = system(dollars=4.0, total=500.0, per_1000=0.006)
    even = gain(0.001, -0.01, 0.011)
    row = one(cheap, even)
    assert even.verdict == "equivalent"
    assert ratios(row, "break_even") == pytest.approx((1e6, 1e6, 1e6))
    rank = one(cheap, gain(0.0, 0.0, 0.0, measure="ndcg@10"))
    assert ratios(rank, "break_even") == pytest.approx((1e6, 1e6, 1e6))
    # With a price the loss that may be is worth something too.
    assert one(cheap, even, WORTH).break_even == pytest.approx(4 / 0.000504)
    assert one(cheap, even, WORTH).break_even_high is None
    assert one(cheap, gain(0.001, -0.03, 0.031)).break_even is None
    assert one(system(dollars=4.0, per_1000=0.02), even).break_even is None


def test_cheap_is_not_enough_where_another_measure_may_have_lost() -> None:
    cheap = system(dollars=4.0, per_1000=0.006)
    rows = [gain(0.0, 0.0, 0.0, measure="ndcg@10"), gain(-0.1, -0.2, 0.0)]
    assert [row.break_even for row in roi([UNTUNED, cheap], rows, FREE)] == [None, None]
    rows[1] = gain(0.1, 0.0, 0.2)
    assert [row.break_even for row in roi([UNTUNED, cheap], rows, FREE)] == pytest.approx([1e6, 1e6])
    # Where a price says what the answers are worth, the row of the answers has it alone.
    assert [row.break_even for row in roi([UNTUNED, cheap], rows, WORTH)] == [None, pytest.approx(4 / 0.050004)]


def test_the_measure_of_right_answers_can_be_another() -> None:
    row = one(system(dollars=4.0), gain(0.1, 0.05, 0.2, measure="exact_match"), WORTH, right_measure="exact_match")
    assert row.break_even == pytest.approx(80.0)


gains = st.tuples(st.integers(-1000, 1000), st.integers(0, 1000), st.integers(0, 1000)).map(
    lambda drawn: (drawn[0] / 1000, (drawn[0] - drawn[1]) / 1000, (drawn[0] + drawn[2]) / 1000)
)
money = st.floats(0.001, 1000)


@given(gains, money, money, st.floats(1, 5000), st.sampled_from([FREE, WORTH]))
def test_bounds_enclose_the_point(
    drawn: tuple[float, float, float], dollars: float, per_1000: float, total: float, prices: Prices
) -> None:
    row = one(system(dollars=dollars, per_1000=per_1000, total=total), gain(*drawn), prices)
    for name in ("per_dollar", "per_ms"):
        low, point, high = ratios(row, name)
        assert (low is None) == (point is None) == (high is None)
        if low is not None and point is not None and high is not None:
            assert low <= point <= high
            assert point > 0
    low, point, high = ratios(row, "break_even")
    if point is not None:
        assert low is not None
        assert low <= point <= (float("inf") if high is None else high)
    else:
        assert high is None


@given(gains, money, st.floats(0.5, 1000), st.integers(2, 9))
def test_ratios_scale_as_prices_do(drawn: tuple[float, float, float], dollars: float, value: float, times: int) -> None:
    """All prices times k: a dollar buys a k-th, and the queries to break-even stay."""

    def priced(factor: int) -> Roi:
        base = system("untuned", dollars=factor, per_1000=0.01 * factor)
        info = system(dollars=dollars * factor, per_1000=0.03 * factor, total=2e3)
        (found,) = roi([base, info], [gain(*drawn)], Prices(right_answer=value * factor))
        return found

    once, more = priced(1), priced(times)
    for before, after in zip(ratios(once, "per_dollar"), ratios(more, "per_dollar"), strict=True):
        assert (before is None) == (after is None)
        assert before is None or after == pytest.approx(before / times)
    assert ratios(once, "per_ms") == ratios(more, "per_ms")
    for before, after in zip(ratios(once, "break_even"), ratios(more, "break_even"), strict=True):
        assert before is None or after is None or after == pytest.approx(before, rel=1e-6)


@given(gains, money, money)
def test_twice_the_one_time_cost_takes_twice_the_queries(
    drawn: tuple[float, float, float], dollars: float, per_1000: float
) -> None:
    once, twice = (
        one(system(dollars=dollars * times, per_1000=per_1000), gain(*drawn), WORTH) for times in (1, 2)
    )  # fmt: skip
    for before, after in zip(ratios(once, "break_even"), ratios(twice, "break_even"), strict=True):
        assert after == (None if before is None else pytest.approx(2 * before))


# ---- the front

places = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.builds(CostPosition, st.integers(-2, 2).map(float), st.tuples(*[st.integers(0, 2).map(float)] * 3)),
)


@given(places)
def test_front_and_dominated_are_complementary(found: dict[str, CostPosition]) -> None:
    beaten = dominated_by(found)
    assert beaten.keys() == found.keys()
    front = {name for name in found if not beaten[name]}
    assert bool(front) == bool(found)
    for name, by in beaten.items():
        axes = (-found[name].gain, *found[name].costs)
        for other in found:
            its = (-found[other].gain, *found[other].costs)
            better = any(a < b for a, b in zip(its, axes, strict=True))
            worse = any(a > b for a, b in zip(its, axes, strict=True))
            assert (other in by) == (better and not worse)
        # Whoever is beaten is beaten by one whom nobody beats.
        assert not by or front & set(by)


def test_the_front_by_hand() -> None:
    systems = [
        UNTUNED,
        system("good", dollars=2.0),
        system("dear", dollars=3.0),
        system("slow", dollars=2.0, total=1001.0),
        system("bad", dollars=1.5),
        system("best", dollars=9.0, total=1500.0, per_1000=0.02),
        system("twin", dollars=2.0),
    ]
    differences = {"good": 0.1, "dear": 0.1, "slow": 0.1, "bad": -0.1, "best": 0.2, "twin": 0.1}
    rows = {
        row.system: row
        for row in roi(systems, [gain(d, d - 0.05, d + 0.05, system=name) for name, d in differences.items()], FREE)
    }
    assert {name: row.dominated_by for name, row in rows.items()} == {
        "good": (), "dear": ("good", "twin"), "slow": ("good", "twin"), "bad": ("untuned",), "best": (), "twin": (),
    }  # fmt: skip
    assert {name for name, row in rows.items() if row.front} == {"good", "best", "twin"}


def test_a_system_without_a_cost_that_others_have_has_no_place() -> None:
    systems = [UNTUNED, system("good", dollars=2.0), system("hidden", dollars=0.5, serving=None)]
    rows = [gain(0.1, 0.05, 0.15, system="good"), gain(0.2, 0.15, 0.25, system="hidden")]
    good, hidden = roi(systems, rows, FREE)
    assert (good.front, hidden.front, hidden.dominated_by) == (True, False, ())
    assert "not all of its costs are known, so the Pareto front leaves it out" in hidden.reason
    assert "place" not in good.reason
    untimed = [info.model_copy(update={"serving": None}) for info in systems]
    assert [row.front for row in roi(untimed, rows, FREE)] == [False, True]


@pytest.mark.parametrize("name", ["normal", "no_op", "factorial", "several_seeds", "no_generator"])
def test_the_front_does_not_contradict_the_pictures_of_a_report(name: str) -> None:
    """Who stands alone on the front of a picture is beaten by nobody; who is beaten is beaten in every picture."""
    outcome: Outcome = getattr(combined if name == "factorial" else outcomes, name)()
    outcome = view(outcome).outcome
    found = roi(outcome.systems, outcome.comparisons, FREE)
    assert found
    rows = {(row.measure, _label(outcome, row)): row for row in found}
    for picture in scatters(view(outcome)):
        points = {point.system: point for point in picture.points}
        for label, point in points.items():
            if label == "untuned":
                continue
            row = rows[picture.measure, label]
            for other in row.dominated_by:
                assert points[other].gain >= point.gain
                assert points[other].cost <= point.cost
            alone = sum((each.gain, each.cost) == (point.gain, point.cost) for each in picture.points) == 1
            if point.front and alone:
                assert row.front


def _label(outcome: Outcome, row: Roi) -> str:
    (info,) = [info for info in outcome.systems if (info.name, info.seed) == (row.system, row.seed)]
    return info.label


def test_the_returns_of_a_usual_outcome() -> None:
    outcome = outcomes.normal()
    rows = roi(outcome.systems, outcome.comparisons, WORTH)
    names: Sequence[str] = ("bm25", "hybrid", "few-shot", "retriever", "retriever-judged")
    assert [(row.system, row.measure) for row in rows] == [
        (name, measure) for name in names for measure in outcomes.MARGINS
    ]
    retriever = next(row for row in rows if (row.system, row.measure) == ("retriever", "utility"))
    assert retriever.break_even == pytest.approx(retriever.build_dollars / (0.025 * 0.5), rel=1e-3)
    assert (retriever.break_even_high, retriever.reason) == (None, "it may never break even")


# ---- trainings and settings


def test_a_candidate_that_trains_nothing_has_ratios_like_any_other() -> None:
    late = system("late", dollars=0.0, role="candidate", changes=("reranker.kind=late-interaction",), total=1000.0)
    row = one(late, gain(0.1, 0.05, 0.2, system="late"), WORTH, best_untrained="late")
    assert (row.per_dollar, row.break_even, row.beyond) == (None, pytest.approx(0.0), None)
    assert "it has no build cost" in row.reason


@pytest.mark.parametrize(
    ("difference", "low", "high", "beyond", "said"),
    [
        (0.03, -0.01, 0.07, "inconclusive", "it is not shown to improve on late, which trains nothing"),
        (0.03, 0.01, 0.07, "improved", ""),
        (-0.06, -0.1, -0.02, "regressed", "it regressed against late, which trains nothing"),
        (0.0, -0.001, 0.001, "equivalent", "it is equivalent to late, which trains nothing"),
    ],
)
def test_a_training_pays_only_beyond_what_a_setting_gains(
    difference: float, low: float, high: float, beyond: str, said: str
) -> None:
    """Against `untuned` it gains the same; only against the best setting it does or does not."""
    tuned = system(dollars=4.0, role="candidate", tunes=("retriever",))
    rows = [gain(0.1, 0.05, 0.2), gain(difference, low, high, family="untrained")]
    (row,) = roi([UNTUNED, tuned], rows, WORTH, best_untrained="late")
    assert row.beyond == beyond
    assert (row.break_even is None) == bool(said)
    assert ("late, which trains nothing" in row.reason) == bool(said)
    assert said in row.reason
    assert row.per_dollar == pytest.approx(0.025)


def test_the_front_says_whose_training_a_setting_may_equal() -> None:
    base = combined.with_settings()
    rows = [
        row.model_copy(update={"verdict": "inconclusive"}) if row.family == "untrained" else row
        for row in base.comparisons
    ]
    found = tuple(roi(base.systems, rows, FREE, best_untrained=combined.LATE))
    (said, *_) = returned(base.model_copy(update={"roi": found})).sentences
    assert said.startswith("ndcg@10: on the Pareto front are bm25, late-interaction and staged (seed 0).")
    assert said.endswith(
        "Of the front, staged (seed 0) is not shown to improve on late-interaction, which trains nothing."
    )


def test_the_front_says_how_many_systems_it_leaves_out() -> None:
    base = combined.with_settings()
    found = roi(base.systems, base.comparisons, FREE, best_untrained=combined.LATE)
    first, *others = [row for row in found if row.measure == "ndcg@10"]
    placed = first.model_copy(update={"front": True, "dominated_by": (), "beyond": None})
    apart = [row.model_copy(update={"front": False, "dominated_by": ()}) for row in others]
    (said,) = returned(base.model_copy(update={"roi": (placed, *apart)})).sentences
    number = f"{len(apart)} systems are"
    assert said == f"ndcg@10: on the Pareto front is bm25. {number} left out: a cost is not known, or a time is noisy."
