"""Ids of a dataset are texts: none becomes the name of a file, an element of a page, or an order to the terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import drivers
import pocket
import pytest

from harness.experiments import benchmark
from harness.results import outcomes

IDS = (
    "../../../outside", "/tmp/outside", "..", ".", "a/b/c", "C:\\outside", "a\x00b", "a\nb", "a\tb", "a b", "a\x1b[2Jb",
    "con", "-rf", "--help", "~", "$HOME", "`id`", "$(id)", "a;id", "%2e%2e%2f", "a'b", 'a"b',
    "<script>alert(1)</script>", "{{7*7}}",
    "\u202eabc", "a" * 3000, "*", "?", "|id", "latest", "manifest.json", "\ufeffa", "é", "e\u0301",
)  # fmt: skip
WORDS = ("lime", "kiln", "ferry", "mail", "slate", "roof", "bell", "tower", "wheat", "mill", "tin", "mine")


def dataset(folder: Path) -> Path:
    """A document and a question for each id that can be one."""
    (folder / "qrels").mkdir(parents=True)
    topics = [(key, f"{WORDS[number % 12]} {number}") for number, key in enumerate(IDS)]
    rows: dict[str, list[dict[str, Any]]] = {
        "corpus.jsonl": [{"_id": key, "title": key, "text": f"The {topic} is old."} for key, topic in topics],
        "queries.jsonl": [{"_id": f"q{key}", "text": f"What is the {topic}?"} for key, topic in topics],
    }
    for name, lines in rows.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    judged = [json.dumps({"query_id": f"q{key}", "doc_id": key, "relevance": 1}) + "\n" for key, _ in topics]
    (folder / "qrels" / "test.jsonl").write_text("".join(judged), encoding="utf-8")
    return folder


def test_a_run_on_hostile_ids_writes_nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "a" / "b" / "c" / "work"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    dataset(inside / "data")
    changes = {**drivers.CHANGES, "dataset": {"path": "data"}, "candidates": {}, "gates": [], "pipeline.depth": 10}
    (inside / "suite.yaml").write_text(pocket.suite_text(changes), encoding="utf-8")
    before = {path for path in tmp_path.rglob("*") if inside not in path.parents}
    done = benchmark.run(inside / "suite.yaml", inside / ".harness", executor=drivers.Here())
    assert {path for path in tmp_path.rglob("*") if inside not in path.parents} == before
    names = {part for path in (inside / ".harness").rglob("*") for part in path.relative_to(inside).parts}
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name)] == []
    read = outcomes.read(done.folder)
    assert read.summaries == done.outcome.summaries
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "\x1b" not in (done.folder / "report.md").read_text(encoding="utf-8")
    run = next(done.folder.rglob("*.trec")).read_text(encoding="utf-8")
    assert all(len(line.split()) == 6 for line in run.splitlines())
