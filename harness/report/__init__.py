"""What an outcome, a diagnosis or a curve says, for people: on a terminal (`report.terminal`) and as files.

A report reads values and computes nothing. Importing this package is cheap: what draws is imported when it draws.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.values.findings import Outcome
from harness.values.insights import Diagnosis, LearningCurve

if TYPE_CHECKING:
    from harness.report.markdown import File
    from harness.values.evidence import Evidence

REPORT_FILE, PAGE_FILE, CHARTS = "report.md", "report.html", "charts"
DIAGNOSIS_FILE, DIAGNOSIS_PAGE, CURVE_FILE = "diagnosis.md", "diagnosis.html", "curve.md"


def write_reports(outcome: Outcome, folder: Path, evidence: Evidence | None = None) -> list[Path]:
    """Write the report files of an outcome into a folder, each whole or not at all, and return their paths.

    The pictures of the Markdown lie below it, in `charts`. Without `evidence` the page has no query explorer.
    """
    from harness.report.markdown import pictures_of, render_markdown

    pictures = pictures_of(outcome, CHARTS)
    _make(folder, pictures)
    return [
        _write(folder / REPORT_FILE, render_markdown(outcome, pictures)),
        write_html(outcome, folder / PAGE_FILE, evidence),
        *(_write(folder / picture.path, picture.svg) for picture in pictures),
    ]


def write_diagnosis(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write the report files of a diagnosis into a folder, each whole or not at all, and return their paths."""
    from harness.report import insight_files as made

    pictures = made.diagnosis_pictures_of(diagnosis, CHARTS)
    _make(folder, pictures)
    return [
        _write(folder / DIAGNOSIS_FILE, made.render_diagnosis_markdown(diagnosis, pictures)),
        _write(folder / DIAGNOSIS_PAGE, made.render_diagnosis_html(diagnosis)),
        *(_write(folder / picture.path, picture.svg) for picture in pictures),
    ]


def write_learning_curve(curve: LearningCurve, folder: Path) -> list[Path]:
    """Write what a curve says into a folder, each file whole or not at all, and return their paths."""
    from harness.report import insight_files as made

    pictures = made.growth_pictures_of(curve, CHARTS)
    _make(folder, pictures)
    return [
        _write(folder / CURVE_FILE, made.render_growth_markdown(curve, pictures)),
        *(_write(folder / picture.path, picture.svg) for picture in pictures),
    ]


def _make(folder: Path, pictures: Sequence[File]) -> None:
    """Make a folder for files, and one for pictures below it if there are any."""
    folder.mkdir(parents=True, exist_ok=True)
    if pictures:
        (folder / CHARTS).mkdir(exist_ok=True)


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
