"""How numbers, bounds and sentences are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report import format as fmt
from harness.report.model import Section, within
from harness.text import decimals

# ---- amounts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (0.0004, "<1 %"),
        (0.005, "<1 %"),
        (0.006, "1 %"),
        (0.351, "35 %"),
        (1.0, "100 %"),
        (None, decimals.NONE),
    ],
)
def test_percent(value: float | None, text: str) -> None:
    assert decimals.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (4.1234, "4.12"), (-0.012345, "-0.0123"), (123456.7, "123,457"), (1e-9, "<0.000001"),
     (-1e-9, ">-0.000001"), (float("inf"), decimals.NONE)],
)  # fmt: skip
def test_ratio(value: float, text: str) -> None:
    assert fmt.ratio(value) == text


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((0.012, 0.07), "[+0.012, +0.070]"),
        ((0.0004, 0.07), "[+0.0004, +0.070]"),
        ((4e-11, 0.07), "[above 0, +0.070]"),
        ((-1.231, -5.8e-10), "[-1.231, below 0]"),
        ((-1e-17, 0.07), "[+0.000, +0.070]"),
        ((-0.07, 1e-17), "[-0.070, +0.000]"),
        ((0.0, 0.0), "[+0.000, +0.000]"),
        ((None, 0.07), decimals.NONE),
    ],
)
def test_a_bound_beyond_zero_is_not_shown_as_zero(bounds: tuple[float | None, float | None], text: str) -> None:
    """The side of zero decides the verdict."""
    assert decimals.interval(*bounds) == text


@given(st.floats(-1, 1), st.floats(0, 1))
def test_an_interval_shows_zero_exactly_if_it_holds_zero(low: float, width: float) -> None:
    shown = decimals.interval(low, low + width)
    lower, upper = shown.strip("[]").split(", ")
    outside = lower == "above 0" or upper == "below 0" or float(lower) > 0 or float(upper) < 0
    assert outside == (low > 0 or low + width < 0), shown


@given(st.floats(1e-6, 1e12))
def test_a_ratio_keeps_three_digits_and_no_exponent(value: float) -> None:
    text = fmt.ratio(value)
    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [((4.0, 1.0, 7.0), f"4 (1{fmt.GLUE}to{fmt.GLUE}7)"), ((4.0, 1.0, None), "4 (at least 1)"),
     ((4.0, None, 7.0), "4 (at most 7)"), ((4.0, None, None), "4"), ((None, None, None), decimals.NONE)],
)  # fmt: skip
def test_a_number_between_bounds(bounds: tuple[float | None, float | None, float | None], text: str) -> None:
    assert fmt.cell_text(within(*bounds, "queries")) == text


@pytest.mark.parametrize(
    ("text", "shown_text"),
    [("tune it", "Tune it."), ("is it?", "Is it?"), ("ndcg@10 is low", "ndcg@10 is low."), ("", ""),
     ("exact_match: more", "exact_match: more."), ("right: all", "Right: all."), (" two\n lines ", "Two lines.")],
)  # fmt: skip
def test_sentence(text: str, shown_text: str) -> None:
    assert fmt.sentence(text) == shown_text


def test_a_section_that_says_nothing_is_none() -> None:
    assert not Section("s", "s", "s")
    assert Section("s", "s", "s", sentences=("a",))
