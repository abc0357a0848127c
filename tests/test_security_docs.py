"""The page of the threat model names tests that exist, for each sentence, and no page says the same twice."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
POLICY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
HOLDS = PAGE.partition("## What holds\n")[2].partition("## What does not hold")[0]


def test_each_sentence_names_a_test_that_exists() -> None:
    parts = HOLDS.split("### ")[1:]
    assert len(parts) == 4
    for part in parts:
        rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
        assert len(rows) >= 5
        for row in rows:
            named = re.findall(r"`(tests/\S+)`", row)
            assert [(ROOT / name).is_file() for name in named] == [True], row


def test_every_test_of_hostile_input_is_named() -> None:
    for path in (ROOT / "tests").glob("test_hostile_*.py"):
        assert f"`tests/{path.name}`" in HOLDS


def test_the_policy_leaves_what_holds_to_the_page() -> None:
    assert "(docs/security.md)" in POLICY
    assert "| " not in POLICY
    lines = {line for line in POLICY.splitlines() if len(line) > 30}
    assert not lines & set(PAGE.splitlines())


def test_environments_that_are_named_exist() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    for name in ("audit", "sbom"):
        assert f"`tox -e {name}`" in PAGE
        assert f"[testenv:{name}]" in tox
        assert f"tox -e {name}" in (ROOT / "docs" / "ci" / "supply-chain.yml").read_text(encoding="utf-8")
