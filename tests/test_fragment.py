"""Results in a notebook: a part of a page that reaches nothing outside of it, and nothing reaches."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import combined
import diagnosed
import explored
import outcomes
import pytest

from harness.report import format as fmt
from harness.report.content.comparisons import compared
from harness.report.content.diagnosis import diagnosed as contents_of_diagnosis
from harness.report.content.outcome import contents
from harness.report.render import fragment
from harness.report.render.fragment import diagnosis_fragment, outcome_fragment, style, table_fragment
from harness.values.findings import Outcome

OUTCOMES: dict[str, Callable[[], Outcome]] = {
    "normal": outcomes.normal,
    "failed_candidate": outcomes.failed_candidate,
    "no_generator": outcomes.no_generator,
    "factorial": combined.factorial,
    "several_seeds": outcomes.several_seeds,
}
FRAGMENTS: dict[str, Callable[[], str]] = {
    **{name: lambda make=make: outcome_fragment(make()) for name, make in OUTCOMES.items()},  # type: ignore[misc]
    "diagnosis": lambda: diagnosis_fragment(diagnosed.diagnosis()),
    "comparison": lambda: table_fragment(
        compared(outcomes.normal().comparisons, {}, "b minus a"), ["Questions are synthetic."], ["A remark."]
    ),
}
each = pytest.mark.parametrize("name", FRAGMENTS)
EMPTY = {"br", "img", "hr", "input", "meta", "link", "path", "circle", "rect", "use"}


class Part(HTMLParser):
    """The elements and words of a fragment; checks that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.roots = 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.roots += not self.open
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join("".join(self.words).split())


def squeezed(text: str) -> str:
    return "".join(text.split())


@each
def test_it_is_one_element_with_nothing_that_runs_or_is_fetched(name: str) -> None:
    part = Part(FRAGMENTS[name]())
    assert part.roots == 1
    assert part.tags[0] == ("div", {"class": fragment.ROOT})
    for tag, attributes in part.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "img", "form", "meta")
        assert not [key for key in attributes if key.startswith("on") or key in ("style", "src", "srcset", "action")]
        assert all((value or "").startswith("#") for key, value in attributes.items() if key.endswith("href"))
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", FRAGMENTS[name]())


@each
def test_it_has_no_headings(name: str) -> None:
    """JupyterLab would list them in the contents of the notebook."""
    assert not [tag for tag, _ in Part(FRAGMENTS[name]()).tags if re.fullmatch(r"h\d", tag)]


@each
def test_ids_are_its_own_and_all_references_are_met(name: str) -> None:
    """Another output of the same page may be hidden or removed, with what its ids name."""
    first, second = FRAGMENTS[name](), FRAGMENTS[name]()
    ids = [[one["id"] for _, one in Part(text).tags if "id" in one] for text in (first, second)]
    assert ids[0]
    for text, own in zip((first, second), ids, strict=True):
        assert len(own) == len(set(own))
        pointed = set(re.findall(r'(?:href="#|url\(#)([\w-]+)', text))
        labelled = set(re.findall(r'aria-(?:labelledby|controls)="([\w-]+)"', text))
        assert pointed | labelled <= set(own)
    assert not set(ids[0]) & set(ids[1])


def test_pictures_are_drawn(tmp_path: Path) -> None:
    tags = [tag for tag, one in Part(outcome_fragment(outcomes.normal())).tags if one.get("class") == "chart"]
    assert len(tags) >= 2
    assert [one for _, one in Part(diagnosis_fragment(diagnosed.diagnosis())).tags if one.get("class") == "chart"]


def test_every_rule_is_bound_to_the_fragment() -> None:
    bare = re.sub(r"/\*.*?\*/", "", style(), flags=re.DOTALL)
    selectors = [one.strip() for group in re.findall(r"(?:^|[{}])\s*([^{}@]+?)\s*\{", bare) for one in group.split(",")]
    assert len(selectors) > 60
    for selector in selectors:
        assert f".{fragment.ROOT}" in selector, selector
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"@[\w-]+", bare) == ["@media"]
    assert ":root" not in bare
    assert "</" not in bare


def test_colours_follow_the_theme_of_the_notebook_before_that_of_the_system() -> None:
    sheet = style()
    places = [sheet.index(text) for text in ("prefers-color-scheme: dark", fragment.DARK[0], fragment.LIGHT[0])]
    assert places == sorted(places)
    for theme in (*fragment.DARK, *fragment.LIGHT):
        assert f"{theme} .{fragment.ROOT}" in sheet
    defined = set(re.findall(r"(--[\w-]+):", sheet))
    assert set(re.findall(r"var\((--[\w-]+)\)", sheet)) <= defined


@pytest.mark.parametrize("case", OUTCOMES)
def test_it_shows_the_numbers_of_the_report(case: str) -> None:
    outcome = OUTCOMES[case]()
    text, made = Part(outcome_fragment(outcome)).text, contents(outcome)
    for table in made.answer:
        for shown in (table.title, *(fmt.cell_text(cell) for row in table.rows for cell in row)):
            assert squeezed(shown) in text or all(part in text for part in shown.split()), shown
    for line in (made.title, made.headline.first, *made.headline.rest, *made.by_candidate, *made.warnings):
        assert squeezed(line) in text


def test_a_diagnosis_shows_its_answer_and_its_advice() -> None:
    diagnosis = diagnosed.diagnosis()
    text, made = Part(diagnosis_fragment(diagnosis)).text, contents_of_diagnosis(diagnosis)
    for section in made.sections:
        for line in (section.title, *section.sentences, *(item.title for item in section.items)):
            assert squeezed(line) in text
    for line in (made.headline.first, *made.warnings):
        assert squeezed(line) in text


def test_synthetic_questions_come_first() -> None:
    text = FRAGMENTS["comparison"]()
    assert text.index("Questions are synthetic.") < text.index("b minus a") < text.index("A remark.")


SOME = outcomes.gains("retriever")
HOSTILE: dict[str, Callable[[], str]] = {
    "normal": lambda: outcome_fragment(explored.hostile(outcomes.normal())[0]),
    "diagnosis": lambda: diagnosis_fragment(diagnosed.hostile(explored.ATTACKS)),
    "comparison": lambda: table_fragment(
        compared(
            [row.model_copy(update={"system": text, "reason": text}) for text in explored.ATTACKS for row in SOME],
            {},
            explored.ATTACKS[0],
        ),
        explored.ATTACKS,
        explored.ATTACKS,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_text_of_others_stays_text(name: str) -> None:
    text = HOSTILE[name]()
    part, tame = Part(text), Part(FRAGMENTS[name]())
    assert {tag for tag, _ in part.tags} <= {tag for tag, _ in tame.tags}
    assert {key for _, one in part.tags for key in one} <= {key for _, one in tame.tags for key in one}
    assert text.count("</style>") == 1
    assert squeezed(explored.ATTACKS[0]) in part.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u2066]", text)
