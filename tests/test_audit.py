"""The audit of the pinned versions says whether they were compared: no answer never passes for a good one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / ".ci" / "audit.py"
DOUBLE = """
import json, os, sys
told = os.environ["TOLD"]
if not told.startswith("["):
    sys.exit(told)
with open(sys.argv[sys.argv.index("--output") + 1], "w") as file:
    json.dump({"dependencies": json.loads(told), "fixes": []}, file)
"""
GOOD = {"name": "numpy", "version": "2.0", "vulns": []}
KNOWN = {"id": "PYSEC-1", "fix_versions": ["2.1"], "description": "It is\nbroken."}
BAD = {"name": "torch", "version": "2.0", "vulns": [KNOWN]}
SKIPPED = {"name": "scipy", "skip_reason": "Dependency not found on PyPI and could not be audited: scipy (1.0)"}


@pytest.mark.skipif(not SCRIPT.is_file(), reason="an archive of the sources has no scripts of CI")
@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        (json.dumps([GOOD]), 0, "1 versions compared, 0 advisories"),
        (json.dumps([GOOD, BAD]), 1, "torch 2.0: PYSEC-1, fixed in 2.1: It is broken."),
        (json.dumps([BAD, SKIPPED]), 1, "1 versions compared, 1 advisories"),
        (json.dumps([GOOD, SKIPPED]), 2, "1 versions of constraints.txt were not compared with any advisory (scipy"),
        (json.dumps([SKIPPED]), 2, "run it where the service can be reached"),
        ("[]", 2, "were not compared with any advisory"),
        ("ERROR:pip_audit._cli:Could not connect", 2, "constraints.txt was not compared with any advisory (Could not"),
    ],
)  # fmt: skip
def test_what_the_tool_tells_is_an_exit_code_and_a_sentence(told: str, code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "pip_audit").mkdir()
    (tmp_path / "pip_audit" / "__init__.py").touch()
    (tmp_path / "pip_audit" / "__main__.py").write_text(DOUBLE)
    environment = {**os.environ, "TOLD": told, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (code, "")
    assert words in done.stdout
    assert len(done.stdout.splitlines()) <= 2
