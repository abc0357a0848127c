"""What people see of a diagnosis, of a curve, and of what came after: snapshots, and what must hold of any."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import diagnosed as built
import explored
import outcomes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from syrupy.assertion import SnapshotAssertion
from test_report import table_blocks
from test_report_html import Page, squeezed

from harness import report
from harness.report import advice, aftermath, amounts, diagnosis_pictures, elsewhere, figures, loss, plots
from harness.report.contents import contents
from harness.report.diagnosis import diagnosed
from harness.report.html import render_html
from harness.report.insight_files import (
    diagnosis_pictures_of,
    growth_pictures_of,
    render_diagnosis_html,
    render_diagnosis_markdown,
    render_growth_markdown,
)
from harness.report.learning_curve import grown, growth_pictures
from harness.report.markdown import escaped, pictures_of, render_markdown
from harness.report.plots import LONGEST, Bar, Bars, Dot, Line, draw
from harness.report.sections import Section
from harness.report.terminal import print_section, render, render_diagnosis, render_learning_curve
from harness.report.view import view
from harness.values.findings import Outcome
from harness.values.frozen import Frozen
from harness.values.insights import Diagnosis, Funnel, LearningCurve, Place, Prediction

CASES: dict[str, Callable[[], Diagnosis]] = {
    "whole": built.diagnosis,
    "retrieval_only": built.retrieval_only,
    "nothing_lost": built.nothing_lost,
    "too_small": built.too_small,
    "empty": built.empty,
}
FOLDER = Path(".harness/diagnoses/covidqa/1")
each_case = pytest.mark.parametrize("case", CASES)
SVG = "{http://www.w3.org/2000/svg}"


def shown(print_it: Callable[[Console], None], width: int = 120) -> str:
    console = Console(file=io.StringIO(), record=True, width=width, force_terminal=False, color_system=None)
    print_it(console)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def on_terminal(diagnosis: Diagnosis, width: int = 120, verbose: bool = False) -> str:
    return shown(lambda console: render_diagnosis(diagnosis, console, verbose, FOLDER), width)


def markdown(diagnosis: Diagnosis) -> str:
    return render_diagnosis_markdown(diagnosis, diagnosis_pictures_of(diagnosis, "charts"))


@cache
def markdown_of(case: str) -> str:
    return markdown(CASES[case]())


@cache
def page_of(case: str) -> str:
    return render_diagnosis_html(CASES[case]())


def words_of(sections: Any) -> list[str]:
    """Every text of some sections, but for captions."""
    found = []
    for section in sections:
        found += [section.title, *section.told]
        found += [cell.text for table in (*section.tables, *section.in_full) for row in table.rows for cell in row]
        found += [text for item in section.items for _, lines in item.lines for text in (item.title, *lines)]
    return found


# ---- a diagnosis as it is shown


@each_case
@pytest.mark.parametrize("width", [120, 80])
def test_terminal(case: str, width: int, snapshot: SnapshotAssertion) -> None:
    assert on_terminal(CASES[case](), width) == snapshot


def test_terminal_verbose(snapshot: SnapshotAssertion) -> None:
    assert on_terminal(built.diagnosis(), verbose=True) == snapshot


@each_case
def test_markdown(case: str, snapshot: SnapshotAssertion) -> None:
    assert markdown_of(case) == snapshot


@each_case
@pytest.mark.parametrize("width", [120, 80, 60])
def test_no_line_is_wider_than_the_terminal(case: str, width: int) -> None:
    lines = on_terminal(CASES[case](), width, verbose=True).splitlines()
    assert [line for line in lines if len(line) > width] == []


def whole_tables(text: str) -> None:
    blocks = table_blocks(text)
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1, block[0]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert sum(token.type == "table_open" for token in tokens) == len(blocks)


@each_case
def test_markdown_tables_are_whole(case: str) -> None:
    whole_tables(markdown_of(case))


@each_case
def test_terminal_markdown_and_page_show_the_same_words(case: str) -> None:
    diagnosis = CASES[case]()
    page = squeezed(Page(page_of(case)).words)
    text, wide = markdown_of(case), squeezed(on_terminal(diagnosis, 600, verbose=True))
    made = diagnosed(diagnosis)
    for one in (*words_of(made.sections), made.lede.first, *made.lede.rest, *made.warnings):
        assert escaped(one) in text, one
        assert squeezed(one) in page or all(squeezed(part) in page for part in one.split()), one
        assert squeezed(one) in wide, one


def test_the_sections_stand_in_the_order_of_a_readers_questions() -> None:
    ids = re.findall(r'<section id="(\w+)"', page_of("whole"))
    assert ids == ["answer", "advice", "funnel", "oracle_gains", "curves", "costs", "signs", "data", "suite"]


@each_case
def test_the_page_names_nothing_outside_itself_and_runs_only_its_own_script(case: str) -> None:
    text = page_of(case)
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
        assert not [one for one in attributes if one.startswith("on") or one in ("style", "src", "srcset", "action")]
        assert all((value or "").startswith("#") for name, value in attributes.items() if name.endswith("href"))
    policy = next(one["content"] or "" for _, one in page.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("of", ["diagnosis", "outcome"])
def test_ids_are_used_once_and_labels_point_to_ids(of: str, page: str) -> None:
    text = page if of == "outcome" else page_of("whole")
    tags = Page(text).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for name in ("aria-labelledby", "aria-controls"):
            assert attributes.get(name) is None or attributes[name] in ids
        if (attributes.get("href") or "").startswith("#") and "xlink:href" not in attributes:
            assert (attributes["href"] or "")[1:] in ids


def test_hostile_text_becomes_no_element_and_no_order_to_the_terminal() -> None:
    hostile = built.hostile(explored.ATTACKS)
    text = render_diagnosis_html(hostile)
    page, tame = Page(text), Page(page_of("whole"))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in tame.tags}
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert squeezed(explored.ATTACKS[0]) in squeezed(page.words)
    on_screen, written = on_terminal(hostile, verbose=True), markdown(hostile)
    for one in (text, on_screen, written):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u2066]", one)


@pytest.mark.parametrize(
    "text",
    ["[a](https://example.org)", "![a](https://example.org/a.png)", "[a]: https://example.org",
     *explored.ATTACKS],
)  # fmt: skip
def test_text_becomes_no_link_no_picture_and_no_tag_of_markdown(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"[a]\n\n{escaped(text)}\n\n- {escaped(text)}\n")
    inner = [one.type for token in tokens for one in token.children or ()]
    assert not {"link_open", "image", "html_inline"}.intersection(inner)
    assert inner.count("text") >= 2


def test_hostile_text_becomes_no_link_and_no_tag_of_markdown() -> None:
    text = markdown(built.hostile(explored.ATTACKS))
    whole_tables(text)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inner = [one for token in tokens for one in token.children or ()]
    assert [one for one in inner if one.type in ("link_open", "html_inline")] == []
    assert {one.attrs["src"] for one in inner if one.type == "image"} == {
        file.path for file in diagnosis_pictures_of(built.diagnosis(), "charts")
    }


def with_nan(value: Any) -> Any:
    """A value in which every float is a NaN."""
    if isinstance(value, Frozen):
        return value.model_copy(update={name: with_nan(getattr(value, name)) for name in type(value).model_fields})
    if isinstance(value, tuple):
        return tuple(map(with_nan, value))
    if isinstance(value, dict):
        return {key: with_nan(item) for key, item in value.items()}
    return float("nan") if isinstance(value, float) else value


def test_no_nan_is_shown() -> None:
    diagnosis, curve = with_nan(built.diagnosis(spec={})), with_nan(built.curve())
    texts = [on_terminal(diagnosis, verbose=True), markdown(diagnosis), render_diagnosis_html(diagnosis)]
    texts += [shown(lambda console: render_learning_curve(curve, console)), render_growth_markdown(curve)]
    sections = aftermath.sections(view(with_nan(built.outcome())))
    texts += [shown(lambda console: [print_section(one, console, True) for one in sections] and None)]
    for text in texts:
        assert not re.search(r"\b(nan|NaN|None|inf)\b", re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL))


# ---- the answer


def lede(diagnosis: Diagnosis) -> str:
    said = advice.lede(diagnosis)
    return " ".join((said.first, *said.rest))


def test_the_answer_says_where_what_first_what_it_buys_what_it_costs_and_how_sure() -> None:
    said = advice.lede(built.diagnosis())
    assert said.first == (
        "The largest loss is in the generator: 31 of 88 answerable questions (35 % [25, 46]) were answered wrongly "
        "with a relevant passage in the context."
    )
    assert said.rest[1] == "Do first: Tune the generator."
    assert "about +0.425 [+0.312, +0.538] in exact_match and about +0.859" in said.rest[2]
    assert said.rest[3] == (
        "Making the candidate generator would take about 39 min 17 s ($0.033), of which 37 min 40 s are not in the "
        "store yet, with the speed of tune_generator guessed; a query would take no longer than now."
    )
    assert "172 judged questions in 74 groups of the split dev; the answers are those to 100 questions" in said.rest[4]


def test_a_bound_is_said_to_be_at_most_and_added_time_is_told() -> None:
    text = lede(built.retrieval_only())
    assert "It could buy at most +0.350 [+0.294, +0.406] in ndcg@10." in text
    assert "a query would take 412 ms longer (p95)" in text
    assert "55 of 172 judged questions (32 % [24, 40]) have a relevant document in the pool, but none in" in text
    assert "answers are those" not in text


def test_what_is_advised_against_is_not_done_first() -> None:
    rows = tuple(row.model_copy(update={"against": True}) for row in built.advice())
    assert "No rule advises to do anything about it." in lede(built.diagnosis(advice=rows))
    first, *_ = rows
    assert "Do first: Add and tune a reranker." in lede(built.diagnosis(advice=(first, *built.advice()[1:])))


def test_to_measure_better_comes_before_what_was_measured() -> None:
    said = advice.lede(built.too_small())
    assert said.tone == "inconclusive"
    assert said.first == "Do first: Ask more questions: this split is too small to tell."
    assert "It needs no training." in said.rest[0]
    assert said.rest[1].startswith("The largest loss is in the generator")
    assert diagnosed(built.too_small()).warnings[0].startswith("Only 9 groups of questions, under 20")


def test_where_nothing_is_lost_nothing_is_called_a_loss() -> None:
    assert advice.lede(built.nothing_lost()).first == "Nothing is lost: all 40 questions end where they should."
    assert advice.lede(built.empty()).first == "Nothing was counted: there are no questions to look at."


@pytest.mark.parametrize("name", [name for name, *_ in built.ANSWERED if name != "right"])
def test_the_largest_loss_is_named_wherever_it_is(name: str) -> None:
    retrieval, answers = built.funnels()
    places = tuple(row.model_copy(update={"count": 500}) if row.name == name else row for row in answers.places)
    said = advice.lede(built.diagnosis(funnels=(retrieval, answers.model_copy(update={"places": places}))))
    if name == "abstained":  # which is right for an unanswerable question
        assert "got no answer with a relevant passage" in said.first
    assert said.first.startswith(f"The largest loss is {advice.WHERE[name]}: 500 of ")


def test_candidates_without_a_quote_and_other_measures_are_told_as_they_are() -> None:
    first = built.advice()[0].model_copy(update={"estimate": None})
    assert "Making" not in lede(built.diagnosis(advice=(first,)))
    assert "It needs no training" not in lede(built.diagnosis(advice=(first,)))
    only = built.diagnosis(advice=built.advice()[1:2], measures=("utility",))
    assert "at most +0.350" in lede(only)
    columns = [column.name for column in advice.advice(only).tables[0].columns]
    assert columns == ["rank", "action", "kind", "ndcg@10", "exact_match", "one-time cost", "added per query"]


@pytest.mark.parametrize(
    ("changes", "said", "cell"),
    [
        ({"added_p95_ms": None}, "what it adds to a query is not known", figures.NONE),
        (
            {"added_p95_ms": -5.0, "added_dollars_per_1000": -0.01},
            "a query would take 5.0 ms less (p95)",
            "-5.0 ms, -$0.010",
        ),
    ],
)
def test_what_a_candidate_adds_to_a_query(changes: dict[str, Any], said: str, cell: str) -> None:
    row = built.advice()[0]
    assert row.estimate is not None
    changed = built.diagnosis(advice=(row.model_copy(update={"estimate": row.estimate.model_copy(update=changes)}),))
    assert said in lede(changed)
    assert advice.advice(changed).tables[0].rows[0][-1].text == cell


# ---- funnel, headroom, curves

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any)


@given(counts)
@settings(max_examples=25)
def test_the_steps_of_a_funnel_follow_each_other_and_add_up_to_the_whole(numbers: list[int]) -> None:
    total = sum(numbers)
    names = ("not in the pool", "not in the context", "in the context")
    places = tuple(
        Place(name=name, population="answerable", count=number, share=number / total, low=0.0, high=1.0)
        for name, number in zip(names, numbers, strict=True)
    )
    funnel = Funnel(kind="retrieval", system="untuned", rule="", depth=9, context=3, groups=4, places=places)
    (picture,) = diagnosis_pictures.funnel_pictures(built.diagnosis(funnels=(funnel,)))
    ((heading, bars),) = picture.groups
    assert heading == figures.counted(total, "judged question")
    assert bars[0].start == 0
    assert [bar.end for bar in bars[:-1]] == [bar.start for bar in bars[1:]]
    assert bars[-1].end == pytest.approx(1)


def test_places_are_coloured_by_whether_and_where_a_question_is_lost() -> None:
    answers, retrieval = diagnosis_pictures.funnel_pictures(built.diagnosis())
    tones = {bar.label: bar.tone for _, bars in (*answers.groups, *retrieval.groups) for bar in bars}
    assert {label for label, tone in tones.items() if tone == "improved"} == {
        "right", "in the context", "abstained, rightly",
    }  # fmt: skip
    assert tones["not in the pool"] == tones["not in the context"] == "front"
    assert tones["abstained"] == "inconclusive"


def test_right_answers_without_a_passage_are_told() -> None:
    text = on_terminal(built.diagnosis())
    assert "1 answer with the right content came without any relevant passage" in text
    assert "right answer came without" not in on_terminal(built.nothing_lost())


def test_long_ids_are_cut() -> None:
    place = Place(name="right", population="answerable", count=1, share=1.0, low=1.0, high=1.0, examples=("q" * 99,))
    funnel = built.funnels()[1].model_copy(update={"places": (place,)})
    cells = loss.funnel(built.diagnosis(funnels=(funnel,))).tables[0].rows[0]
    assert cells[-1].text == "q" * loss.LONGEST_ID + "…"


def test_bounds_and_estimates_are_drawn_apart_and_what_is_not_known_is_left_out() -> None:
    by_name = {picture.name: picture for picture in diagnosis_pictures.headroom_pictures(built.diagnosis())}
    bars = {name: [bar for _, bars in picture.groups for bar in bars] for name, picture in by_name.items()}
    assert [bar.label for bar in bars["headroom-ndcg-10"]] == ["oracle retriever", "oracle reranker"]
    assert not any(bar.hollow for bar in bars["headroom-ndcg-10"])
    assert all(bar.hollow for bar in bars["headroom-exact-match"])
    assert "not computed" in on_terminal(built.diagnosis())
    assert "ndcg@10 with an oracle generator: a generator changes no ranks." in on_terminal(built.diagnosis())


def test_measures_that_do_not_decide_are_folded_and_not_drawn() -> None:
    diagnosis = built.diagnosis(measures=("utility",))
    section = loss.oracle_gains(diagnosis)
    assert {row[0].text for row in section.tables[0].rows} == {"utility"}
    assert {row[0].text for row in section.in_full[0].rows} == {"ndcg@10", "exact_match"}
    assert [picture.name for picture in diagnosis_pictures.headroom_pictures(diagnosis)] == ["headroom-utility"]
    assert "hold for all 11 figures of headroom" in section.tables[0].caption


def test_the_present_setting_is_marked_in_curve_and_table() -> None:
    depth, context = diagnosis_pictures.curve_pictures(built.diagnosis())
    assert [dot.tick for dot in depth.dots if dot.now] == ["100"]
    assert [dot.tick for dot in context.dots if dot.now] == ["3"]
    texts = [row[0].text for table in loss.curves(built.diagnosis()).in_full for row in table.rows]
    assert [text for text in texts if "now" in text] == ["100 (now)", "3 (now)"]


def test_of_many_answer_measures_only_those_that_decide_are_drawn() -> None:
    depth, context = built.curves()
    others = tuple(context.model_copy(update={"measure": name}) for name in ("token_f1", "utility"))
    many = built.diagnosis(curves=(depth, context, *others))
    names = [one.name for one in diagnosis_pictures.curve_pictures(many)]
    assert names == ["curve-depth-recall", "curve-context-exact-match", "curve-context-utility"]
    unknown = built.diagnosis(curves=(depth, others[0]), measures=("ndcg@10",))
    assert len(diagnosis_pictures.curve_pictures(unknown)) == 2


PICTURES = {
    **{one.name: one for one in diagnosis_pictures.pictures(built.diagnosis())},
    **{one.name: one for one in growth_pictures(built.curve())},
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_clean_svg_with_every_mark_named(name: str) -> None:
    picture = PICTURES[name]
    text = draw(picture)
    assert text == draw(picture)
    assert "style" not in text
    root = ElementTree.fromstring(text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(one and one.startswith(picture.name) for one in ids)
    marks = [element.get("aria-label") for element in root.iter() if element.get("class") == "mark"]
    told = [dot.told for dot in picture.dots] if isinstance(picture, Line) else [
        bar.told for _, bars in picture.groups for bar in bars
    ]  # fmt: skip
    assert marks == told
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
    width = plots.WIDTH - plots.LEFT - plots.RIGHT
    assert len(found) == 3
    for (left, right), bar in zip(found, (bars[0], bars[1], bars[3]), strict=True):
        assert (left - plots.LEFT) / width == pytest.approx(bar.start, abs=1e-3)
        assert (right - plots.LEFT) / width == pytest.approx(bar.end, abs=1e-3)


def test_a_curve_over_orders_of_magnitude_has_few_ticks_and_shows_where_things_stand() -> None:
    dots = tuple(Dot(at, 0.5, None, None, str(at), str(at), now=at == 90) for at in (1, 2, 3, 5, 10, 50, 90, 100, 500))
    root = ElementTree.fromstring(draw(Line("curve", "s", "recall", "depth", dots)))
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


# ---- files


def test_a_diagnosis_is_written_with_its_pictures_beside_it(tmp_path: Path) -> None:
    written = report.write_diagnosis(built.diagnosis(), tmp_path / "new")
    names = [path.relative_to(tmp_path / "new").as_posix() for path in written]
    assert names[:2] == ["diagnosis.md", "diagnosis.html"]
    text = written[0].read_text(encoding="utf-8")
    assert re.findall(r"^!\[.+\]\((.+)\)$", text, flags=re.MULTILINE) == names[2:]
    for path in written[2:]:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        assert root.get("width")
        assert "prefers-color-scheme: dark" in (root.findtext(f"{SVG}style") or "")
    report.write_diagnosis(built.empty(), tmp_path / "empty")
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"diagnosis.md", "diagnosis.html"}


def test_a_growth_is_written_with_its_pictures_beside_it(tmp_path: Path) -> None:
    written = report.write_learning_curve(built.curve(), tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in written]
    assert names == ["curve.md", "charts/growth-ndcg-10.svg", "charts/growth-utility.svg"]
    text = written[0].read_text(encoding="utf-8")
    assert re.findall(r"^!\[.+\]\((.+)\)$", text, flags=re.MULTILINE) == names[1:]


def test_the_report_of_an_outcome_shows_its_pictures_where_they_belong(tmp_path: Path) -> None:
    written = report.write_reports(built.outcome(), tmp_path)
    text = written[0].read_text(encoding="utf-8")
    assert [tmp_path / path for path in re.findall(r"^!\[.+\]\((.+)\)$", text, flags=re.MULTILINE)] == written[2:]
    _, after = text.split("## Where the loss was")
    inside, rest = after.split("## What the advice was worth")
    names = [one.name for one in diagnosis_pictures.before(built.outcome())]
    assert re.findall(r"^!\[.+\]\(charts/(.+)\.svg\)$", inside, flags=re.MULTILINE) == names
    assert "![" not in rest


# ---- what came after


def after(outcome: Outcome, verbose: bool = True, width: int = 120) -> str:
    sections = contents(outcome).after
    return shown(lambda console: [print_section(one, console, verbose) for one in sections] and None, width)


@pytest.mark.parametrize("verbose", [True, False])
def test_aftermath_on_a_terminal(verbose: bool, snapshot: SnapshotAssertion) -> None:
    assert after(built.outcome(), verbose) == snapshot


def test_aftermath_in_markdown(snapshot: SnapshotAssertion) -> None:
    text = render_markdown(built.outcome(), pictures_of(built.outcome(), "charts"))
    begins, ends = (text.index(title) for title in ("## What the gains return", "## Tuning several parts"))
    assert text[begins:ends] == snapshot
    whole_tables(text)


@pytest.mark.parametrize("width", [120, 80, 60])
def test_no_line_of_the_aftermath_is_wider_than_the_terminal(width: int) -> None:
    assert [line for line in after(built.outcome(), width=width).splitlines() if len(line) > width] == []


def test_an_outcome_without_an_aftermath_shows_nothing_of_it() -> None:
    plain = outcomes.factorial()
    assert contents(plain).after == ()
    assert elsewhere.cautions(view(plain)) == ()
    ids = re.findall(r'<section id="(\w+)"', render_html(plain))
    assert ids == ["answer", "systems", "cost", "interactions", "verdicts", "ledger", "queries", "data", "reading"]


@pytest.mark.parametrize("field", ["diagnosis", "predictions", "roi", "slices", "forgotten"])
def test_what_is_empty_has_no_section(field: str) -> None:
    slugs = {"diagnosis": "loss", "predictions": "worth", "roi": "roi", "slices": "slices",
             "forgotten": "forgetting"}  # fmt: skip
    every = [section.slug for section in contents(built.outcome()).after]
    assert every == ["roi", "loss", "worth", "slices", "forgetting"]
    less = built.outcome(**{field: None if field == "diagnosis" else ()})
    assert [section.slug for section in contents(less).after] == [one for one in every if one != slugs[field]]


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(built.outcome())


def test_the_page_has_the_sections_in_the_order_of_a_readers_questions(page: str) -> None:
    ids = re.findall(r'<section id="(\w+)"', page)
    assert ids == [
        "answer", "systems", "cost", "roi", "loss", "worth", "slices", "forgetting", "interactions", "verdicts",
        "ledger", "queries", "data", "reading",
    ]  # fmt: skip


def test_the_page_shows_every_word_of_the_aftermath(page: str) -> None:
    outcome = built.outcome()
    words = squeezed(Page(page).words)
    text = render_markdown(outcome)
    for one in words_of(contents(outcome).after):
        assert squeezed(one) in words or all(squeezed(part) in words for part in one.split()), one
        assert escaped(one) in text, one


def test_a_winner_on_average_that_loses_a_slice_is_said_so_at_once() -> None:
    said = (
        "On ndcg@10, retriever (seed 0) wins on average (+0.040), but loses the slice query kind: keyword (-0.061 "
        "[-0.102, -0.021] on 58 queries)."
    )
    made = contents(built.outcome())
    assert made.warnings[0] == said
    (slices,) = (section for section in made.after if section.slug == "slices")
    assert slices.told == (said,)
    assert slices.tables[0].rows[0][1].text == "query kind: keyword"
    assert {row[4].tone for row in slices.tables[0].rows} == {"improved", "regressed"}
    assert len(slices.in_full[0].rows) == len(built.outcome().slices)


def test_a_loser_on_average_is_not_said_to_win() -> None:
    lost = tuple(row.model_copy(update={"verdict": "inconclusive"}) for row in built.outcome().comparisons)
    (said, *_) = contents(built.outcome(comparisons=lost)).warnings
    assert said.startswith("On ndcg@10, retriever (seed 0) loses the slice query kind: keyword")


def test_where_no_slice_tells_anything_there_is_no_first_table() -> None:
    rows = tuple(row.model_copy(update={"verdict": "inconclusive"}) for row in built.slices())
    (section,) = (one for one in contents(built.outcome(slices=rows)).after if one.slug == "slices")
    assert section.tables == ()
    assert section.told == ("No slice is surely lost by anyone, as far as this test set can tell.",)


def test_many_losses_are_named_and_counted() -> None:
    (lost,) = (row for row in built.slices() if row.verdict == "regressed")
    many = tuple(lost.model_copy(update={"value": f"v{number}"}) for number in range(7))
    (said,) = elsewhere.cautions(view(built.outcome(slices=many, forgotten=())))
    assert "loses the slices query kind: v0" in said
    assert said.endswith("query kind: v2 (-0.061 [-0.102, -0.021] on 58 queries) and 4 more.")
    systems = tuple(lost.model_copy(update={"system": f"s{number}"}) for number in range(11))
    told = elsewhere.cautions(view(built.outcome(slices=systems, forgotten=())))
    assert len(told) == elsewhere.MOST_TOLD + 1
    assert told[-1] == "3 more of this kind: see Slices and forgetting."


def test_what_is_forgotten_is_said_and_what_is_not_claims_no_more_than_it_may() -> None:
    (section,) = (one for one in contents(built.outcome()).after if one.slug == "forgetting")
    assert section.told == (
        "retriever (seed 0) got worse elsewhere: ndcg@10 on scifact (test) changed by -0.049 [-0.081, -0.017].",
    )
    kept = built.outcome(forgotten=built.forgotten()[1:])
    (section,) = (one for one in contents(kept).after if one.slug == "forgetting")
    assert section.told[0].startswith("Nothing is surely forgotten on scifact (test); only 'equivalent'")


def test_predictions_stand_in_the_order_of_the_advice() -> None:
    (section,) = (one for one in contents(built.outcome()).after if one.slug == "worth")
    ndcg, utility, costs = section.tables
    assert [row[0].text for row in ndcg.rows] == ["1", "2", "5, against", *4 * [figures.NONE]]
    assert ndcg.title.endswith("ndcg@10")
    assert [cell.text for cell in utility.rows[0]] == [
        "1", "generator (seed 0)", "about +0.859", "+0.142 [+0.056, +0.227] improved", "The advice held.",
    ]  # fmt: skip
    assert "Predicted on the split dev, bought on test." in ndcg.caption
    assert utility.caption == ""
    assert [cell.text for cell in costs.rows[0]] == [
        "generator (seed 0)", "39 min 17 s ($0.033)", "39 min 44 s ($0.033)",
    ]  # fmt: skip


def test_a_prediction_that_failed_says_so() -> None:
    row = Prediction(system="retriever", seed=0, measure="ndcg@10", verdict="failed", said="cannot be told: no scores")
    (section,) = (one for one in contents(built.outcome(predictions=(row,))).after if one.slug == "worth")
    assert [cell.text for cell in section.tables[0].rows[0]][2:] == [
        figures.NONE, "failed", "Cannot be told: no scores.",
    ]  # fmt: skip


def test_returns_say_who_is_beaten_by_whom() -> None:
    (section,) = (one for one in contents(built.outcome()).after if one.slug == "roi")
    ndcg, _ = section.tables
    fronts = {row[0].text: row[-1].text for row in ndcg.rows}
    assert fronts["retriever (seed 0)"] == "on the front"
    assert fronts["reranker-generator (seed 0)"] == "beaten by retriever (seed 0) and generator (seed 0)"
    assert section.told[0].startswith("ndcg@10: on the front retriever (seed 0), reranker (seed 0)")
    assert ndcg.notes[-1].startswith("It adds no latency: retriever (seed 0), generator (seed 0) and")


def test_hostile_names_of_slices_and_data_become_no_element(page: str) -> None:
    rows = tuple(row.model_copy(update={"field": explored.ATTACKS[0], "value": explored.ATTACKS[2]})
                 for row in built.slices())  # fmt: skip
    lost = tuple(row.model_copy(update={"dataset": explored.ATTACKS[1], "reason": explored.ATTACKS[5]})
                 for row in built.forgotten())  # fmt: skip
    outcome = built.outcome(slices=rows, forgotten=lost, diagnosis=built.hostile(explored.ATTACKS))
    tags = {tag for tag, _ in Page(render_html(outcome)).tags}
    assert tags == {tag for tag, _ in Page(page).tags}
    on_screen = shown(lambda console: render(outcome, console, verbose=True))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u2066]", on_screen)


# ---- more data


def test_growth_on_a_terminal(snapshot: SnapshotAssertion) -> None:
    assert shown(lambda console: render_learning_curve(built.curve(), console, FOLDER)) == snapshot


def test_growth_in_markdown(snapshot: SnapshotAssertion) -> None:
    text = render_growth_markdown(built.curve(), growth_pictures_of(built.curve(), "charts"))
    assert text == snapshot
    whole_tables(text)


def test_the_curve_of_a_growth_has_a_dot_for_every_share_that_was_scored() -> None:
    ndcg, utility = growth_pictures(built.curve())
    assert [(dot.tick, dot.value, dot.low, dot.high) for dot in ndcg.dots] == [
        ("25 %", 0.0138, -0.0101, 0.0377), ("50 %", 0.0363, 0.0114, 0.0612), ("100 %", 0.0411, 0.0159, 0.0663),
    ]  # fmt: skip
    assert [dot.tick for dot in utility.dots] == ["25 %", "50 %"]
    assert growth_pictures(built.curve(points=built.curve().points[:1])) == ()


def test_points_of_a_growth_are_ordered_by_measure_and_share() -> None:
    turned = built.curve(points=built.curve().points[::-1])
    assert grown(turned).table == grown(built.curve()).table


def test_an_empty_growth_can_be_shown() -> None:
    empty = LearningCurve(suite="s", candidate="c", split="dev", created="2025-11-24T20:01:13Z")
    assert "Would more training data pay for c?" in shown(lambda console: render_learning_curve(empty, console))
    assert render_growth_markdown(empty)


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
        (None, figures.NONE),
    ],
)
def test_percent(value: float | None, text: str) -> None:
    assert amounts.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (4.1234, "4.12"), (-0.012345, "-0.0123"), (123456.7, "123,457"), (1e-9, "<0.000001"),
     (-1e-9, ">-0.000001"), (float("inf"), figures.NONE)],
)  # fmt: skip
def test_ratio(value: float, text: str) -> None:
    assert amounts.ratio(value) == text


@given(st.floats(1e-6, 1e12))
def test_a_ratio_keeps_three_digits_and_no_exponent(value: float) -> None:
    text = amounts.ratio(value)
    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [((4.0, 1.0, 7.0), f"4 (1{amounts.KEPT}to{amounts.KEPT}7)"), ((4.0, 1.0, None), "4 (at least 1)"),
     ((4.0, None, 7.0), "4 (at most 7)"),
     ((4.0, None, None), "4"), ((None, 3.0, None), f"{figures.NONE} (at least 3)"),
     ((None, None, None), figures.NONE)],
)  # fmt: skip
def test_between(bounds: tuple[float | None, float | None, float | None], text: str) -> None:
    assert amounts.between(*bounds, amounts.whole) == text


@pytest.mark.parametrize(
    ("text", "shown_text"),
    [("tune it", "Tune it."), ("is it?", "Is it?"), ("ndcg@10 is low", "ndcg@10 is low."), ("", ""),
     ("exact_match: more", "exact_match: more."), ("right: all", "Right: all."), (" two\n lines ", "Two lines.")],
)  # fmt: skip
def test_sentence(text: str, shown_text: str) -> None:
    assert amounts.sentence(text) == shown_text


def test_a_section_that_says_nothing_is_none() -> None:
    assert not Section("s", "s", "s")
    assert Section("s", "s", "s", told=("a",))


def test_hit_rate_is_shown_where_it_is_not_recall() -> None:
    """Where every question has one relevant document, the two are one."""
    seen = built.diagnosis()
    recall = next(one for one in seen.curves if one.measure == "recall")
    alike = recall.model_copy(update={"measure": "hit_rate"})
    points = tuple(point.model_copy(update={"mean": 0.99}) for point in recall.points)
    other = alike.model_copy(update={"points": points})
    for curve, shown in ((alike, False), (other, True)):
        text = markdown(seen.model_copy(update={"curves": (*seen.curves, curve)}))
        assert ("hit_rate" in text) is shown


def test_the_slices_of_who_loses_over_all_questions_are_no_news() -> None:
    seen = built.outcome()
    lost = next(row for row in seen.slices if row.verdict == "regressed")
    key = (lost.system, lost.seed, lost.measure)
    comparisons = tuple(
        row.model_copy(update={"verdict": "regressed"}) if (row.system, row.seed, row.measure) == key else row
        for row in seen.comparisons
    )
    told = elsewhere.slices(view(seen.model_copy(update={"comparisons": comparisons}))).told
    assert any("lose over all questions" in line and lost.system in line for line in told)
    assert not any("loses the slice" in line and lost.system in line and lost.measure in line for line in told)
