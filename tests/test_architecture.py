"""docs/architecture.md names the packages and modules that exist, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "harness"
PAGE = ROOT / "docs" / "architecture.md"
MARK = "<!-- modules -->\n"


def packages() -> list[Path]:
    return sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)


def modules(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("__"))


def module_lines() -> Iterator[str]:
    """One line for each package, with its modules."""
    for folder in packages():
        yield f"* `{folder.relative_to(PACKAGE).as_posix()}`: {', '.join(modules(folder)) or 'no modules'}\n"


def tree(page: str) -> list[str]:
    """The names in the tree of the page, in its order."""
    block = re.search(r"```\nharness/\n(.*?)```", page, re.DOTALL)
    assert block is not None
    return [line.split()[0] for line in block[1].splitlines()]


def test_the_tree_names_every_package_and_root_module() -> None:
    existing = [f"{folder.relative_to(PACKAGE).as_posix()}/" for folder in packages()]
    existing += [f"{name}.py" for name in modules(PACKAGE)]
    assert sorted(tree(PAGE.read_text(encoding="utf-8"))) == sorted(existing)


def test_the_list_of_modules_is_up_to_date() -> None:
    """If it is not: python tests/test_architecture.py."""
    assert PAGE.read_text(encoding="utf-8").partition(MARK)[2].splitlines() == [line.strip() for line in module_lines()]


def test_files_that_a_change_touches_exist() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| to add |")[2].partition("\n\n")[0]
    named = re.findall(r"`([\w/]+(?:\.\w+|/))`", table)
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).exists() or (PACKAGE / name).exists(), name


if __name__ == "__main__":
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + MARK + "".join(module_lines()), encoding="utf-8")
