"""What the README shows is what the harness takes."""

import re
import shutil
from pathlib import Path
from typing import get_args

import pocket
import pytest
import yaml

from harness.cli.main import VERBS
from harness.data.datasets import load_dataset
from harness.planning.plan import build_plan
from harness.suite.files import parse_suite
from harness.suite.recipes import RetrieverRecipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_suite_of_the_front_page_loads_its_data_and_can_be_planned(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "fixtures" / "pocket", tmp_path / "my-data")
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    suite = parse_suite(example[1], tmp_path / "suite.yaml")
    plan = build_plan(suite, load_dataset(suite.dataset, "test"))
    assert [system.name for system in plan.systems if system.role == "candidate"] == ["fused", "judged"]


def test_the_strategies_of_the_docs_are_what_a_suite_takes_and_can_be_planned() -> None:
    text = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(example) for example in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    named = set()
    for example in examples:
        if "candidates" in example:
            pipeline = {f"pipeline.{part}": value for part, value in example.get("pipeline", {}).items()}
            changes = {"measures": ["ndcg@10", "utility"], "candidates": example["candidates"], **pipeline}
            plan = build_plan(pocket.suite(changes), pocket.dataset())
            assert {one.name for one in plan.systems if one.role == "candidate"} == set(example["candidates"])
            named |= set(example["candidates"])
    assert {"staged", "shots", "asked"} < named
    for recipe in get_args(RetrieverRecipe.model_fields["recipe"].annotation):
        assert f"| `{recipe}` |" in text


def test_commands_named_exist() -> None:
    named = set(re.findall(r"`harness (\w+)", README))
    assert named
    assert named <= set(VERBS)


def test_environments_named_exist() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    named = set(re.findall(r"tox -e (\w+)", README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert {"quickstart", "wheel"} <= named
    for name in named:
        assert f"[testenv:{name}]" in tox


def test_it_is_a_front_page() -> None:
    assert len(README.splitlines()) <= 100


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_and_pictures_that_are_linked_exist(page: Path) -> None:
    for name in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / name).exists(), name


def test_every_page_is_linked_from_the_front_page() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in README, page.name
