"""What an outcome says, for people: on a terminal (`report.terminal`) and as files.

A report reads an outcome and computes nothing. Importing this package is cheap: what draws is imported when it draws.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.findings import Outcome

REPORT_FILE = "report.md"


def write_reports(outcome: Outcome, folder: Path) -> list[Path]:
    """Write the report files of an outcome into a folder, each whole or not at all, and return their paths."""
    from harness.report.markdown import render_markdown

    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / REPORT_FILE, render_markdown(outcome))]


def _write(path: Path, text: str) -> Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path
