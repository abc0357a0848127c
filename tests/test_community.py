"""What stands around the code: forms for issues, the changelog, and what they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
KINDS = {"textarea", "input", "dropdown", "markdown", "checkboxes"}
CHANGES = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


@pytest.mark.parametrize("path", [one for one in FORMS if one.name != "config.yml"], ids=lambda path: path.name)
def test_a_form_has_what_the_forge_wants(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(form) == {"name", "description", "labels", "body"}
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids))
    for part in form["body"]:
        assert part["type"] in KINDS
        assert set(part) <= {"type", "id", "attributes", "validations"}
        assert part["attributes"]["label"]
        assert all(isinstance(option, str) for option in part["attributes"].get("options", ()))
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_there_is_a_form_for_each_kind() -> None:
    assert {path.stem for path in FORMS} == {"bug", "wrong-number", "feature", "config"}


def test_the_changelog_has_the_kinds_of_changes_in_their_order() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert versions[0].startswith("Unreleased\n")
    for version in versions:
        kinds = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert kinds == [kind for kind in CHANGES if kind in kinds]
        assert re.match(r"Unreleased$|\d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}$", version.splitlines()[0])


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_pages_that_are_named_are_there(name: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link
