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
        "answers.jsonl": [{"_id": f"q{key}", "answers": ["old"], "answerable": True} for key, _ in topics[:6]],
    }
    for name, lines in rows.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    judged = [json.dumps({"query_id": f"q{key}", "doc_id": key, "relevance": 1}) + "\n" for key, _ in topics]
    (folder / "qrels" / "test.jsonl").write_text("".join(judged), encoding="utf-8")
    return folder


def check(work: Path) -> None:
    """Assert that what was written by a run on such ids is within bounds: names of files, pages, and rankings."""
    names = {part for path in (work / ".harness").rglob("*") for part in path.relative_to(work).parts}
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name)] == []
    (folder,) = (path.parent for path in (work / ".harness" / "outcomes").glob("toy/2*/outcome.json"))
    assert outcomes.read(folder).summaries
    assert "<script>alert(1)" not in (folder / "report.html").read_text(encoding="utf-8")
    assert "\x1b" not in (folder / "report.md").read_text(encoding="utf-8")
    run = next(folder.rglob("*.trec")).read_text(encoding="utf-8")
    assert all(len(line.split()) == 6 for line in run.splitlines())


@pytest.mark.slow
def test_a_run_on_hostile_ids_writes_nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, tests/test_secret_bytes.py does the same in its run."""
    work = tmp_path / "a" / "b" / "c" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    dataset(work / "data")
    changes = {**drivers.CHANGES, "dataset": {"path": "data"}, "candidates": {}, "gates": [], "pipeline.depth": 10}
    (work / "suite.yaml").write_text(pocket.suite_text(changes), encoding="utf-8")
    before = {path for path in tmp_path.rglob("*") if work not in path.parents}
    benchmark.run(work / "suite.yaml", work / ".harness", executor=drivers.Here())
    assert {path for path in tmp_path.rglob("*") if work not in path.parents} == before
    check(work)
