"""What tests of single stages need: folders for their inputs, and a progress that nobody watches."""

from __future__ import annotations

from pathlib import Path


def silent(done: int, total: int) -> None:
    """A progress that shows nothing."""


def part(root: Path, name: str) -> Path:
    """The folder of an input artifact, made if it is not there."""
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name
