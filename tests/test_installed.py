"""What an installed wheel must be able to do away from the checkout; the tox environment `wheel` runs only this."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def harness(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command away from the checkout, so that only what is installed can be found."""
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


def test_shipped_suites_are_found(tmp_path: Path) -> None:
    found = harness("list", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert {"quickstart", "scipy-api", "pocket"} <= set(json.loads(found.stdout)["suites"])


def test_shipped_fixture_can_be_planned(tmp_path: Path) -> None:
    found = harness("plan", "pocket", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    stages = {call["stage"] for call in json.loads(found.stdout)["calls"]}
    assert {"synthesize", "mine", "tune_retriever", "answer"} <= stages


def test_built_documentation_can_be_planned(tmp_path: Path) -> None:
    found = harness("plan", "quickstart", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "tune retriever of retriever, seed 0" in {call["call"] for call in json.loads(found.stdout)["calls"]}


def test_version_agrees_with_the_distribution() -> None:
    from importlib.metadata import version

    import harness as package

    assert version("rag-tuning-harness") == package.__version__


@pytest.mark.filterwarnings("default")
def test_ragas_imports_within_our_bounds() -> None:
    code = "import os; os.environ['RAGAS_DO_NOT_TRACK'] = 'true'; import ragas.metrics.collections"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stderr
