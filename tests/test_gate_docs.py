"""What `docs/gate.md` and `docs/ci/` show is what the commands take, and the story is told as it is written."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.main import load
from harness.models.loaders import EMBEDDED
from harness.suite.bounds import Gate
from harness.suite.spec import Suite

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TEXT = (DOCS / "gate.md").read_text(encoding="utf-8")
FAKE = """\
import sys
sys.path.insert(0, {tests!r})
import judged
from harness.cli import main as cli
from harness.experiments import benchmark
from harness.data.datasets import load_dataset
from harness.suite.files import load_suite

def run(suite, store, *rest, **more):
    spec, path = load_suite(suite)
    dataset = load_dataset(spec.dataset, "test")
    worse = spec.recipes.retriever.learning_rate > 1e-3
    values = {{
        ("bm25", 0): {{name: judged.scores() for name in ("ndcg@10", "recall@10")}},
        ("untuned", 0): {{name: judged.scores() for name in ("ndcg@10", "recall@10")}},
        ("tuned", 0): {{name: judged.scores(1, mean=0.1 if worse else 0.5) for name in ("ndcg@10", "recall@10")}},
    }}
    identities = dict.fromkeys(("ndcg@10", "recall@10"), dataset.digest)
    judged.write_outcome(
        path, store, judged.rows_of(values), identities=identities, dataset=dataset.describe("test", 0)
    )
    raise SystemExit(0)

benchmark.run = run
cli.main()
"""


def told(folder: Path, path: str) -> str:
    """Run the story with the first `harness` on this path; return what it prints."""
    command = ["sh", str(DOCS / "ci" / "story.sh"), str(folder / "story")]
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_story(out: str) -> None:
    parts = re.split(r"^--- .*\n", out, flags=re.MULTILINE)[1:]
    assert len(parts) == 5
    assert re.search(r"^Gate of story passed: \d new\.$", parts[0], re.MULTILINE)
    assert re.search(r"^Gate of story passed: \d equivalent\.$", parts[1], re.MULTILINE)
    assert "Gate of story failed: tuned (ndcg@10: regressed)." in parts[2]
    assert "measured differently from the accepted scores: the corpus (60 documents accepted, now 61)" in parts[3]
    assert re.search(r"^Gate of story passed: \d equivalent\.$", parts[3], re.MULTILINE)
    assert re.search(r"^Gate of story passed: \d new\.$", parts[4], re.MULTILINE)


def test_the_story_is_told_as_it_is_written(tmp_path: Path) -> None:
    """With a `harness` whose `run` makes up an outcome out of what stands in the suite and the data."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "fake.py").write_text(FAKE.format(tests=str(ROOT / "tests")))
    fake = tmp_path / "bin" / "harness"
    fake.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / "fake.py"))} "$@"\n')
    fake.chmod(0o755)
    check_story(told(tmp_path, str(fake.parent)))


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(embedded.module) for embedded in EMBEDDED.values()),
    reason="the embedded models are not installed",
)
def test_the_story_is_true_of_real_models(tmp_path: Path) -> None:
    check_story(told(tmp_path, str(Path(sys.executable).parent)))


def scripts(value: Any) -> Iterator[str]:
    """Shell lines of a CI file."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("run", "script"):
                yield from item.splitlines() if isinstance(item, str) else item
            else:
                yield from scripts(item)
    elif isinstance(value, list):
        for item in value:
            yield from scripts(item)


def commands() -> Iterator[str]:
    """Every `harness ...` of the CI files and of the page's shell blocks."""
    for path in sorted((DOCS / "ci").glob("*.yml")):
        if path.name == "supply-chain.yml":
            # It looks at packages, and runs no suite.
            continue
        found = [line for line in scripts(yaml.safe_load(path.read_text())) if line.startswith("harness ")]
        assert len(found) >= 2, path
        yield from found
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL):
        yield from (line.split(" #")[0].strip() for line in block.splitlines() if line.startswith("harness "))


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_shown_is_one_that_there_is(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    load(name).make_context(name, arguments)


def test_the_example_of_gates_is_one() -> None:
    example = re.search(r"```yaml\n(gates:.*?)```", TEXT, re.DOTALL)
    assert example is not None
    value = yaml.safe_load(example[1])
    gates = [Gate.model_validate(gate) for gate in value["gates"]]
    assert {gate.name for gate in gates} >= {"ndcg@10", "utility", "p95_ms", "cost_per_1000 ceiling"}
    assert value.keys() - {"gates"} <= Suite.model_fields.keys()


def test_files_named_are_there() -> None:
    named = set(re.findall(r"\]\(([^)#]+)\)", TEXT))
    assert {"ci/github.yml", "ci/gitlab.yml", "ci/story.sh"} <= named
    for name in named:
        assert (DOCS / name).exists(), name


def test_every_verdict_is_explained() -> None:
    for word in (
        "improved", "equivalent", "inconclusive", "regressed", "new", "missing", "failed", "not comparable",
        "within bound", "over bound", "not compared",
    ):  # fmt: skip
        assert f"| `{word}` |" in TEXT
