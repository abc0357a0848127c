"""A report as one HTML file: opened from disk, asks no network, and trusts no text that it shows.

Templates escape everything; the style sheet and the script are the only ones that the page lets run, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.report import charts, diagnosis_pictures, figures, plots, words
from harness.report.contents import contents
from harness.report.explorer import pack
from harness.report.hostile import plain
from harness.report.lede import lede
from harness.report.pagetables import HEIGHT, WIDTH, PageTable, page_table, page_tables
from harness.report.sections import Item, Section
from harness.report.sources import source, yaml_text
from harness.report.tradeoff import Picture, pictures
from harness.report.view import view
from harness.values.evidence import Evidence
from harness.values.findings import Outcome

TEMPLATE = "report.html.j2"
STYLES = ("chart.css", "report.css")
SCRIPTS = ("report.js", "explorer.js")
GLYPHS = {
    "improved": "\N{BLACK UP-POINTING TRIANGLE}", "regressed": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "equivalent": "\N{BLACK SQUARE}", "inconclusive": "\N{BLACK CIRCLE}", "failed": "\N{MULTIPLICATION X}",
}  # fmt: skip
_BOLD, _CODE = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"`(.+?)`")


class PageSection(NamedTuple):
    """A section with its tables and pictures as a page draws them; `notes` say how its pictures are read."""

    slug: str
    short: str
    title: str
    told: tuple[str, ...]
    drawings: list[Markup]
    notes: tuple[str, ...]
    tables: list[PageTable]
    items: tuple[Item, ...]
    in_full: list[PageTable]
    folded: str


def render_html(outcome: Outcome, evidence: Evidence | None = None) -> str:
    """Return the whole report as one HTML text; without evidence it has no query explorer."""
    seen, report = view(outcome), contents(outcome)
    margins = {row.measure: row.margin for row in outcome.comparisons}
    drawn = pictures(seen)
    *answer, cost = report.answer
    return page(
        TEMPLATE, STYLES, SCRIPTS,
        outcome=outcome,
        report=report,
        lede=lede(seen),
        systems=page_tables(answer, margins),
        cost=page_table(cost, margins),
        pictures=drawn,
        drawings=[Markup(charts.draw(picture)) for picture in drawn],
        legend=charts.legend(drawn),
        left_out=left_out(drawn),
        after=page_sections(report.after, margins, diagnosis_pictures.before(outcome)),
        together=page_tables(report.together, margins),
        together_in_full=page_tables(report.together_in_full, margins),
        surely=page_tables(report.surely, margins),
        answers=page_tables(report.answers, margins),
        costs=page_tables(report.costs, margins),
        data=page_tables(report.data, margins),
        provenance=page_tables((*report.provenance, *report.identities), margins),
        packages=page_table(report.packages, margins) if report.packages else None,
        how_to_read=[_marked_up(line) for line in words.how_to_read(seen)],
        spec=yaml_text(outcome.spec),
        took=figures.duration(outcome.seconds),
        explorer=pack(outcome, evidence) if evidence is not None and evidence.rows else None,
    )  # fmt: skip


def page(template: str, styles: tuple[str, ...], scripts: tuple[str, ...], **values: Any) -> str:
    """Draw a template of a page with its style sheets and scripts, which no other may join."""
    style, script = ("\n".join(map(source, names)) for names in (styles, scripts))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment().get_template(template).render(
        style=Markup(style), script=Markup(script), policy=policy, glyphs=GLYPHS, plot=(WIDTH, HEIGHT), **values
    )  # fmt: skip


def page_sections(
    sections: Iterable[Section], margins: Mapping[str, float], found: Iterable[plots.Plot]
) -> list[PageSection]:
    """Prepare sections to be drawn, each with those of the pictures that are its own."""
    by_section: dict[str, list[plots.Plot]] = {}
    for one in found:
        by_section.setdefault(one.section, []).append(one)
    return [_page_section(section, margins, by_section.get(section.slug, [])) for section in sections]


def _page_section(section: Section, margins: Mapping[str, float], found: list[plots.Plot]) -> PageSection:
    return PageSection(
        section.slug, section.short, section.title, section.told, [Markup(plots.draw(one)) for one in found],
        tuple(dict.fromkeys(one.note for one in found if one.note)), page_tables(section.tables, margins),
        section.items, page_tables(section.in_full, margins), section.folded,
    )  # fmt: skip


def environment() -> Environment:
    """What templates of pages are drawn with: every text is escaped, and its control characters are shown."""
    return Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _shown(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _marked_up(line: str) -> Markup:
    """A line of our own words, with the two marks of Markdown that they use."""
    text = _CODE.sub(r"<code>\1</code>", _BOLD.sub(r"<strong>\1</strong>", str(escape(line))))
    return Markup(text)


def left_out(drawn: tuple[Picture, ...]) -> tuple[str, ...]:
    """Systems that a picture lacks, for they have no such cost."""
    return tuple(
        f"{picture.title}: {figures.listed(list(picture.left_out))} not shown, for want of a figure."
        for picture in drawn
        if picture.left_out
    )
