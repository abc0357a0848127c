"""Reports as Markdown, with pictures beside it: every table, and all that is needed to trace the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment

from harness.report import format as fmt
from harness.report import seedless
from harness.report.charts.values import Chart
from harness.report.content import gates, reading, suite_results
from harness.report.content.boards import from_accepted, history, sentences, standing
from harness.report.content.curve import curve_contents
from harness.report.content.diagnosis import diagnosed
from harness.report.content.outcome import contents
from harness.report.content.questions import first_line
from harness.report.format import BEST_NOTE, cell_text
from harness.report.model import Cell, Table
from harness.report.render.templates import escaped, markdown_environment, source, yaml_text
from harness.report.view import view
from harness.statistics.verdicts import Gating
from harness.values.boards import Board
from harness.values.findings import Outcome
from harness.values.insights import Diagnosis, LearningCurve
from harness.values.suite_results import SuiteResults


class Picture(NamedTuple):
    """A picture that lies beside the text: its path from there, what it says, its content, and where it is shown.

    A picture of no `section` stands below the answer.
    """

    path: str
    description: str
    svg: str
    section: str = ""


def outcome_pictures(outcome: Outcome, folder: str) -> list[Picture]:
    """Draw the pictures of an outcome, to be put into a folder beside its Markdown."""
    from harness.report.charts.diagnosis import before
    from harness.report.charts.outcome import forests, scatters

    seen = view(outcome)
    return _drawn([*forests(seen), *scatters(seen), *before(outcome)], folder)


def diagnosis_pictures(diagnosis: Diagnosis, folder: str) -> list[Picture]:
    """Draw the pictures of a diagnosis, to be put into a folder beside its Markdown."""
    from harness.report.charts.diagnosis import diagnosis_charts

    return _drawn(diagnosis_charts(diagnosis), folder)


def learning_curve_pictures(curve: LearningCurve, folder: str) -> list[Picture]:
    """Draw the pictures of a learning curve, to be put into a folder beside its Markdown."""
    from harness.report.charts.diagnosis import learning_charts

    return _drawn(learning_charts(curve), folder)


def _drawn(charts: Iterable[Chart], folder: str) -> list[Picture]:
    from harness.report.charts.draw import draw

    style = source("chart.css")
    return [Picture(f"{folder}/{one.name}.svg", one.description, draw(one, style), one.section) for one in charts]


def render_markdown(outcome: Outcome, pictures: Sequence[Picture] = ()) -> str:
    """Return the report of an outcome as one Markdown text; `pictures` lie beside it."""
    return _rendered(
        "report.md.j2",
        outcome=outcome,
        report=contents(outcome),
        pictures=pictures,
        how_to_read=reading.how_to_read(view(outcome)),
        spec=yaml_text(outcome.spec),
        took=fmt.duration(outcome.seconds),
        seeds=outcome.spec.get("seeds", ()),
        data_seed=(outcome.spec.get("data") or {}).get("data_seed"),
    )


def render_diagnosis_markdown(diagnosis: Diagnosis, pictures: Sequence[Picture] = ()) -> str:
    """Return the report of a diagnosis as one Markdown text; `pictures` lie beside it."""
    return _rendered(
        "diagnosis.md.j2",
        diagnosis=diagnosis,
        report=diagnosed(diagnosis),
        pictures=pictures,
        spec=yaml_text(diagnosis.spec),
        took=fmt.duration(diagnosis.seconds),
    )


def render_learning_curve_markdown(curve: LearningCurve, pictures: Sequence[Picture] = ()) -> str:
    """Return a learning curve as one Markdown text; `pictures` lie beside it."""
    return _rendered("learning-curve.md.j2", curve=curve, report=curve_contents(curve), pictures=pictures)


def render_boards(boards: Sequence[Board]) -> str:
    """Return the leaderboard as one Markdown text."""
    shown = [seedless.of_board(board) for board in boards]
    parts = [(board, standing(board), history(board), list(sentences(board))) for board in shown]
    return _rendered("leaderboard.md.j2", parts=parts, accepted=from_accepted(boards))


def render_results(results: Sequence[SuiteResults], folder: str, path: str) -> str:
    """Return what paid where as one Markdown text; `folder` has the accepted scores, `path` is that of the text."""
    content = suite_results
    results = [seedless.of_results(one) for one in results]
    tables = [
        make(results) for make in (content.summary, content.closer, content.paid, content.did_not_pay, content.data)
    ]
    commands = [
        *(f'harness run {suite} && harness accept {suite} --reason "..."' for suite in (one.suite for one in results)),
        f"harness leaderboard --baselines {folder} --results {path}",
    ]
    synthetic = list(content.synthetic(results))
    return _rendered("results.md.j2", synthetic=synthetic, tables=tables, commands="\n".join(commands))


def render_gating(gating: Gating, brief: bool = False) -> str:
    """Return what gates found as Markdown, for the summary of a CI job; `brief` has what fails only, and no table."""
    said, gating = gates.subject(gating), seedless.of_gating(gating)
    lines = [*gates.sentences(gating.failing if brief else gating.verdicts), *gates.remarks(gating)]
    synthetic = first_line(gating.questions)
    return "\n".join(
        ([f"**{escaped(synthetic)}**", ""] if synthetic else [])
        + [f"## {escaped(gates.heading(gating))}", "", escaped(said), ""]
        + ([] if brief else [table_text(gates.table(gating)), ""])
        + [f"- {escaped(line)}" for line in lines]
        + [""]
    )


def environment() -> Environment:
    """Return the environment of Markdown, with its filter for tables."""
    templates = markdown_environment()
    templates.filters["table"] = table_text
    return templates


def _rendered(template: str, **values: Any) -> str:
    return environment().get_template(template).render(**values)


def table_text(table: Table) -> str:
    """Return a table with its caption and footnotes, without its title."""
    lines = [
        _row([escaped(column.name) for column in table.columns]),
        _row([":---" if column.align == "left" else "---:" for column in table.columns]),
        *(_row([_cell(cell) for cell in row]) for row in table.rows),
    ]
    for note in (" ".join(text for text in (table.caption, BEST_NOTE if table.has_best else "") if text), *table.notes):
        lines += ["", escaped(note)] if note else []
    return "\n".join(lines)


def _row(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    text = escaped(cell_text(cell))
    return f"**{text}**" if cell.tone == "best" else text
