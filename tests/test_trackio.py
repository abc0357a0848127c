"""Outcomes in a local folder of Trackio."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import outcomes as invented
import pytest

from harness.suite.tracking import Tracking, Trackio
from harness.tracking.results import send_outcome

pytestmark = pytest.mark.trackio
READ = """
import json, sys, trackio
runs = trackio.Api().runs(sys.argv[1])
told = {run.name: {"config": run.config, "id": run.id} for run in runs}
sys.stdout.write("\\n" + json.dumps(told, default=str))
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def there(project: str) -> dict[str, Any]:
    """The runs of a project, read in a process of its own."""
    done = subprocess.run([sys.executable, "-c", READ, project], check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_runs_of_an_outcome_are_a_group_and_written_once(tmp_path: Path) -> None:
    outcome = invented.normal()
    (tmp_path / "report.md").write_text("# Report\n", encoding="utf-8")
    tracking = Tracking(trackio=Trackio(project="searching"))
    (first,) = send_outcome(outcome, tmp_path, tracking)
    assert first.warning == ""
    assert first.made == len(outcome.systems) + 1
    runs = there("searching")
    assert len(runs) == first.made
    (tuned,) = [run for name, run in runs.items() if name.startswith("retriever (seed 0) ")]
    assert tuned["config"]["verdict.ndcg@10"] == "improved"
    assert tuned["config"]["tunes"] == "retriever"
    (again,) = send_outcome(outcome, tmp_path, tracking)
    assert (again.made, again.warning) == (0, "")
    assert len(there("searching")) == first.made


def test_the_project_is_the_suite_unless_it_is_named(tmp_path: Path) -> None:
    send_outcome(invented.normal(), tmp_path, Tracking(trackio=Trackio()))
    assert there("covidqa")


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "file" / "below"))
    (done,) = send_outcome(invented.normal(), tmp_path, Tracking(trackio=Trackio()))
    assert done.warning.startswith("trackio: the outcome was not sent in full (")


def test_a_server_without_a_token_and_one_that_is_down_are_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = Tracking(trackio=Trackio(address="http://127.0.0.1:9"), timeout=30)
    (refused,) = send_outcome(invented.normal(), tmp_path, tracking)
    assert "requires a write token" in refused.warning
    monkeypatch.setenv("TRACKIO_WRITE_TOKEN", "t" * 12)
    (down,) = send_outcome(invented.normal(), tmp_path, tracking)
    assert down.warning.startswith("trackio at http://127.0.0.1:9: the outcome was not sent in full (")
    assert "t" * 12 not in down.warning
