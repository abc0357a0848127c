"""Reports of outcomes, diagnoses and learning curves: on a terminal (`report.render.terminal`) and as files.

A report reads values and computes nothing. Importing this package is cheap: what draws is imported when it draws.

`model` has the values that a report is made of, `format` makes text of numbers, `content` decides what is shown,
`charts` draws pictures, and `render` writes for the terminal, as Markdown, HTML and JUnit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.values.findings import Outcome
from harness.values.insights import Diagnosis, LearningCurve

if TYPE_CHECKING:
    from harness.report.render.markdown import Picture
    from harness.values.evidence import Evidence

REPORT_FILE, PAGE_FILE, CHARTS = "report.md", "report.html", "charts"
DIAGNOSIS_FILE, DIAGNOSIS_PAGE, CURVE_FILE = "diagnosis.md", "diagnosis.html", "curve.md"


def write_reports(outcome: Outcome, folder: Path, evidence: Evidence | None = None) -> list[Path]:
    """Write the report files of an outcome into a folder, each whole or not at all, and return their paths.

    The pictures of the Markdown lie below it, in `charts`. Without `evidence` the page has no query explorer.
    """
    from harness.report.render import html, markdown

    pictures = markdown.outcome_pictures(outcome, CHARTS)
    texts = {REPORT_FILE: markdown.render_markdown(outcome, pictures), PAGE_FILE: html.render_html(outcome, evidence)}
    return _write(folder, texts, pictures)


def write_diagnosis(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write the report files of a diagnosis into a folder, each whole or not at all, and return their paths."""
    from harness.report.render import html, markdown

    pictures = markdown.diagnosis_pictures(diagnosis, CHARTS)
    texts = {
        DIAGNOSIS_FILE: markdown.render_diagnosis_markdown(diagnosis, pictures),
        DIAGNOSIS_PAGE: html.render_diagnosis_html(diagnosis),
    }
    return _write(folder, texts, pictures)


def write_learning_curve(curve: LearningCurve, folder: Path) -> list[Path]:
    """Write the report of a learning curve into a folder, each file whole or not at all, and return their paths."""
    from harness.report.render import markdown

    pictures = markdown.learning_curve_pictures(curve, CHARTS)
    return _write(folder, {CURVE_FILE: markdown.render_learning_curve_markdown(curve, pictures)}, pictures)


def write_html(outcome: Outcome, path: Path, evidence: Evidence | None = None) -> Path:
    """Write the page of an outcome, whole or not at all, and return its path."""
    from harness.report.render.html import render_html

    return _write(path.parent, {path.name: render_html(outcome, evidence)}, ())[0]


def _write(folder: Path, texts: dict[str, str], pictures: Sequence[Picture]) -> list[Path]:
    from harness.files import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    if pictures:
        (folder / CHARTS).mkdir(exist_ok=True)
    contents = {**texts, **{picture.path: picture.svg for picture in pictures}}
    for name, text in contents.items():
        write_atomically(folder / name, text)
    return [folder / name for name in contents]
