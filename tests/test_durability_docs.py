"""The page about what survives names tests that exist, and commands that run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_cli import Leave, leave  # noqa: F401

from harness.store import FolderStore

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "durability.md").read_text(encoding="utf-8")
KEY = "ab" + "0" * 30
COMMANDS = [line.split("#")[0].split()[1:] for line in PAGE.splitlines() if line.startswith("    harness ")]


def test_each_promise_names_a_test_that_exists() -> None:
    rows = [line for line in PAGE.split("## How")[0].splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 5
    for row in rows:
        assert [(ROOT / name).is_file() for name in re.findall(r"`(tests/\S+)`", row)] == [True], row


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_runs(command: list[str], tmp_path: Path, leave: Leave) -> None:  # noqa: F811
    store = FolderStore(tmp_path / ".harness" / "store")
    with store.claim(KEY) as folder:
        (folder / "file").write_text("content")
        store.commit(KEY, folder, {})
    code, _, error = leave(*[KEY if word == "KEY" else word for word in command])
    assert (code, error) == (0, "")
