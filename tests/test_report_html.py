"""What a report's page holds: the numbers of the other reports, nothing that could run, and the queries in small."""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import explored
import outcomes
import pocket
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import report
from harness.data import formats
from harness.errors import ConfigError
from harness.experiments import query_details as gathered
from harness.experiments.reports import write_page
from harness.report import amounts, charts, figures
from harness.report.cellparts import difference, sort_key
from harness.report.contents import contents
from harness.report.explorer import ANSWER, LISTED, PASSAGE, pack
from harness.report.hostile import cut, plain
from harness.report.html import render_html
from harness.report.lede import lede
from harness.report.markdown import pictures_of, render_markdown
from harness.report.pagetables import PAD, WIDTH, page_table
from harness.report.sources import source
from harness.report.ticks import ticks
from harness.report.tradeoff import Picture, Point, _fronted, pictures
from harness.report.values import Cell, Column, Table
from harness.report.view import view
from harness.results.outcomes import ANSWER_COLUMNS, SCORE_COLUMNS
from harness.values.evidence import Evidence
from harness.values.findings import Outcome
from harness.values.records import Score

CASES: dict[str, Callable[[], Outcome]] = {
    "normal": outcomes.normal,
    "failed_candidate": outcomes.failed_candidate,
    "no_generator": outcomes.no_generator,
    "few_groups": outcomes.few_groups,
    "factorial": outcomes.factorial,
    "several_seeds": outcomes.several_seeds,
}
each_case = pytest.mark.parametrize("case", CASES)


class Page(HTMLParser):
    """The elements and the text of a page, read as a browser's parser would."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._raw: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = [tag] if tag in ("script", "style") else []

    def handle_endtag(self, tag: str) -> None:
        self._raw = []

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.texts.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())


def converted(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def squeezed(text: str) -> str:
    return "".join(text.split())


@each_case
def test_the_page_shows_every_number_of_the_other_reports(case: str) -> None:
    outcome = CASES[case]()
    words = squeezed(Page(render_html(outcome)).words)
    made = contents(outcome)
    groups = (made.answer, made.together, made.together_in_full, made.surely, made.costs, made.answers, made.data)
    tables = [table for group in groups for table in group]
    assert tables
    for table in tables:
        for text in (table.title, *(cell.text for row in table.rows for cell in row)):
            # A glyph may stand before a verdict.
            assert squeezed(text) in words or all(squeezed(part) in words for part in text.split()), text
    for line in (*made.headline, *made.warnings):
        assert squeezed(line) in words


def test_the_sections_stand_in_the_order_of_a_readers_questions() -> None:
    outcome = outcomes.factorial()
    page = render_html(outcome, explored.evidence(outcome))
    ids = re.findall(r'<section id="(\w+)"', page)
    assert ids == ["answer", "systems", "cost", "interactions", "verdicts", "ledger", "queries", "data", "reading"]


@each_case
def test_a_page_names_nothing_outside_itself_and_lets_only_its_own_script_run(case: str) -> None:
    outcome = CASES[case]()
    text = render_html(outcome, explored.evidence(outcome))
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
        assert not [
            name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset", "action")
        ]
        assert all((value or "").startswith("#") for name, value in attributes.items() if name.endswith("href"))
    policy = next(one["content"] or "" for tag, one in page.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_ids_are_used_once_and_labels_point_to_ids() -> None:
    outcome = outcomes.factorial()
    tags = Page(render_html(outcome, explored.evidence(outcome))).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for name in ("aria-labelledby", "aria-controls"):
            assert attributes.get(name) is None or attributes[name] in ids


def test_hostile_text_becomes_no_element() -> None:
    outcome, evidence = explored.hostile(outcomes.normal())
    text = render_html(outcome, evidence)
    tame = Page(render_html(outcomes.normal(), explored.evidence(outcomes.normal())))
    page = Page(text)
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in tame.tags}
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert squeezed(explored.ATTACKS[0]) in squeezed(page.words)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u2066]", text)
    assert len(text.encode()) < 1_500_000


def test_scripts_write_text_only() -> None:
    code = source("report.js") + source("explorer.js")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|fetch\(|XMLHttp", code
    )
    assert "</script" not in code.lower()


@given(st.text(), st.integers(1, 50))
def test_plain_text_has_no_control_character_and_cutting_keeps_the_start(text: str, most: int) -> None:
    shown = plain(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert len(shown) == len(text)
    assert len(cut(text, most)) <= most + 1
    shown.encode()


# ---- the explorer


def test_the_explorer_holds_the_scores_of_every_system_and_query() -> None:
    outcome = outcomes.normal()
    evidence = explored.evidence(outcome)
    data = converted(pack(outcome, evidence).text)
    names = [measure["name"] for measure in data["measures"]]
    ids = [key for key, _, _ in data["queries"]]
    labels = {(info.name, info.seed): info.label for info in outcome.systems}
    for row in evidence.rows:
        system = data["systems"].index(labels[row.system, row.seed])
        value = data["scores"][system][names.index(row.measure)][ids.index(row.query_id)]
        if row.status == "failed":
            assert data["reasons"][int(value)] == row.reason
        else:
            assert value == round(row.value or 0.0, 4)
    assert sorted(names) == sorted(outcome.measures)
    assert names[:2] == ["ndcg@10", "utility"]
    assert data["systems"][data["left"]] == "untuned"
    assert data["systems"][data["right"]] == "retriever (seed 0)"


def test_the_explorer_holds_lists_judgements_answers_and_reference_of_a_query() -> None:
    outcome = outcomes.normal()
    evidence = explored.evidence(outcome)
    data = converted(pack(outcome, evidence).text)
    number = [key for key, _, _ in data["queries"]].index("q5")
    detail = data["details"][str(number)]

    def name(one: int) -> str:
        return str(data["documents"][one][0])

    for place, label in enumerate(data["systems"]):
        whole = [doc_id for doc_id, _ in evidence.runs[label]["q5"]]
        assert [name(one) for one in detail["lists"][place]] == whole[:LISTED]
        assert detail["ranks"][place] == [whole.index("d5") + 1]
        assert detail["answers"][place][0] == evidence.answers[label]["q5"].text
    assert [name(one) for one in detail["relevant"]] == ["d5"]
    assert {name(int(one)): grade for one, grade in detail["judged"].items()}.items() <= evidence.qrels["q5"].items()
    assert detail["reference"] == {"answers": list(evidence.references["q5"].answers), "answerable": True}


def test_the_measures_of_another_split_stay_out() -> None:
    outcome = outcomes.normal()
    evidence = explored.evidence(outcome)
    dev = [row._replace(split="dev", query_id=f"dev-{row.query_id}") for row in evidence.rows]
    assert pack(outcome, Evidence([*evidence.rows, *dev])).text == pack(outcome, Evidence(evidence.rows)).text


def test_texts_are_cut_and_the_page_says_where() -> None:
    outcome, evidence = explored.hostile(outcomes.normal())
    packed = pack(outcome, evidence)
    data = converted(packed.text)
    assert max(len(text) for _, _, text in data["documents"]) == PASSAGE + 1
    assert f"passages up to {PASSAGE} characters" in packed.remarks[0]
    assert f"answers up to {ANSWER:,}" in packed.remarks[0]
    assert len(packed.text) < 50_000


def test_a_budget_keeps_the_queries_on_which_systems_differ_most() -> None:
    outcome = outcomes.normal()
    base = explored.evidence(outcome, 30)
    rows = [row if row.query_id == "q17" or row.status == "failed" else row._replace(value=0.5) for row in base.rows]
    evidence = Evidence(rows, base.runs, base.answers, base.queries, base.qrels, base.references, base.documents)
    packed = pack(outcome, evidence, budget=40_000)
    data = converted(packed.text)
    kept = [data["queries"][int(number)][0] for number in data["details"]]
    assert 2 <= len(kept) < 30
    assert set(kept[:2]) == {"q0", "q17"}
    assert f"for the {len(kept)} of 30 queries" in " ".join(packed.remarks)
    assert len(data["scores"][0][0]) == 30


def test_without_evidence_the_page_says_that_it_has_no_queries() -> None:
    words = Page(render_html(outcomes.normal())).words
    assert "made without the scores of single queries" in words


def test_without_texts_the_page_says_what_is_missing() -> None:
    outcome = outcomes.normal()
    words = Page(render_html(outcome, Evidence(explored.evidence(outcome).rows))).words
    assert "texts and judgements are missing" in words


# ---- the answer


def test_the_answer_names_what_paid_its_cost_and_what_it_holds_for() -> None:
    said = lede(view(outcomes.normal()))
    assert said.tone == "improved"
    assert said.first == "Tuning the retriever paid: retriever (seed 0) improved ndcg@10 by +0.041 [+0.012, +0.070]."
    assert "14 min 05 s" in said.rest[0]
    assert "these checkpoints, not about their recipes" in said.rest[-1]


def test_the_answer_claims_nothing_where_nothing_was_told() -> None:
    said = lede(view(outcomes.few_groups()))
    assert said.tone == "inconclusive"
    assert said.first == "No candidate is shown to improve on untuned."
    assert "2 inconclusive" in said.rest[0]
    assert "would not have shown" in said.rest[0]


def test_the_answer_speaks_of_recipes_where_seeds_allow_it() -> None:
    said = lede(view(outcomes.several_seeds()))
    assert "over 3 seeds" in said.first
    assert "about the recipes" in said.rest[-1]


def test_a_gain_with_a_loss_is_not_called_paid() -> None:
    base = outcomes.normal()
    lost = {"difference": -0.2, "low": -0.3, "high": -0.1, "verdict": "regressed"}
    rows = [
        row.model_copy(update=lost) if (row.system, row.measure) == ("retriever", "utility") else row
        for row in base.comparisons
    ]
    said = lede(view(base.model_copy(update={"comparisons": tuple(rows)})))
    assert said.first == "No candidate is shown to improve on untuned without a loss elsewhere."
    assert any("but lost utility by -0.200" in line for line in said.rest)


def test_several_that_paid_are_counted_and_not_ranked_as_tested() -> None:
    base = outcomes.normal()
    better = {"difference": 0.1, "low": 0.05, "high": 0.15, "verdict": "improved"}
    rows = [
        row.model_copy(update=better) if (row.system, row.measure) == ("retriever-judged", "ndcg@10") else row
        for row in base.comparisons
    ]
    said = lede(view(base.model_copy(update={"comparisons": tuple(rows)})))
    start = "2 of 2 candidates improved on untuned, retriever-judged (seed 0) the most: ndcg@10 by +0.100"
    assert said.first.startswith(start)
    assert any("not tested against each other" in line for line in said.rest)
    # What nobody has to tune and gained more stands in the same sentence.
    more = {"difference": 0.2, "low": 0.1, "high": 0.3, "verdict": "improved"}
    rows = [row.model_copy(update=more) if (row.system, row.measure) == ("bm25", "ndcg@10") else row for row in rows]
    said = lede(view(base.model_copy(update={"comparisons": tuple(rows)})))
    assert said.first.startswith(start)
    assert said.first.endswith("; without any tuning bm25 improved ndcg@10 by +0.200 [+0.100, +0.300].")


def test_a_reference_row_that_gained_more_is_named() -> None:
    base = outcomes.few_groups()
    better = {"difference": 0.2, "low": 0.1, "high": 0.3, "verdict": "improved"}
    rows = [row.model_copy(update=better) if row.system == "bm25" else row for row in base.comparisons]
    said = lede(view(base.model_copy(update={"comparisons": tuple(rows)})))
    assert "Without any tuning, ndcg@10 was improved: bm25 by +0.200 [+0.100, +0.300]." in said.rest


def test_without_a_candidate_nothing_is_claimed() -> None:
    base = outcomes.normal()
    systems = tuple(info for info in base.systems if info.role == "baseline")
    assert lede(view(base.model_copy(update={"systems": systems}))).first.startswith("Nothing was tested here")


# ---- pictures

gain_and_cost = st.tuples(st.integers(-9, 9), st.integers(0, 9))


@given(st.lists(gain_and_cost, min_size=1, max_size=12))
def test_the_front_is_what_no_point_beats(numbers: list[tuple[int, int]]) -> None:
    points = [
        Point(str(n), str(n), "candidate", gain / 10, None, None, "inconclusive", float(cost), "")
        for n, (gain, cost) in enumerate(numbers)
    ]

    def beaten(point: Point) -> bool:
        return any(
            (one.gain >= point.gain and one.cost < point.cost) or (one.gain > point.gain and one.cost <= point.cost)
            for one in points
        )

    assert [point.front for point in _fronted(points)] == [not beaten(point) for point in points]


def drawn(case: str) -> list[Picture]:
    return list(pictures(view(CASES[case]())))


@each_case
def test_a_picture_is_clean_svg_with_every_system_named(case: str) -> None:
    for picture in drawn(case):
        text = charts.draw(picture)
        assert text == charts.draw(picture)
        assert "style" not in text
        root = ElementTree.fromstring(text)
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        assert len(ids) == len(set(ids))
        assert all(one and one.startswith(picture.name) for one in ids)
        marks = [element.get("aria-label") for element in root.iter() if element.get("class") == "mark"]
        assert marks == [point.told for point in picture.points]


def test_pictures_take_the_latency_of_what_the_measure_judges() -> None:
    axes = {picture.name: picture.axis for picture in drawn("normal")}
    assert axes["ndcg-10-p95"] == "retrieval p95"
    assert axes["utility-p95"] == "total p95"
    assert axes["ndcg-10-make"] == "time to make"


def test_a_paid_endpoint_turns_the_cost_into_dollars() -> None:
    base = outcomes.normal()
    rows = tuple(row.model_copy(update={"llm_dollars": 0.5}) for row in base.ledger)
    found = pictures(view(base.model_copy(update={"ledger": rows})))
    assert {picture.axis for picture in found if picture.name.endswith("make")} == {"dollars to make"}


def test_bounds_that_nobody_would_serve_are_not_drawn() -> None:
    for picture in drawn("normal"):
        assert not {"closed-book", "oracle-context"} & {point.label for point in picture.points}


@given(st.floats(1e-3, 1e5), st.floats(1.05, 1e5), st.sampled_from(["seconds", "milliseconds", "dollars"]))
def test_ticks_are_few_and_differ(low: float, times: float, unit: Any) -> None:
    for by_logarithm in (False, times >= charts.LOG_FROM):
        found = ticks(low, low * times, unit, by_logarithm)
        assert len(found) <= 7
        assert len({text for _, text in found}) == len(found)
        assert all(low * 0.999 <= place <= low * times for place, _ in found)


def test_markdown_shows_the_same_pictures_as_files(tmp_path: Path) -> None:
    outcome = outcomes.normal()
    written = report.write_reports(outcome, tmp_path, explored.evidence(outcome))
    assert {path.relative_to(tmp_path).as_posix() for path in written[:2]} == {"report.md", "report.html"}
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r"^!\[.+\]\((.+)\)$", text, flags=re.MULTILINE)
    assert [tmp_path / path for path in shown] == written[2:]
    for path in shown:
        root = ElementTree.fromstring((tmp_path / path).read_text(encoding="utf-8"))
        assert root.get("width")
        assert "prefers-color-scheme: dark" in (root.findtext("{http://www.w3.org/2000/svg}style") or "")
    assert text == render_markdown(outcome, pictures_of(outcome, "charts"))


# ---- cells


@given(st.floats(-5, 5), st.floats(0, 3), st.sampled_from(["improved", "could not tell", "add up"]))
def test_a_difference_is_taken_apart_as_it_was_written(value: float, reach: float, word: str) -> None:
    low, high = value - reach, value + reach
    parts = difference(f"{figures.signed(value)} {figures.interval(low, high)} {word}")
    assert parts is not None
    assert (parts.value, parts.interval, parts.word) == (figures.signed(value), figures.interval(low, high), word)
    assert parts.number == pytest.approx(value, abs=5.1e-4)
    assert parts.low == pytest.approx(low, abs=5.1e-4)


@pytest.mark.parametrize("text", ["baseline", figures.NONE, "failed (3)", "0.560", "2026-11-24", ""])
def test_other_cells_are_no_differences(text: str) -> None:
    assert difference(text) is None


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_durations_sizes_and_dollars_sort_by_what_they_say(one: float, other: float) -> None:
    for write in (figures.duration, figures.milliseconds, figures.dollars, lambda value: figures.size(int(value))):
        keys = [sort_key(write(value)) for value in (one, other)]
        assert None not in keys
        if write(one) != write(other) and abs(one - other) > 0.01 * max(one, other) and min(one, other) > 1:
            assert ((keys[0] or 0) < (keys[1] or 0)) == (one < other)


@pytest.mark.parametrize(
    ("text", "key"),
    [("1 h 05 min", 3900), ("<0.001", 0.001), ("0.560†", 0.56), ("83 / 78", 83), ("5 %", 5), ("$0.00025", 0.00025),
     ("-0.150", -0.15), ("1,225", 1225), ("8f41ac", None), ("ndcg@10", None), ("2026-11-24", None), ("h 5 min", None)],
)  # fmt: skip
def test_what_a_cell_is_sorted_by(text: str, key: float | None) -> None:
    assert sort_key(text) == (None if key is None else pytest.approx(key))


def test_intervals_of_a_column_share_a_scale_and_lie_inside_the_plot() -> None:
    rows = (("a", "+0.100 [+0.050, +0.150] improved"), ("b", "-0.200 [-0.400, +0.000] inconclusive"))
    table = Table(
        "Gains", (Column("system", "left"), Column("ndcg@10", "left")),
        tuple((Cell(name), Cell(text, "improved")) for name, text in rows),
    )  # fmt: skip
    made = page_table(table, {"ndcg@10": 0.02})
    first, second = (row[1].plot for row in made.lower)
    assert first is not None
    assert second is not None
    assert second.low == PAD
    assert first.high == WIDTH - PAD
    assert first.zero == second.zero == second.high
    assert second.low < second.point < second.high < first.low < first.point < first.high
    assert first.band is not None
    assert first.band[0] < first.zero < first.band[1]
    assert math.isclose(first.band[1] - first.zero, first.zero - first.band[0], abs_tol=0.2)


# ---- made again from files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An outcome of the pocket data set as it lies on disk, without a page."""
    data, names = pocket.dataset(), ("untuned", "retriever")
    part = data.splits["test"]
    base = outcomes.no_generator()
    outcome = base.model_copy(
        update={
            "spec": pocket.suite({"dataset.path": str(pocket.FOLDER)}).model_dump(mode="json", by_alias=True),
            "dataset": data.describe("test", 0),
            "systems": tuple(info for info in base.systems if info.name in names),
        }
    )
    place = tmp_path / "outcome"
    documents = list(data.documents)
    rows = [
        Score(info.name, info.seed, "test", query.query_id, query.group, "ndcg@10", 0.5)
        for info in outcome.systems
        for query in part.queries.values()
    ]
    formats.write_parquet(place / "scores.parquet", [row._asdict() for row in rows], SCORE_COLUMNS)
    formats.write_parquet(place / "answers.parquet", [], ANSWER_COLUMNS)
    ranked = {key: [(doc_id, 1.0 / rank) for rank, doc_id in enumerate(documents[:20], 1)] for key in part.queries}
    for slug in ("untuned", "retriever-0"):
        formats.write_run(place / "runs" / f"{slug}.trec", ranked)
    formats.write_atomically(place / "outcome.json", outcome.model_dump_json())
    return place


def test_a_page_can_be_made_again_from_the_folder_of_an_outcome(folder: Path, tmp_path: Path) -> None:
    page = write_page(folder, tmp_path / "again.html")
    (packed,) = re.findall(r'id="explorer-data">(.+?)<', page.read_text(encoding="utf-8"))
    data = converted(packed)
    queries = pocket.dataset().splits["test"].queries
    assert [text for _, text, _ in data["queries"]] == [query.text for query in queries.values()]
    assert data["systems"] == ["untuned", "retriever (seed 0)"]
    assert len(data["documents"]) >= LISTED
    assert not (tmp_path / "outcome" / "report.html").exists()


def test_texts_of_a_changed_data_set_are_left_out(folder: Path) -> None:
    path = folder / "outcome.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(pocket.dataset().digests["corpus"], "0" * 32), encoding="utf-8")
    outcome = Outcome.model_validate_json(path.read_text(encoding="utf-8"))
    found = gathered.of_files(folder, outcome)
    assert found.rows
    assert found.runs.keys() == {"untuned", "retriever (seed 0)"}
    assert not found.queries
    assert not found.documents


def test_a_folder_without_an_outcome_gives_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no outcome here"):
        write_page(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


# ---- columns sort by numbers and not by what their text looks like

WRITERS = {
    "signed": figures.signed, "fixed": figures.fixed, "p": figures.p_value, "ms": figures.milliseconds,
    "duration": figures.duration, "dollars": figures.dollars, "ratio": amounts.ratio, "whole": amounts.whole,
    "added dollars": lambda value: amounts.added(value, figures.dollars),
    "added ms": lambda value: amounts.added(value, lambda one: figures.milliseconds(one) + " ms"),
    "added time": lambda value: amounts.added(value, figures.duration),
    "share": lambda value: amounts.share(value, value - 0.1, value + 0.1),
    "mean": lambda value: amounts.mean(value, value - 0.1, value + 0.1),
    "gain": lambda value: amounts.gain(value, value - 0.1, value + 0.1, "improved"),
    "between": lambda value: amounts.between(value, value - 1, value + 1, amounts.ratio),
    "once": lambda value: amounts.once(value, 0.5),
    "marked": lambda value: figures.fixed(value) + "\N{DAGGER}",
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=8, unique=True))
def test_a_column_sorts_by_its_numbers(name: str, values: list[float]) -> None:
    """Also where two texts are alike, have other units, or have a sign before that of the dollar."""
    rows = tuple((Cell(str(number)), Cell(WRITERS[name](value))) for number, value in enumerate(values))
    table = page_table(Table("T", (Column("system", "left"), Column("x")), rows), {})
    keys = [float(row[1].sort) for row in (*table.upper, *table.lower)]
    order = sorted(range(len(values)), key=lambda number: keys[number])
    found = [values[number] for number in order]
    assert all(one <= other or math.isclose(one, other, rel_tol=1e-8) for one, other in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("text", "key"),
    [("+$0.0057", 0.0057), ("-$0.0057", -0.0057), ("-3.1 ms", -3.1), ("-1 h 05 min", -3900), ("-12 %", -12),
     ("-5 kB", -5000), ("<$0.0001", 0.0001), (">-0.000001", -0.000001), ("$1,225", 1225)],
)  # fmt: skip
def test_texts_without_a_number_of_their_own_keep_their_sign(text: str, key: float) -> None:
    assert sort_key(text) == pytest.approx(key)


def test_a_number_in_a_longer_text_is_no_number() -> None:
    assert not isinstance(f"{figures.fixed(0.5)} of it", figures.Shown)
    assert isinstance(figures.fixed(0.5) + " of it", figures.Shown)
    assert figures.fixed(None) == figures.NONE
    assert not isinstance(figures.fixed(float("nan")), figures.Shown)
