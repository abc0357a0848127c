"""What docs/indexes.md shows is what a suite takes, and its tables name every kind, method and setting."""

from __future__ import annotations

import re
from pathlib import Path

import pocket
import yaml

from harness.planning.plan import build_plan
from harness.stages.shared.encoded_parts import PART
from harness.suite.vector_indexes import METHODS, OF_METHOD, VectorIndex

PAGE = (Path(__file__).parent.parent / "docs" / "indexes.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(example) for example in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_the_examples_can_be_planned_and_share_what_the_page_says() -> None:
    for example in EXAMPLES:
        pipeline = {f"pipeline.{part}": value for part, value in example.get("pipeline", {}).items()}
        changes = {"measures": ["ndcg@10"], "candidates": example["candidates"], **pipeline}
        plan = build_plan(pocket.suite(changes), pocket.dataset())
        runs = {system.name: system.index_runs for system in plan.systems if system.role == "candidate"}
        assert runs.keys() == example["candidates"].keys()
        built = {name: one.built for name, one in runs.items() if one is not None}
        assert built.keys() == runs.keys()
        if "graph" in built:
            assert built["graph"] == built["wider-graph"]
            assert len(set(built.values())) == len(built) - 1
            of_graph = plan.calls[built["graph"]].call.inputs["vectors"]
            assert of_graph == plan.calls[built["lance"]].call.inputs["vectors"], "encoded once"
    assert len(EXAMPLES) == 2


def test_the_tables_name_every_kind_method_and_default() -> None:
    for kind, methods in METHODS.items():
        row = re.search(rf"^\| `{kind}` \|.*$", PAGE, re.MULTILINE)
        assert row is not None, kind
        assert re.findall(r"`([\w-]+)`", row[0].split("|")[4]) == list(methods)
    for name, methods in OF_METHOD.items():
        default = VectorIndex.model_fields[name].default
        shown = f"`{name}` ({default})" if default is not None else f"`{name}` ("
        rows = [line for line in PAGE.splitlines() if shown in line]
        assert rows, name
        assert all(f"| `{method}` |" in PAGE for method in methods)
    assert f"more than {PART:,} passages" in PAGE
