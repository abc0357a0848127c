"""A suite that was read: what shipped ones hold, and what a candidate changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.suite import builtin
from harness.suite.files import load_suite, parse_suite
from harness.suite.recipes import RetrieverRecipe
from harness.suite.spec import Suite
from harness.values.measures import parse

GOOD = """\
schema: harness/suite-2
name: good
dataset: {builder: scipy-api}
measures: [ndcg@10]
"""
FILE = Path("s.yaml")


def shipped(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Suite:
    """A shipped suite; one that reads HARNESS_DATA finds an empty folder of the right name."""
    text = (builtin.folder("suites") / name / builtin.SUITE_FILE).read_text(encoding="utf-8")
    path: str = yaml.safe_load(text)["dataset"].get("path", "")
    if path.startswith("${HARNESS_DATA}/"):
        (folder / path.removeprefix("${HARNESS_DATA}/")).mkdir()
        monkeypatch.setenv("HARNESS_DATA", str(folder))
    return load_suite(name)[0]


@pytest.mark.parametrize("name", builtin.suite_names())
def test_a_shipped_suite_survives_being_written_as_json(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    suite = shipped(name, monkeypatch, tmp_path)
    assert suite.name == name
    dumped: dict[str, Any] = suite.model_dump(mode="json", by_alias=True)
    assert dumped["schema"] == "harness/suite-2"
    assert dumped["measures"] == [str(measure) for measure in suite.measures]
    assert Suite.model_validate(dumped) == suite
    assert Suite.model_validate_json(suite.model_dump_json(by_alias=True)) == suite


def test_the_suites_that_the_readme_names_are_shipped() -> None:
    assert {"quickstart", "scipy-api", "covidqa", "scifact", "pocket"} <= set(builtin.suite_names())


def test_a_suite_cannot_be_changed() -> None:
    suite = parse_suite(GOOD, FILE)
    with pytest.raises(ValueError, match="frozen"):
        suite.name = "other"  # type: ignore[misc]


def test_a_candidate_changes_only_what_it_says() -> None:
    suite = parse_suite(
        GOOD + "recipes: {retriever: {epochs: 3}}\ncandidates: {a: {tune: [retriever], retriever: {batch_size: 7}}}\n",
        FILE,
    )
    recipe = suite.recipe(suite.candidates["a"], "retriever")
    assert isinstance(recipe, RetrieverRecipe)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (3, 7, 2e-5)
    assert suite.recipes.retriever.batch_size == 32


def test_a_candidate_changes_its_data_and_not_that_of_others() -> None:
    more = (
        "candidates: {a: {tune: [reranker], pairs: judged, mine: {hard: 4}, label: {by: bm25}}, b: {tune: [reranker]}}"
    )
    suite = parse_suite(GOOD + more, FILE)
    mine, other = (suite.making(suite.candidates[name]) for name in ("a", "b"))
    assert (mine.pairs, mine.mine.hard, mine.mine.depth, mine.label.by) == ("judged", 4, 50, "bm25")
    assert other == suite.data


def test_a_suite_is_written_as_it_is_read() -> None:
    more = "candidates: {a: {tune: [retriever], retriever: {batch_size: 7}, mine: {relabel: {by: llm}}}}\n"
    suite = parse_suite(GOOD + more, FILE)
    written = suite.model_dump(mode="json", by_alias=True)
    assert written["candidates"]["a"]["retriever"] == {"batch_size": 7}
    assert Suite.model_validate(written) == suite


def test_a_factorial_expands_to_all_combinations() -> None:
    suite = parse_suite(GOOD + "factorial: [retriever, generator]\n", FILE)
    assert {name: one.tune for name, one in suite.all_candidates.items()} == {
        "retriever": ("retriever",), "generator": ("generator",), "retriever-generator": ("retriever", "generator"),
    }  # fmt: skip


def test_margins_are_those_of_the_gated_measures() -> None:
    suite = parse_suite(GOOD + "gates: [{measure: ndcg@10, margin: 0.01}, {probe: p95_ms, relative: 0.2}]\n", FILE)
    assert suite.margins == {parse("ndcg@10"): 0.01}
