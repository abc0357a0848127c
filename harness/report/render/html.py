"""Reports as one HTML file each: opened from disk, it asks no network and trusts no text that it shows.

Templates escape everything; the style sheet and the script are the only ones that the page lets run, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from harness.report import format as fmt
from harness.report.charts.diagnosis import before, diagnosis_charts
from harness.report.charts.draw import draw
from harness.report.charts.outcome import scatters
from harness.report.charts.scatter import left_out, legend
from harness.report.charts.values import Chart
from harness.report.content import reading
from harness.report.content.costs import COST
from harness.report.content.diagnosis import diagnosed
from harness.report.content.outcome import contents
from harness.report.explorer import pack
from harness.report.model import Item, Section
from harness.report.render.page_tables import HEIGHT, WIDTH, PageTable, page_table, page_tables
from harness.report.render.templates import page_environment, source, yaml_text
from harness.report.view import view
from harness.values.evidence import Evidence
from harness.values.findings import Outcome
from harness.values.insights import Diagnosis

STYLES = ("chart.css", "report.css")
SCRIPTS = ("report.js", "explorer.js")
GLYPHS = {
    "improved": "\N{BLACK UP-POINTING TRIANGLE}",
    "regressed": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "equivalent": "\N{BLACK SQUARE}",
    "inconclusive": "\N{BLACK CIRCLE}",
    "failed": "\N{MULTIPLICATION X}",
}
_BOLD, _CODE = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"`(.+?)`")


class PageSection(NamedTuple):
    """A section with its tables and pictures as a page draws them; `notes` say how its pictures are read."""

    slug: str
    short: str
    title: str
    sentences: tuple[str, ...]
    drawings: list[Markup]
    notes: tuple[str, ...]
    tables: list[PageTable]
    items: tuple[Item, ...]
    in_full: list[PageTable]
    folded: str


def render_html(outcome: Outcome, evidence: Evidence | None = None) -> str:
    """Return the report of an outcome as one HTML text; without evidence it has no query explorer."""
    seen, report = view(outcome), contents(outcome)
    margins = {row.measure: row.margin for row in outcome.comparisons}
    charts = scatters(seen)
    names = ("together", "together_in_full", "verdicts", "answers", "costs", "data")
    groups: dict[str, Any] = {name: page_tables(getattr(report, name), margins) for name in names}
    return page(
        "report.html.j2",
        SCRIPTS,
        outcome=outcome,
        report=report,
        systems=page_tables((table for table in report.answer if table.name != COST), margins),
        cost=page_tables((table for table in report.answer if table.name == COST), margins),
        pictures=charts,
        drawings=[Markup(draw(chart)) for chart in charts],
        legend=legend(charts),
        left_out=left_out(charts),
        after=page_sections(report.after, margins, before(outcome)),
        provenance=page_tables((*report.provenance, *report.identities), margins),
        packages=page_table(report.packages, margins) if report.packages else None,
        how_to_read=[_marked_up(line) for line in reading.how_to_read(seen)],
        spec=yaml_text(outcome.spec),
        took=fmt.duration(outcome.seconds),
        explorer=pack(outcome, evidence) if evidence is not None and evidence.rows else None,
        **groups,
    )


def render_diagnosis_html(diagnosis: Diagnosis) -> str:
    """Return the report of a diagnosis as one HTML text."""
    report = diagnosed(diagnosis)
    return page(
        "diagnosis.html.j2",
        SCRIPTS[:1],
        diagnosis=diagnosis,
        report=report,
        sections=page_sections(report.sections, {}, diagnosis_charts(diagnosis)),
        spec=yaml_text(diagnosis.spec),
        took=fmt.duration(diagnosis.seconds),
    )


def page(
    template: str, scripts: tuple[str, ...], styles: tuple[str, ...] = STYLES, connect: str = "", **values: Any
) -> str:
    """Return a page from a template with its style sheets and scripts; its policy lets no others run.

    `connect` says where its script may send requests, in the words of such a policy; nowhere by default.
    """
    style, script = ("\n".join(map(source, names)) for names in (styles, scripts))
    shared = {"style": Markup(style), "script": Markup(script), "glyphs": GLYPHS}
    shared |= {"policy": policy(scripts, styles, connect)}
    return page_environment().get_template(template).render(plot=(WIDTH, HEIGHT), **shared, **values)


def policy(scripts: tuple[str, ...], styles: tuple[str, ...] = STYLES, connect: str = "") -> str:
    """Return the content security policy of a page with these scripts and style sheets."""
    style, script = (_digest("\n".join(map(source, names))) for names in (styles, scripts))
    asks = f"connect-src {connect}; " if connect else ""
    return (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; {asks}"
        "base-uri 'none'; form-action 'none'"
    )


def page_sections(
    sections: Iterable[Section], margins: Mapping[str, float], charts: Iterable[Chart]
) -> list[PageSection]:
    """Prepare sections to be drawn, each with its own pictures."""
    by_section: dict[str, list[Chart]] = {}
    for chart in charts:
        by_section.setdefault(chart.section, []).append(chart)
    return [_page_section(section, margins, by_section.get(section.slug, [])) for section in sections]


def _page_section(section: Section, margins: Mapping[str, float], charts: list[Chart]) -> PageSection:
    return PageSection(
        slug=section.slug,
        short=section.short,
        title=section.title,
        sentences=section.sentences,
        drawings=[Markup(draw(chart)) for chart in charts],
        notes=tuple(dict.fromkeys(chart.note for chart in charts if chart.note)),
        tables=page_tables(section.tables, margins),
        items=section.items,
        in_full=page_tables(section.in_full, margins),
        folded=section.folded,
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _marked_up(line: str) -> Markup:
    """Return a line of our own words, with the two marks of Markdown that they use."""
    return Markup(_CODE.sub(r"<code>\1</code>", _BOLD.sub(r"<strong>\1</strong>", str(escape(line)))))
