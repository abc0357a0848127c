"""The page on conversations: its lines are read, its suites are planned, its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pocket
import yaml
from beir_folders import CORPUS, write
from test_conversations import talking

from harness.data import histories
from harness.data.datasets import load_dataset
from harness.planning.plan import build_plan
from harness.suite.pipeline import Conversation, Generator
from harness.suite.sources import DatasetSource
from harness.values.records import Turn

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "conversations.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_lines_are_read_as_the_page_says(tmp_path: Path) -> None:
    (lines,) = examples("json")
    write(tmp_path, CORPUS, qrels={"test": ["c1-1 loom-1 1", "c1-2 loom-2 1"]}, answers=None, splits=None)
    (tmp_path / "queries.jsonl").write_text(lines, encoding="utf-8")
    source = DatasetSource.model_validate({"path": str(tmp_path), "group": {"metadata": "conversation"}})
    split = load_dataset(source, "test").splits["test"]
    said = (Turn("user", "What is the capital of Alsace?"), Turn("assistant", "Strasbourg."))
    assert split.histories == {"c1-2": said}
    assert set(split.groups.values()) == {"c1"}


def test_the_suites_of_the_page_can_be_planned() -> None:
    candidates: dict[str, Any] = {}
    for example in map(yaml.safe_load, examples("yaml")):
        llm = {"llm": example["llm"]} if "llm" in example else {}
        plan = build_plan(pocket.suite({"candidates": example["candidates"], **llm}), talking())
        assert {one.name for one in plan.systems if one.role == "candidate"} == set(example["candidates"])
        candidates |= example["candidates"]
    assert candidates.keys() == {"concatenate", "rewrite", "blind"}


def test_every_value_and_field_stands_on_the_page() -> None:
    for value in get_args(Conversation):
        assert f"| `{value}`" in TEXT
    for field in histories.FIELDS[:5]:
        assert f"`{field}`" in TEXT
    assert f"`pipeline.generator.history_tokens` (default {Generator().history_tokens})" in TEXT
