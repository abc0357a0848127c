"""Environments of tox can start the commands that they name: tox refuses outside ones that are not allowed."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest

FILE = RawConfigParser()
FILE.read(Path(__file__).parent.parent / "tox.ini", encoding="utf-8")
INSTALLED = {"python", "pytest", "harness", "ruff", "lint-imports", "mypy"}
"""Programs that the dependencies of the environments install into them."""


@pytest.mark.parametrize("name", [name for name in FILE.sections() if name.startswith("testenv")])
def test_every_command_is_installed_or_allowed(name: str) -> None:
    section = FILE[name]
    commands = [line for key in ("commands_pre", "commands") for line in section.get(key, "").splitlines()]
    programs = {line.split()[0] for line in commands if line.strip()} - {"{[models]commands_pre}"}
    allowed = set(section.get("allowlist_externals", "").split())
    assert programs <= INSTALLED | allowed
    assert allowed <= programs
