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
import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from syrupy.assertion import SnapshotAssertion
from test_report import blocks, table_blocks
from test_report_html import Page, squeezed

from harness import report
from harness.report import format as fmt
from harness.report.charts import diagnosis as charts
from harness.report.content import advice, loss, roi
from harness.report.content.curve import curve_contents
from harness.report.content.diagnosis import diagnosed
from harness.report.render.html import render_diagnosis_html, render_html
from harness.report.render.markdown import (
    diagnosis_pictures,
    learning_curve_pictures,
    render_diagnosis_markdown,
    render_learning_curve_markdown,
)
from harness.report.render.templates import escaped
from harness.report.render.terminal import print_section, render_diagnosis, render_learning_curve
from harness.report.view import view
from harness.text import decimals
from harness.values.frozen import Frozen
from harness.values.insights import Diagnosis, FunnelPlace, LearningCurve

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
    return render_diagnosis_markdown(diagnosis, diagnosis_pictures(diagnosis, "charts"))


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
        found += [section.title, *section.sentences]
        found += [
            fmt.cell_text(cell) for table in (*section.tables, *section.in_full) for row in table.rows for cell in row
        ]
        found += [text for item in section.items for _, lines in item.lines for text in (item.title, *lines)]
    return found


# ---- a diagnosis as it is shown


def test_terminal(snapshot: SnapshotAssertion) -> None:
    for name, block in blocks(on_terminal(built.diagnosis(), 80)):
        assert block == snapshot(name=name)


def test_markdown(snapshot: SnapshotAssertion) -> None:
    for name, block in blocks(markdown_of("retrieval_only").split("<details>")[0]):
        assert block == snapshot(name=name)


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
    for one in (*words_of(made.sections), made.headline.first, *made.headline.rest, *made.warnings):
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


@pytest.mark.parametrize("page_of_what", [lambda: page_of("whole"), lambda: render_html(built.outcome())])
def test_ids_are_used_once_and_labels_point_to_ids(page_of_what: Callable[[], str]) -> None:
    tags = Page(page_of_what()).tags
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
        file.path for file in diagnosis_pictures(built.diagnosis(), "charts")
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
    texts += [shown(lambda console: render_learning_curve(curve, console)), render_learning_curve_markdown(curve)]
    sections = roi.sections(view(with_nan(built.outcome())))
    texts += [shown(lambda console: [print_section(one, console, True) for one in sections] and None)]
    for text in texts:
        assert not re.search(r"\b(nan|NaN|None|inf)\b", re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL))


# ---- the answer


def answer(diagnosis: Diagnosis) -> str:
    said = advice.summarise(diagnosis)
    return " ".join((said.first, *said.rest))


def test_the_answer_says_where_what_first_what_it_buys_what_it_costs_and_how_sure() -> None:
    said = advice.summarise(built.diagnosis())
    assert said.first == (
        "The largest loss is in the generator: 31 of 88 answerable queries (35 % [25, 46]) were answered wrongly "
        "with a relevant passage in the context."
    )
    assert said.rest[1] == "Do first: Tune the generator."
    assert "about +0.425 [+0.312, +0.538] in exact_match and about +0.859" in said.rest[2]
    assert said.rest[3] == (
        "Building the candidate generator takes about 39 min 17 s ($0.033), of which 37 min 40 s is not cached, with "
        "the speed of tune_generator guessed; a query takes no longer than now."
    )
    assert "172 judged queries in 74 groups of the split dev; answers to 100 queries" in said.rest[4]


def test_a_bound_is_said_to_be_at_most_and_added_time_is_told() -> None:
    text = answer(built.retrieval_only())
    assert "Possible gain: at most +0.350 [+0.294, +0.406] in ndcg@10." in text
    assert "a query then takes 412 ms longer (p95)" in text
    assert "55 of 172 judged queries (32 % [24, 40]) have a relevant document in the pool, but none in" in text
    assert "answers to" not in text


def test_what_is_advised_against_is_not_done_first() -> None:
    rows = tuple(row.model_copy(update={"against": True}) for row in built.advice())
    assert "No rule gives advice about it." in answer(built.diagnosis(advice=rows))
    first, *_ = rows
    assert "Do first: Add and tune a reranker." in answer(built.diagnosis(advice=(first, *built.advice()[1:])))


def test_to_measure_better_comes_before_what_was_measured() -> None:
    said = advice.summarise(built.too_small())
    assert said.tone == "inconclusive"
    assert said.first == "Do first: Ask more questions: this split is too small to tell."
    assert "It needs no training." in said.rest[0]
    assert said.rest[1].startswith("The largest loss is in the generator")
    assert diagnosed(built.too_small()).warnings[0].startswith("All measures: only 9 groups, under 20")


def test_where_nothing_is_lost_nothing_is_called_a_loss() -> None:
    assert advice.summarise(built.nothing_lost()).first == "Nothing is lost: all 40 queries end with the right result."
    assert advice.summarise(built.empty()).first == "Nothing was counted: there are no queries."


@pytest.mark.parametrize("name", [name for name, *_ in built.ANSWERED if name != "right"])
def test_the_largest_loss_is_named_wherever_it_is(name: str) -> None:
    retrieval, answers = built.funnels()
    places = tuple(row.model_copy(update={"count": 500}) if row.name == name else row for row in answers.places)
    said = advice.summarise(built.diagnosis(funnels=(retrieval, answers.model_copy(update={"places": places}))))
    if name == "abstained":  # which is right for an unanswerable question
        assert "got no answer with a relevant passage" in said.first
    assert said.first.startswith(f"The largest loss is {advice.WHERE[name]}: 500 of ")


def test_candidates_without_a_quote_and_other_measures_are_told_as_they_are() -> None:
    first = built.advice()[0].model_copy(update={"estimate": None})
    assert "Building" not in answer(built.diagnosis(advice=(first,)))
    assert "It needs no training" not in answer(built.diagnosis(advice=(first,)))
    only = built.diagnosis(advice=built.advice()[1:2], measures=("utility",))
    assert "at most +0.350" in answer(only)
    columns = [column.name for column in advice.advice(only).tables[0].columns]
    assert columns == ["rank", "action", "kind", "ndcg@10", "exact_match", "one-time cost", "added per query"]


@pytest.mark.parametrize(
    ("changes", "said", "cell"),
    [
        ({"added_p95_ms": None}, "its added latency is not known", decimals.NONE),
        (
            {"added_p95_ms": -5.0, "added_dollars_per_1000": -0.01},
            "a query then takes 5.0 ms less (p95)",
            "-5.0 ms, -$0.010",
        ),
    ],
)
def test_what_a_candidate_adds_to_a_query(changes: dict[str, Any], said: str, cell: str) -> None:
    row = built.advice()[0]
    assert row.estimate is not None
    changed = built.diagnosis(advice=(row.model_copy(update={"estimate": row.estimate.model_copy(update=changes)}),))
    assert said in answer(changed)
    assert fmt.cell_text(advice.advice(changed).tables[0].rows[0][-1]) == cell


def test_right_answers_without_a_passage_are_told() -> None:
    text = on_terminal(built.diagnosis())
    assert "1 answer with the right content came without any relevant passage" in text
    assert "right answer came without" not in on_terminal(built.nothing_lost())


def test_long_ids_are_cut() -> None:
    place = FunnelPlace(
        name="right", population="answerable", count=1, share=1.0, low=1.0, high=1.0, examples=("q" * 99,)
    )
    funnel = built.funnels()[1].model_copy(update={"places": (place,)})
    cells = loss.funnel(built.diagnosis(funnels=(funnel,))).tables[0].rows[0]
    assert fmt.cell_text(cells[-1]) == "q" * loss.LONGEST_ID + "…"


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
    assert names == ["curve.md", "charts/learning-curve-ndcg-10.svg", "charts/learning-curve-utility.svg"]
    text = written[0].read_text(encoding="utf-8")
    assert re.findall(r"^!\[.+\]\((.+)\)$", text, flags=re.MULTILINE) == names[1:]


def test_the_report_of_an_outcome_shows_its_pictures_where_they_belong(tmp_path: Path) -> None:
    written = report.write_reports(built.outcome(), tmp_path)
    text = written[0].read_text(encoding="utf-8")
    assert [tmp_path / path for path in re.findall(r"^!\[.+\]\((.+)\)$", text, flags=re.MULTILINE)] == written[2:]
    _, after = text.split("## Where the loss was")
    inside, rest = after.split("## Predictions of the diagnosis, checked")
    names = [one.name for one in charts.before(built.outcome())]
    assert re.findall(r"^!\[.+\]\(charts/(.+)\.svg\)$", inside, flags=re.MULTILINE) == names
    assert "![" not in rest


# ---- more data


def test_growth_on_a_terminal(snapshot: SnapshotAssertion) -> None:
    assert shown(lambda console: render_learning_curve(built.curve(), console, FOLDER), 80) == snapshot


def test_tables_of_a_growth_are_whole() -> None:
    whole_tables(render_learning_curve_markdown(built.curve(), learning_curve_pictures(built.curve(), "charts")))


def test_the_curve_of_a_growth_has_a_dot_for_every_share_that_was_scored() -> None:
    ndcg, utility = charts.learning_charts(built.curve())
    assert [(dot.tick, dot.value, dot.low, dot.high) for dot in ndcg.dots] == [
        ("25 %", 0.0138, -0.0101, 0.0377), ("50 %", 0.0363, 0.0114, 0.0612), ("100 %", 0.0411, 0.0159, 0.0663),
    ]  # fmt: skip
    assert [dot.tick for dot in utility.dots] == ["25 %", "50 %"]
    assert charts.learning_charts(built.curve(points=built.curve().points[:1])) == ()


def test_points_of_a_growth_are_ordered_by_measure_and_share() -> None:
    turned = built.curve(points=built.curve().points[::-1])
    assert curve_contents(turned).table == curve_contents(built.curve()).table


def test_an_empty_growth_can_be_shown() -> None:
    empty = LearningCurve(suite="s", candidate="c", split="dev", created="2025-11-24T20:01:13Z")
    assert "Would more training data pay for c?" in shown(lambda console: render_learning_curve(empty, console))
    assert render_learning_curve_markdown(empty)


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
