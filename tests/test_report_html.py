"""What a report's page holds: the numbers of the other reports, nothing that could run, and the queries in small."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import combined
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
from harness.files import write_atomically
from harness.report import format as fmt
from harness.report.content.outcome import contents
from harness.report.explorer import ANSWER, LISTED, PASSAGE, pack
from harness.report.render.html import render_html
from harness.report.render.markdown import outcome_pictures, render_markdown
from harness.report.render.templates import source
from harness.report.untrusted import cut, plain
from harness.results.outcomes import ANSWER_COLUMNS, SCORE_COLUMNS
from harness.values.evidence import Evidence
from harness.values.findings import Outcome
from harness.values.records import Score

CASES: dict[str, Callable[[], Outcome]] = {
    "normal": outcomes.normal,
    "failed_candidate": outcomes.failed_candidate,
    "no_generator": outcomes.no_generator,
    "few_groups": outcomes.few_groups,
    "factorial": combined.factorial,
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
    groups = (made.answer, made.together, made.together_in_full, made.verdicts, made.costs, made.answers, made.data)
    tables = [table for group in groups for table in group]
    assert tables
    for table in tables:
        for text in (table.title, *(fmt.cell_text(cell) for row in table.rows for cell in row)):
            # A glyph may stand before a verdict.
            assert squeezed(text) in words or all(squeezed(part) in words for part in text.split()), text
    for line in (*made.by_candidate, made.headline.first, *made.headline.rest, *made.warnings):
        assert squeezed(line) in words


def test_the_sections_stand_in_the_order_of_a_readers_questions() -> None:
    outcome = combined.factorial()
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
    outcome = combined.factorial()
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
    for row in evidence.rows:
        system = data["systems"].index(row.system)
        value = data["scores"][system][names.index(row.measure)][ids.index(row.query_id)]
        if row.status == "failed":
            assert data["reasons"][int(value)] == row.reason
        else:
            assert value == round(row.value or 0.0, 4)
    assert sorted(names) == sorted(outcome.measures)
    assert names[:2] == ["ndcg@10", "utility"]
    assert data["systems"][data["left"]] == "untuned"
    assert data["systems"][data["right"]] == "retriever"


def test_the_explorer_holds_lists_judgements_answers_and_reference_of_a_query() -> None:
    outcome = outcomes.normal()
    evidence = explored.evidence(outcome)
    data = converted(pack(outcome, evidence).text)
    number = [key for key, _, _ in data["queries"]].index("q5")
    detail = data["details"][str(number)]

    def name(one: int) -> str:
        return str(data["documents"][one][0])

    labels = {info.name: info.label for info in outcome.systems}
    for place, label in enumerate(labels[name] for name in data["systems"]):
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
    assert "has no scores of single queries" in words


def test_without_texts_the_page_says_what_is_missing() -> None:
    outcome = outcomes.normal()
    words = Page(render_html(outcome, Evidence(explored.evidence(outcome).rows))).words
    assert "texts and judgements are missing" in words


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
    assert text == render_markdown(outcome, outcome_pictures(outcome, "charts"))


# ---- made again from files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An outcome of the pocket dataset as it lies on disk, without a page."""
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
    write_atomically(place / "outcome.json", outcome.model_dump_json())
    return place


def test_a_page_can_be_made_again_from_the_folder_of_an_outcome(folder: Path, tmp_path: Path) -> None:
    page = write_page(folder, tmp_path / "again.html")
    (packed,) = re.findall(r'id="explorer-data">(.+?)<', page.read_text(encoding="utf-8"))
    data = converted(packed)
    queries = pocket.dataset().splits["test"].queries
    assert [text for _, text, _ in data["queries"]] == [query.text for query in queries.values()]
    assert data["systems"] == ["untuned", "retriever"]
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
