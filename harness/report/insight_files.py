"""Diagnoses and growths as files: Markdown with pictures beside it, and a diagnosis as one HTML page.

The page is made by the same machinery as that of an outcome: it asks no network, and trusts no text that it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import diagnosis_pictures, figures, plots
from harness.report.diagnosis import diagnosed
from harness.report.html import STYLES, page, page_sections
from harness.report.learning_curve import grown, growth_pictures
from harness.report.markdown import File, environment
from harness.report.sources import source, yaml_text
from harness.values.insights import Diagnosis, LearningCurve

DIAGNOSIS_TEMPLATE, DIAGNOSIS_PAGE, GROWTH_TEMPLATE = "diagnosis.md.j2", "diagnosis.html.j2", "growth.md.j2"
SCRIPTS = ("report.js",)


def diagnosis_pictures_of(diagnosis: Diagnosis, folder: str) -> list[File]:
    """Draw the pictures of a diagnosis, to be put into a folder beside its Markdown."""
    return _files(diagnosis_pictures.pictures(diagnosis), folder)


def growth_pictures_of(curve: LearningCurve, folder: str) -> list[File]:
    """Draw the pictures of a growth, to be put into a folder beside its Markdown."""
    return _files(growth_pictures(curve), folder)


def _files(found: Iterable[plots.Plot], folder: str) -> list[File]:
    style = source("chart.css")
    return [File(f"{folder}/{one.name}.svg", one.told, plots.draw(one, style), one.section) for one in found]


def render_diagnosis_markdown(diagnosis: Diagnosis, pictures: Sequence[File] = ()) -> str:
    """Return a diagnosis as one Markdown text; `pictures` lie beside it."""
    return environment().get_template(DIAGNOSIS_TEMPLATE).render(
        diagnosis=diagnosis, report=diagnosed(diagnosis), pictures=pictures, spec=yaml_text(diagnosis.spec),
        took=figures.duration(diagnosis.seconds),
    )  # fmt: skip


def render_diagnosis_html(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as one HTML text."""
    report = diagnosed(diagnosis)
    return page(
        DIAGNOSIS_PAGE, STYLES, SCRIPTS,
        diagnosis=diagnosis,
        report=report,
        sections=page_sections(report.sections, {}, diagnosis_pictures.pictures(diagnosis)),
        spec=yaml_text(diagnosis.spec),
        took=figures.duration(diagnosis.seconds),
    )  # fmt: skip


def render_growth_markdown(curve: LearningCurve, pictures: Sequence[File] = ()) -> str:
    """Return a growth as one Markdown text; `pictures` lie beside it."""
    template = environment().get_template(GROWTH_TEMPLATE)
    return template.render(curve=curve, report=grown(curve), pictures=pictures)
