"""What an outcome says, for people: on a terminal (`report.terminal`) and as files.

A report reads an outcome and computes nothing. Importing this package is cheap: what draws is imported when it draws.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.findings import Outcome

if TYPE_CHECKING:
    from harness.report.explorer import Evidence

REPORT_FILE, PAGE_FILE, CHARTS = "report.md", "report.html", "charts"


def write_reports(outcome: Outcome, folder: Path, evidence: Evidence | None = None) -> list[Path]:
    """Write the report files of an outcome into a folder, each whole or not at all, and return their paths.

    The pictures of the Markdown lie below it, in `charts`. Without `evidence` the page has no query explorer.
    """
    from harness.report.markdown import pictures_of, render_markdown

    pictures = pictures_of(outcome, CHARTS)
    folder.mkdir(parents=True, exist_ok=True)
    if pictures:
        (folder / CHARTS).mkdir(exist_ok=True)
    return [
        _write(folder / REPORT_FILE, render_markdown(outcome, pictures)),
        write_html(outcome, folder / PAGE_FILE, evidence),
        *(_write(folder / picture.path, picture.svg) for picture in pictures),
    ]


def write_html(outcome: Outcome, path: Path, evidence: Evidence | None = None) -> Path:
    """Write the page of an outcome, whole or not at all, and return its path."""
    from harness.report.html import render_html

    return _write(path, render_html(outcome, evidence))


def _write(path: Path, text: str) -> Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path
