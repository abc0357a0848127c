"""Nobody changes what a stage computes and forgets its version: old artifacts would pass for new ones.

If this fails, either raise the version in `harness.stages.STAGES`, or, if the result cannot have changed, say so by
writing the golden file anew: ``python tests/test_stage_versions.py``.
"""

import ast
import hashlib
import json
from pathlib import Path

import pytest

from harness.stages import STAGES

PACKAGE = Path(__file__).parent.parent / "harness"
GOLDEN = Path(__file__).parent / "golden" / "stage_sources.json"
SHARED = {
    "models.generation", "models.search", "models.loaders", "models.inspection", "models.folders", "models.prompts",
    "relevance", "llm.templates",
}  # fmt: skip
"""Modules whose code is part of what a stage computes, beside those of stages and of training."""


def shared(name: str) -> bool:
    return name in SHARED or (name.startswith(("stages.", "training.")) and (PACKAGE / path_of(name)).is_file())


def path_of(name: str) -> str:
    return f"{name.replace('.', '/')}.py"


def source_digest(module: str) -> str:
    """Digest of what a module and the shared ones it imports do: no comments, no docstrings, no formatting."""
    seen: set[str] = set()
    waiting = [f"stages.{module}"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [found for found in imported(tree_of(name)) if shared(found)]
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(ast.dump(without_docstrings(tree_of(name))).encode())
    return digest.hexdigest()[:16]


def tree_of(name: str) -> ast.Module:
    return ast.parse((PACKAGE / path_of(name)).read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> set[str]:
    """Modules of the package that a tree imports, by their names inside the package."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness"):
            base = (node.module or "").removeprefix("harness").removeprefix(".")
            found |= {base} | {f"{base}.{alias.name}".removeprefix(".") for alias in node.names}
    return found


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                item for item in body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
            ]
    return tree


def current() -> dict[str, list[object]]:
    return {name: [stage.version, source_digest(name)] for name, stage in STAGES.items()}


@pytest.mark.parametrize("name", STAGES)
def test_a_changed_stage_has_another_version(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert current()[name] == golden.get(name), f"{name} changed: see the top of this file"


def test_shared_modules_are_part_of_the_digest() -> None:
    assert "models.generation" in imported(tree_of("stages.answer"))
    assert "models.search" in imported(tree_of("stages.retrieve"))
    assert "stages.prompts" in imported(tree_of("stages.synthesize"))
    assert "training.retrievers" in imported(tree_of("stages.tune_retriever"))
    assert shared("training.raw")
    assert not shared("stages.common.encode")


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(current(), indent=1) + "\n", encoding="utf-8")
