"""What docs/ingest.md says is what happens: its commands run; its example, limits and suffixes are the real ones."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import documents
import pytest
from command import exit_code
from ingesting import rows

from harness.ingest.apart import GIGABYTES, LIMITS, MEGABYTE
from harness.ingest.readers.formats import FORMATS
from harness.suite.files import load_suite

PAGE = (Path(__file__).parent.parent / "docs" / "ingest.md").read_text(encoding="utf-8")
COMMANDS = [line for line in PAGE.splitlines() if line.startswith("harness ")]
COMMANDS += re.findall(r"`(harness ingest \w+ [^`]*)`", PAGE)


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, *arguments = shlex.split(command)
    assert exit_code(monkeypatch, *arguments) == 0, command


def test_the_commands_of_the_page_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents.write(tmp_path, {"docs/house/pump.md": "# Pump\n\n## Oil\n\nOnce a year.\n", "faq.html": documents.html(),
                               "handbook/faq.html": documents.html(title="Other"),
                               "testset.csv": "question,context\nWhat?,A context in no document.\n"})  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 4
    first, testset, suite, several = COMMANDS
    run(first, monkeypatch)
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    assert rows(tmp_path / "data") == [json.loads(example[1])]
    run(testset, monkeypatch)
    assert len(rows(tmp_path / "data")) == 2
    assert len(rows(tmp_path / "data", "queries.jsonl")) == 1
    run(first, monkeypatch)
    run(suite, monkeypatch)
    assert load_suite(tmp_path / "my-suite")[0].name == "my-suite"
    run(several, monkeypatch)
    assert [row["_id"] for row in rows(tmp_path / "data")] == ["faq.html", "faq.html/faq.html"]


def test_the_page_names_every_suffix_that_a_file_of_a_format_usually_has() -> None:
    table = PAGE.partition("| files | how |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\.\w+)`", table))
    every = {suffix for suffixes in FORMATS.values() for suffix in suffixes}
    assert named <= every
    assert {suffixes[0] for suffixes in FORMATS.values()} <= named


def test_the_page_gives_the_limits_that_there_are() -> None:
    assert f"`--max-file-mb` ({LIMITS.bytes // MEGABYTE})" in PAGE
    assert f"`--max-file-seconds` ({LIMITS.seconds:g}), or more than {GIGABYTES} GB" in PAGE
