"""What the README shows is what the harness takes."""

import re
from pathlib import Path
from typing import get_args

import pocket
import pytest
import yaml

from harness.cli.main import VERBS
from harness.planning.plan import build_plan
from harness.suite.files import parse_suite
from harness.suite.recipes import RetrieverRecipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_suite_example_is_a_suite(tmp_path: Path) -> None:
    (tmp_path / "my-data").mkdir()
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    suite = parse_suite(example[1], tmp_path / "suite.yaml")
    assert list(suite.candidates) == ["synthetic", "judged"]


def test_the_strategies_of_the_docs_are_what_a_suite_takes_and_can_be_planned() -> None:
    text = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    changes = {"measures": ["ndcg@10", "utility"], "candidates": yaml.safe_load(example[1])["candidates"]}
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    assert {one.name for one in plan.systems if one.role == "candidate"} == set(changes["candidates"])
    for recipe in get_args(RetrieverRecipe.model_fields["recipe"].annotation):
        assert f"| `{recipe}` |" in text


def test_commands_named_exist() -> None:
    named = set(re.findall(r"`harness (\w+)", README))
    assert named
    assert named <= set(VERBS)


def test_environments_named_exist() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    line = next(line for line in README.splitlines() if line.strip().startswith("tox.ini "))
    for name in line.split("tox.ini")[1].split(","):
        assert f"[testenv:{name.strip()}]" in tox


@pytest.mark.parametrize("line", re.findall(r"^    (\S+)/? {2,}\S", README.split("## Tree")[1], re.MULTILINE))
def test_tree_names_what_is_there(line: str) -> None:
    assert (ROOT / line.rstrip("/")).exists()
