"""The pictures of a diagnosis and of a learning curve: every mark stands where its number says."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import diagnosed as built
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import clean, labels_of
from test_report_diagnosis import SVG, on_terminal

from harness.report import format as fmt
from harness.report.charts import bars as drawing
from harness.report.charts import diagnosis as charts
from harness.report.charts.bars import LONGEST
from harness.report.charts.draw import draw
from harness.report.charts.values import Bar, Bars, Dot, LineChart
from harness.report.content import loss
from harness.values.insights import Funnel, FunnelPlace

# ---- funnel, headroom, curves

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any)


@given(counts)
@settings(max_examples=25)
def test_the_steps_of_a_funnel_follow_each_other_and_add_up_to_the_whole(numbers: list[int]) -> None:
    total = sum(numbers)
    names = ("not in the pool", "not in the context", "in the context")
    places = tuple(
        FunnelPlace(name=name, population="answerable", count=number, share=number / total, low=0.0, high=1.0)
        for name, number in zip(names, numbers, strict=True)
    )
    funnel = Funnel(kind="retrieval", system="untuned", rule="", depth=9, context=3, groups=4, places=places)
    (picture,) = charts.funnel_pictures(built.diagnosis(funnels=(funnel,)))
    ((heading, bars),) = picture.groups
    assert heading == fmt.counted(total, "judged query", "judged queries")
    assert bars[0].start == 0
    assert [bar.end for bar in bars[:-1]] == [bar.start for bar in bars[1:]]
    assert bars[-1].end == pytest.approx(1)


def test_places_are_coloured_by_whether_and_where_a_question_is_lost() -> None:
    answers, retrieval = charts.funnel_pictures(built.diagnosis())
    tones = {bar.name: bar.tone for _, bars in (*answers.groups, *retrieval.groups) for bar in bars}
    assert {label for label, tone in tones.items() if tone == "improved"} == {
        "right", "in the context", "correctly abstained",
    }  # fmt: skip
    assert tones["not in the pool"] == tones["not in the context"] == "front"
    assert tones["abstained"] == "inconclusive"


def test_bounds_and_estimates_are_drawn_apart_and_what_is_not_known_is_left_out() -> None:
    by_name = {picture.name: picture for picture in charts.oracle_pictures(built.diagnosis())}
    bars = {name: [bar for _, bars in picture.groups for bar in bars] for name, picture in by_name.items()}
    assert [bar.name for bar in bars["oracle-gains-ndcg-10"]] == ["oracle retriever", "oracle reranker"]
    assert not any(bar.hollow for bar in bars["oracle-gains-ndcg-10"])
    assert all(bar.hollow for bar in bars["oracle-gains-exact-match"])
    assert "not computed" in on_terminal(built.diagnosis())
    assert "ndcg@10 with an oracle generator: a generator changes no ranks." in on_terminal(built.diagnosis())


def test_measures_that_do_not_decide_are_folded_and_not_drawn() -> None:
    diagnosis = built.diagnosis(measures=("utility",))
    section = loss.oracle_gains(diagnosis)
    assert {fmt.cell_text(row[0]) for row in section.tables[0].rows} == {"utility"}
    assert {fmt.cell_text(row[0]) for row in section.in_full[0].rows} == {"ndcg@10", "exact_match"}
    assert [picture.name for picture in charts.oracle_pictures(diagnosis)] == ["oracle-gains-utility"]
    assert "hold for all 11 oracle gains" in section.tables[0].caption


def test_the_present_setting_is_marked_in_curve_and_table() -> None:
    depth, context = charts.curve_pictures(built.diagnosis())
    assert [dot.tick for dot in depth.dots if dot.now] == ["100"]
    assert [dot.tick for dot in context.dots if dot.now] == ["3"]
    texts = [fmt.cell_text(row[0]) for table in loss.curves(built.diagnosis()).in_full for row in table.rows]
    assert [text for text in texts if "now" in text] == ["100 (now)", "3 (now)"]


def test_of_many_answer_measures_only_those_that_decide_are_drawn() -> None:
    depth, context = built.curves()
    others = tuple(context.model_copy(update={"measure": name}) for name in ("token_f1", "utility"))
    many = built.diagnosis(curves=(depth, context, *others))
    names = [one.name for one in charts.curve_pictures(many)]
    assert names == ["curve-depth-recall", "curve-context-exact-match", "curve-context-utility"]
    unknown = built.diagnosis(curves=(depth, others[0]), measures=("ndcg@10",))
    assert len(charts.curve_pictures(unknown)) == 2


PICTURES = {
    **{one.name: one for one in charts.diagnosis_charts(built.diagnosis())},
    **{one.name: one for one in charts.learning_charts(built.curve())},
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_clean_svg_with_every_mark_named(name: str) -> None:
    picture = PICTURES[name]
    root = clean(picture, picture.name)
    assert labels_of(root) == picture.marks
    painted = [element for element in root.iter() if element.get("fill", "none") not in ("none",) and element.get("d")]
    assert all((element.get("class") or "").startswith(("f-", "s-")) for element in painted)


def test_bars_lie_where_their_numbers_say() -> None:
    """Read back from the drawing, by the scale that two known bars give."""
    bars = (
        Bar("a", 0.0, 0.25, "front", "", "a"), Bar("b", 0.25, 0.75, "improved", "", "b"),
        Bar("c", 0.75, 0.75, "muted", "", "none"), Bar("d", 0.75, 1.0, "regressed", "", "d"),
    )  # fmt: skip
    root = ElementTree.fromstring(draw(Bars("funnel", "s", "t", (("", bars),), shares=True)))
    found = []
    for group in root.iter(f"{SVG}g"):
        if group.get("class") == "mark":
            (path,) = group.iter(f"{SVG}path")
            xs = [float(x) for x in re.findall(r"[ML] ([\d.]+)", path.get("d") or "")]
            found.append((min(xs), max(xs)))
    width = drawing.WIDTH - drawing.LEFT - drawing.RIGHT
    assert len(found) == 3
    for (left, right), bar in zip(found, (bars[0], bars[1], bars[3]), strict=True):
        assert (left - drawing.LEFT) / width == pytest.approx(bar.start, abs=1e-3)
        assert (right - drawing.LEFT) / width == pytest.approx(bar.end, abs=1e-3)


def test_a_curve_over_orders_of_magnitude_has_few_ticks_and_shows_where_things_stand() -> None:
    dots = tuple(Dot(at, 0.5, None, None, str(at), str(at), now=at == 90) for at in (1, 2, 3, 5, 10, 50, 90, 100, 500))
    root = ElementTree.fromstring(draw(LineChart("curve", "s", "recall", "depth", dots)))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "depth, log scale" in texts
    assert "90" in texts
    assert "now" in texts
    assert "100" not in texts
    assert len([text for text in texts if text and text.isdigit()]) < 9


def test_long_names_in_a_picture_are_cut() -> None:
    bar = Bar("x" * 60, 0.0, 0.5, "front", "1", "told")
    root = ElementTree.fromstring(draw(Bars("n", "s", "t", (("", (bar,)),))))
    names = [text.text for text in root.iter(f"{SVG}text") if "x" in (text.text or "")]
    assert names == ["x" * (LONGEST - 1) + "…"]
