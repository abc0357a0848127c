"""docs/tutorial.md from an empty folder: every command as a user types it, with the embedded models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results import outcomes

PAGE = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_every_command_of_the_tutorial_runs_and_leads_to_a_verdict(tmp_path: Path) -> None:
    # The commands of the environment that runs this test come first.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    assert len(BLOCKS) >= 4
    for block in BLOCKS:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env={**os.environ, "PATH": path, "COLUMNS": "100"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr
    (folder,) = (tmp_path / ".harness" / "outcomes").iterdir()
    outcome = outcomes.read(folder / "latest")
    text = (folder / "latest" / "report.md").read_text(encoding="utf-8")
    assert "Questions are synthetic (written by embedded:smollm2-135m-instruct)" in "\n".join(text.splitlines()[:6])
    chunked = {info.name for info in outcome.systems if any("chunking" in change for change in info.changes)}
    verdicts = {row.verdict for row in outcome.comparisons if row.system in chunked}
    # Either chunkings differ significantly, or the report says how large a difference it could have shown.
    assert verdicts & {"improved", "regressed"} or "minimum detectable effect" in text
