"""Suites of earlier schemas are read as what they were; old names are unknown in a suite of today's schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pocket
import pytest
import yaml

from harness.data.datasets import load_dataset
from harness.errors import ConfigError
from harness.gates.preconditions import stale
from harness.planning.plan import build_plan
from harness.suite import builtin
from harness.suite.files import parse_suite
from harness.suite.renamed import OLD_RERANKER_START, OLD_SCHEMA, SCHEMA
from harness.suite.spec import Suite
from harness.suite.uses import reading_of

OLD = Path(__file__).parent / "golden" / "suite-1"
"""The shipped suites as they were when harness/suite-1 was the schema; as texts, so that pytest collects none."""
EVERY_OLD_NAME: dict[str, Any] = {
    "reference_rows": ["bm25", "untuned"],
    "recipes": {"retriever": {"mini_batch": 8, "candidates": 4}},
    "candidates": {"wide": {"tune": ["retriever"], "retriever": {"candidates": 6, "mini_batch": 2}}},
    "limits": {"max_usd": 3.0},
    "llm": {"judge": {"bar": 0.8, "cut": 0.6}},
}
NAMED: dict[str, str] = {
    "reference_rows": "baseline_rows", "recipes.retriever.mini_batch": "micro_batch_size",
    "recipes.retriever.candidates": "list_size", "candidates.wide.retriever.candidates": "list_size",
    "candidates.wide.retriever.mini_batch": "micro_batch_size", "limits.max_usd": "max_build_usd",
    "llm.judge.bar": "min_auroc", "llm.judge.cut": "accepted_from",
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders where the shipped suites look for datasets that are not part of the project."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    for path in builtin.folder("suites").glob("*/suite.yaml"):
        for name in yaml.safe_load(path.read_text(encoding="utf-8"))["dataset"].get("path", "").split("}/")[1:]:
            (tmp_path / name).mkdir(parents=True, exist_ok=True)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("name", builtin.suite_names())
def test_a_shipped_suite_of_the_old_schema_is_the_same_suite(name: str) -> None:
    path = builtin.find_suite(name)
    text = (OLD / f"{name}.txt").read_text(encoding="utf-8")
    assert f"schema: {OLD_SCHEMA}" in text
    assert parse_suite(text, path) == parse_suite(translated(name), path)


def translated(name: str) -> str:
    """The same suite with the keys of suite-2; a tuned reranker is a cross-encoder by name."""
    suite = yaml.safe_load((OLD.parent / "suite-2" / f"{name}.txt").read_text(encoding="utf-8"))
    recipes = suite.setdefault("recipes", {})
    recipes["reranker"] = {"model": OLD_RERANKER_START, **recipes.get("reranker", {})}
    return yaml.safe_dump(suite, sort_keys=False)


def test_it_has_the_same_plan() -> None:
    path = builtin.find_suite("template")
    today = parse_suite(translated("template"), path)
    old = parse_suite((OLD / "template.txt").read_text(encoding="utf-8"), path)
    plans = [build_plan(one, load_dataset(one.dataset, "test", reading_of(one))) for one in (old, today)]
    assert list(plans[0].calls) == list(plans[1].calls)


def old_suite(changes: dict[str, Any]) -> str:
    return pocket.suite_text({"schema": OLD_SCHEMA, **changes})


def test_every_old_name_is_read() -> None:
    suite = parse_suite(old_suite(EVERY_OLD_NAME), Path("suite.yaml"))
    assert suite.schema_ == SCHEMA
    assert suite.baseline_rows == ("bm25", "untuned")
    assert (suite.recipes.retriever.micro_batch_size, suite.recipes.retriever.list_size) == (8, 4)
    recipe = suite.recipe(suite.candidates["wide"], "retriever")
    assert (recipe.micro_batch_size, recipe.list_size) == (2, 6)  # type: ignore[union-attr]
    assert suite.limits.max_build_usd == 3.0
    assert suite.llm.judge is not None
    assert (suite.llm.judge.min_auroc, suite.llm.judge.accepted_from) == (0.8, 0.6)


def test_an_old_name_is_unknown_today_and_the_new_one_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_suite(pocket.suite_text(EVERY_OLD_NAME), Path("suite.yaml"))
    told = {problem.where.split(": ")[1]: (problem.what, problem.hint) for problem in caught.value.problems}
    assert told == {key: ("unknown key", f"did you mean {name!r}?") for key, name in NAMED.items()}


def test_a_mistake_in_an_old_suite_is_told_by_the_names_and_lines_of_the_file() -> None:
    wrong = {"reference_rows": ["untuned", "untuned"], "recipes": {"retriever": {"mini_batch": 0, "epoch": 3}}}
    text = old_suite(wrong)
    with pytest.raises(ConfigError) as caught:
        parse_suite(text, Path("suite.yaml"))
    lines = {line.split(":")[0].strip(): number for number, line in enumerate(text.splitlines(), start=1)}
    assert [str(problem) for problem in caught.value.problems] == [
        f"suite.yaml:{lines['reference_rows'] + 2}: reference_rows.1: 'untuned' is named twice "
        f"(first in line {lines['reference_rows'] + 1}); keep one",
        f"suite.yaml:{lines['mini_batch']}: recipes.retriever.mini_batch: should be greater than or equal to 1, not 0",
        f"suite.yaml:{lines['epoch']}: recipes.retriever.epoch: unknown key; did you mean 'epochs'?",
    ]


def test_a_key_under_both_names_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="reference_rows: unknown key; did you mean 'baseline_rows'"):
        parse_suite(old_suite({"reference_rows": ["untuned"], "baseline_rows": ["untuned"]}), Path("suite.yaml"))


def test_a_stored_suite_of_the_old_schema_is_the_suite_file_of_today() -> None:
    stored = json.loads(json.dumps(yaml.safe_load(old_suite(EVERY_OLD_NAME))))
    today = parse_suite(old_suite(EVERY_OLD_NAME), Path("suite.yaml"))
    assert Suite.model_validate(stored).recipes == today.recipes
    stored["dataset"]["path"] = today.dataset.path
    assert stale(today, stored) == ()
    stored["limits"]["max_usd"] = 4.0
    assert "(limits)" in stale(today, stored)[0]
