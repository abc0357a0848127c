"""The picture of gains: every mark stands where its number says, and says it."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import outcomes
import pytest
from pictures import clean, labels_of, marks_of
from test_report_html import CASES, each_case

from harness.report.charts.draw import draw
from harness.report.charts.outcome import PANELS, forests
from harness.report.charts.svg import SVG, XLINK
from harness.report.charts.values import Forest
from harness.report.content.comparisons import comparison_cell
from harness.report.format import cell_text
from harness.report.render.markdown import outcome_pictures
from harness.report.render.templates import source
from harness.report.view import view
from harness.values.findings import Outcome
from harness.values.systems import BOUNDS


def only(outcome: Outcome) -> Forest:
    (found,) = forests(view(outcome))
    return found


@each_case
def test_every_gain_of_the_tables_is_a_mark(case: str) -> None:
    outcome = CASES[case]()
    labels = {(one.name, one.seed): one.label for one in view(outcome).systems if one.name not in BOUNDS}
    rows = [row for row in outcome.comparisons if (row.system, row.seed) in labels]
    wanted = {f"{labels[row.system, row.seed]}: {row.measure} {cell_text(comparison_cell(row))}" for row in rows}
    assert wanted
    told = [str(label) for label in labels_of(ElementTree.fromstring(draw(only(outcome))))]
    assert len(told) == len(rows)
    assert set(told) == wanted


@each_case
def test_the_picture_is_clean_svg_and_the_same_each_time(case: str) -> None:
    found = only(CASES[case]())
    root = clean(found, "gains-")
    words = " ".join(text for element in root.iter() if (text := element.text) is not None)
    assert all(label in words for label in found.systems)
    assert all(panel.measure in words for panel in found.panels)


def test_marks_bars_and_margin_lie_on_the_scale_of_their_axis() -> None:
    outcome = outcomes.no_generator()
    found = only(outcome)
    (panel,) = found.panels
    root = ElementTree.fromstring(draw(found))
    # The scale, from the band of the margin around the line of no gain.
    (band,) = [one for one in root.iter(f"{{{SVG}}}path") if one.get("class") == "f-grid"]
    left, right = xs_of(band)
    middle, unit = (left + right) / 2, (right - left) / 2 / panel.margin
    uses = [next(mark.iter(f"{{{SVG}}}use")) for mark in marks_of(root)]
    assert all(use.get(f"{{{XLINK}}}href") for use in uses)
    places = [(float(str(use.get("x"))) - middle) / unit for use in uses]
    assert places == pytest.approx([mark.gain for mark in panel.marks if mark], abs=1e-4)
    bars = [one for one in root.iter(f"{{{SVG}}}path") if one.get("stroke-width") == "1.75"]
    ends = [tuple((x - middle) / unit for x in xs_of(bar)) for bar in bars]
    wanted = [(mark.low, mark.high) for mark in panel.marks if mark]
    assert [end for pair in ends for end in pair] == pytest.approx([end for pair in wanted for end in pair], abs=1e-4)


def xs_of(path: Element) -> tuple[float, float]:
    xs = [float(x) for x, _ in re.findall(r"[ML] (\S+) (\S+)", str(path.get("d")))]
    return min(xs), max(xs)


def test_a_gain_that_could_not_be_had_says_so_and_widens_nothing() -> None:
    outcome = outcomes.failed_candidate()
    text = draw(only(outcome))
    (failed, *_) = [mark for mark in marks_of(ElementTree.fromstring(text)) if "failed" in str(mark.get("aria-label"))]
    assert [one.text for one in failed.iter(f"{{{SVG}}}text")] == ["failed"]
    nan = float("nan")
    rows = tuple(
        row.model_copy(update={"difference": nan, "low": nan, "high": nan, "verdict": "failed"})
        for row in outcome.comparisons
    )
    assert "nan" not in draw(only(outcome.model_copy(update={"comparisons": rows})))


def test_the_words_for_the_picture_name_who_improved_and_who_regressed() -> None:
    base = outcomes.normal()
    worse = {"difference": -0.1, "low": -0.2, "high": -0.05, "verdict": "regressed"}
    rows = tuple(
        row.model_copy(update=worse) if (row.system, row.measure) == ("bm25", "ndcg@10") else row
        for row in base.comparisons
    )
    assert only(base.model_copy(update={"comparisons": rows})).description == (
        "Gains over untuned with simultaneous intervals. ndcg@10: hybrid and retriever improved; bm25 "
        "regressed. utility: none improved or regressed."
    )


def test_a_long_name_keeps_its_seed() -> None:
    base = outcomes.normal()
    long = "retriever-" * 8
    changed = base.model_copy(
        update={
            "systems": tuple(
                info.model_copy(update={"name": long, "seed": 12}) if info.name == "retriever" else info
                for info in base.systems
            ),
            "comparisons": tuple(
                row.model_copy(update={"system": long, "seed": 12}) if row.system == "retriever" else row
                for row in base.comparisons
            ),
        }
    )
    assert "\N{HORIZONTAL ELLIPSIS}" in draw(only(changed))
    assert "(seed 12)</text>" in draw(only(changed))


def test_many_measures_are_drawn_in_several_pictures() -> None:
    base = outcomes.no_generator()
    names = [f"ndcg@{cutoff}" for cutoff in range(1, PANELS + 2)]
    rows = tuple(row.model_copy(update={"measure": name}) for name in names for row in base.comparisons)
    changed = base.model_copy(update={"measures": tuple(names), "comparisons": rows})
    found = forests(view(changed))
    assert [one.name for one in found] == ["gains", "gains-2"]
    assert [[panel.measure for panel in one.panels] for one in found] == [names[:PANELS], names[PANELS:]]


def test_without_a_comparison_there_is_no_picture() -> None:
    base = outcomes.normal()
    assert forests(view(base.model_copy(update={"comparisons": ()}))) == ()


def test_it_is_the_first_picture_beside_the_text_and_stands_alone() -> None:
    first, *others = outcome_pictures(outcomes.normal(), "charts")
    assert first.path == "charts/gains.svg"
    assert first.svg == draw(only(outcomes.normal()), source("chart.css"))
    assert "prefers-color-scheme: dark" in first.svg
    assert others
