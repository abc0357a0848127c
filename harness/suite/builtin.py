"""Where the shipped suites, fixtures and baselines are: in the installed package first, then in the checkout."""

from __future__ import annotations

import difflib
from pathlib import Path

from harness.errors import ConfigError, Problem, nearest
from harness.files import exists, is_file, is_folder

PACKAGE = Path(__file__).parents[1] / "_data"
CHECKOUT = Path(__file__).parents[2]
SUITE_FILE = "suite.yaml"
YAML = (".yaml", ".yml")
HINT = "give a suite file, a folder that holds suite.yaml, or a shipped suite ('harness list' shows them)"


def folder(kind: str) -> Path:
    """Return the folder `suites` or `fixtures`; raise ConfigError naming both places if there is none."""
    for root in (PACKAGE, CHECKOUT):
        if is_folder(root / kind):
            return root / kind
    raise ConfigError(f"no folder '{kind}' in {PACKAGE} or {CHECKOUT}; reinstall rag-tuning-harness")


def suite_names() -> list[str]:
    """Names of the shipped suites."""
    return sorted(path.parent.name for path in folder("suites").glob(f"*/{SUITE_FILE}"))


def find_suite(name_or_path: str | Path) -> Path:
    """Return the suite file that a path (to it or to its folder) or the name of a shipped suite means."""
    path = Path(name_or_path)
    if is_file(path):
        return path
    if is_file(path / SUITE_FILE):
        return path / SUITE_FILE
    if len(path.parts) == 1 and path.name in suite_names():
        return folder("suites") / path.name / SUITE_FILE
    raise ConfigError(Problem("", f"no suite {str(name_or_path)!r}", _meant(path)))


def _meant(path: Path) -> str:
    """Return the suite whose name is nearest, of those that are shipped or lie beside the path; else what to give."""
    there = path.parent.glob("*") if is_folder(path.parent) else ()
    beside = [one.name for one in there if one.suffix in YAML or is_file(one / SUITE_FILE)]
    near = difflib.get_close_matches(path.name, beside, n=1)
    if len(path.parts) == 1 and not path.suffix and not exists(path):
        return nearest(path.name, [*suite_names(), *near])
    return f"did you mean {str(path.parent / near[0])!r}?" if near else HINT


def find_fixture(text: str) -> Path | None:
    """Return the folder that ``fixture:pocket`` means; None if the text names no fixture."""
    if not text.startswith("fixture:"):
        return None
    return folder("fixtures") / text.removeprefix("fixture:")
