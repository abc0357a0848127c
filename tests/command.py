"""The command `harness`, run in this process: its exit code, and what it wrote."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.cli import main as cli


class Left(NamedTuple):
    """What a command left behind: its exit code, and what it wrote to stdout and to stderr."""

    code: int
    out: str
    error: str


Leave = Callable[..., Left]


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command with these arguments; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    code = caught.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def runner(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path | None = None,
    columns: int = 200,
) -> Leave:
    """Return a function that runs the command on a terminal of so many columns, in a folder if one is given."""
    monkeypatch.setenv("COLUMNS", str(columns))
    if folder is not None:
        monkeypatch.chdir(folder)

    def leave(*arguments: object) -> Left:
        code = exit_code(monkeypatch, *arguments)
        return Left(code, *capsys.readouterr())

    return leave
