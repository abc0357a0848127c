"""The skill for coding agents: its front matter, every command in it, and every key of JSON that it names."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import planted
import pytest
import yaml
from command import runner

SKILL = Path(__file__).resolve().parent.parent / "skills" / "rag-tuning" / "SKILL.md"
TEXT = SKILL.read_text(encoding="utf-8")
FRONT, BODY = re.fullmatch(r"---\n(.*?)\n---\n(.*)", TEXT, re.DOTALL).groups()  # type: ignore[union-attr]
FIELDS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
"""What the front matter of a skill may have (agentskills.io/specification)."""
NAMED = {
    "doctor": ("state", "detail"),
    "diagnose": ("advice",),
    "plan": ("seconds", "calls", "dollars"),
    "report": ("comparisons", "difference", "low", "high", "verdict", "best_untrained", "detectable"),
}
"""Keys of JSON that the skill tells an agent to read, by the command that prints them."""


def commands() -> list[list[str]]:
    """Every command in a block of the page, in its order, without `harness`."""
    blocks = re.findall(r"```sh\n(.*?)```", BODY, re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def test_the_front_matter_is_that_of_a_skill() -> None:
    front = yaml.safe_load(FRONT)
    assert set(front) <= FIELDS
    assert front["name"] == SKILL.parent.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", front["name"])
    assert len(front["name"]) <= 64
    assert 0 < len(front["description"]) <= 1024
    assert "Use when" in front["description"]
    assert len(front["compatibility"]) <= 500
    assert len(BODY.splitlines()) < 200


def test_commands_stand_in_blocks_and_are_all_of_the_harness() -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", BODY, re.DOTALL) for line in block.splitlines()]
    assert all(line.startswith("harness ") for line in lines)
    assert [name for name, *_ in commands()] == [
        "init", "list", "doctor", "diagnose", "plan", "run", "report", "compare", "accept", "gate", "export",
    ]  # fmt: skip
    assert all("--json" in arguments for _, *arguments in commands())


def keys_of(value: Any) -> set[str]:
    """Every key of JSON, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def test_every_command_runs_in_this_order_and_prints_the_keys_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "suites" / "support"
    planted.write_dataset(folder / "data")
    planted.write_suite(
        folder,
        name="support",
        factorial={},
        candidates={"fused": {"pipeline": {"retriever": {"bm25_weight": "dev"}}}},
        baseline_rows=["bm25", "untuned"],
        measures=["ndcg@10", "recall@10", "exact_match"],
        gates=[{"measure": "ndcg@10", "margin": 0.02}],
        diagnose={"generation_queries": 12, "candidate_minutes": 0},
    )
    monkeypatch.setattr("harness.execution.session.executor_named", lambda name, jobs: planted.Planted())
    leave = runner(monkeypatch, capsys, tmp_path)
    printed: dict[str, Any] = {}
    for name, *arguments in commands():
        code, out, error = leave(name, *arguments)
        assert code == 0, f"{name}: {out}{error}"
        printed[name] = json.loads(out)
    for name, keys in NAMED.items():
        assert set(keys) <= keys_of(printed[name]), name
        assert all(f"`{key}`" in BODY for key in keys)
    assert (tmp_path / "exported" / "pipeline.yaml").is_file()
    assert (tmp_path / ".harness" / "outcomes" / "support" / "latest" / "report.html").is_file()
