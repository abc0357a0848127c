"""Nobody changes what a stage computes and forgets its version: old artifacts would pass for new ones.

If this fails, either raise the version in `harness.stages.STAGES`, or, if the result cannot have changed, say so by
writing the golden file anew: ``python tests/test_stage_versions.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reachable import Definition, Reach, source

from harness.stages import STAGES

GOLDEN = Path(__file__).parent / "golden" / "stage_sources.json"


def starts(stage: str) -> tuple[Definition, Definition]:
    """The function and the spec class of a stage."""
    spec = "".join(part.capitalize() for part in stage.split("_"))
    return Definition(f"stages.{stage}", stage), Definition(f"stages.{stage}", spec)


REACH = Reach()


def current() -> dict[str, list[object]]:
    return {name: [stage.version, REACH.digest(*starts(name))] for name, stage in STAGES.items()}


@pytest.fixture(scope="module")
def digests() -> dict[str, list[object]]:
    return current()


@pytest.mark.parametrize("name", STAGES)
def test_a_changed_stage_has_another_version(name: str, digests: dict[str, list[object]]) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert digests[name] == golden.get(name), f"{name} changed: see the top of this file"


def test_the_golden_file_names_every_stage_and_no_other() -> None:
    assert set(json.loads(GOLDEN.read_text(encoding="utf-8"))) == set(STAGES)


def reached(stage: str) -> set[str]:
    return {found.module for found in REACH.of(*starts(stage))}


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("answer", "models.generation"),
        ("answer", "models.loaders"),
        ("answer", "data.formats"),
        ("answer", "stages.prompts"),
        ("answer", "llm.templates"),
        ("retrieve", "models.search"),
        ("substitute", "values.ideals"),
        ("synthesize", "digests"),
        ("synthesize", "llm.structured"),
        ("label", "relevance"),
        ("label", "llm.structured"),
        ("tune_retriever", "training.retrievers"),
        ("tune_retriever", "training.raw"),
    ],
)
def test_what_a_stage_uses_is_part_of_its_digest(stage: str, module: str) -> None:
    assert module in reached(stage)


@pytest.mark.parametrize(
    ("stage", "module"),
    [("answer", "training.raw"), ("retrieve", "models.generation"), ("fuse", "llm.transport"), ("index", "report")],
)
def test_what_a_stage_cannot_come_upon_is_not(stage: str, module: str) -> None:
    assert not {found for found in reached(stage) if found == module or found.startswith(f"{module}.")}


def changed(stage: str, module: str, old: str, new: str) -> bool:
    """Whether the digest of a stage changes with a module's text."""
    assert old in source(module)
    other = Reach(lambda name: source(name).replace(old, new) if name == module else source(name))
    return REACH.digest(*starts(stage)) != other.digest(*starts(stage))


@pytest.mark.parametrize(
    ("stage", "module", "old", "new"),
    [
        # One step away, and in the modules that were once left out.
        ("fuse", "data.formats", "len(fields) == 6", "len(fields) >= 6"),
        ("substitute", "values.ideals", "sorted(", "list("),
        ("tune_retriever", "digests", "sorted(ids, key", "sorted(ids, reverse=True, key"),
        ("label", "llm.structured", "json", "jsonx"),
        ("fuse", "stages.fuse", "1", "2"),
    ],
)
def test_a_change_that_computes_something_else_is_seen(stage: str, module: str, old: str, new: str) -> None:
    assert changed(stage, module, old, new)


@pytest.mark.parametrize(
    ("stage", "module", "old", "new"),
    [
        ("fuse", "data.formats", '"""Read a TREC run file.', '"""Read in other words.'),
        ("fuse", "data.formats", "\n\n", "\n\n# Another comment.\n"),
        # Not reached by this stage.
        ("fuse", "data.formats", "pq.read_table", "pq.read_tables"),
        # What a setting is set to is part of the key, its default is not part of the code.
        ("rerank", "suite.spec", "max_length: Positive = 256", "max_length: Positive = 255"),
    ],
)
def test_a_change_that_computes_nothing_else_is_not(stage: str, module: str, old: str, new: str) -> None:
    assert not changed(stage, module, old, new)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(current(), indent=1) + "\n", encoding="utf-8")
