"""Results as parts of a page, for notebooks: the tables and pictures of the report, with a style of their own.

A notebook puts several of these into one page that has styles of its own. So every rule of the style sheet is bound to
the element of the fragment, and the ids of each fragment differ from those of all others. Colours follow the theme of
the notebook where it names one, else that of the system. Nothing is fetched, no script runs, all text is escaped.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from markupsafe import Markup

from harness.hashing import digest_of
from harness.report.charts.diagnosis import diagnosis_charts
from harness.report.charts.draw import draw
from harness.report.charts.outcome import forests, scatters
from harness.report.charts.scatter import left_out, legend
from harness.report.charts.values import Chart
from harness.report.content.costs import COST
from harness.report.content.diagnosis import diagnosed
from harness.report.content.outcome import contents
from harness.report.model import Headline, Item, Section, Table
from harness.report.render.html import GLYPHS
from harness.report.render.page_tables import HEIGHT, WIDTH, PageTable, page_tables
from harness.report.render.templates import page_environment, source
from harness.report.view import view
from harness.values.findings import Outcome
from harness.values.insights import Diagnosis

ROOT = "harness-out"
SCOPE = f".{ROOT}.{ROOT}"
"""The class twice: rules of notebooks for tables name a class and an element, and these must win."""
DARK = (
    '[data-jp-theme-light="false"]', ".vscode-dark", ".vscode-high-contrast", '[data-theme="dark"]', '[theme="dark"]',
    '[data-md-color-scheme="slate"]',
)  # fmt: skip
LIGHT = (
    '[data-jp-theme-light="true"]', ".vscode-light", ".vscode-high-contrast-light", '[data-theme="light"]',
    '[theme="light"]', '[data-md-color-scheme="default"]',
)  # fmt: skip
"""How JupyterLab, VS Code, Sphinx, Colab and Material for MkDocs name their theme, on the page or its body."""
_SETTINGS = re.compile(r":root \{([^}]*)\}")
_OF_PAGES = re.compile(
    r"@media \(prefers-color-scheme: dark\) \{\s*:root \{[^}]*\}\s*\}|:root \{[^}]*\}|/\*.*?\*/", re.S
)
_RULE = re.compile(r"(?<![^{}])([^{}]++)\{([^{}]*)\}")
_numbers = itertools.count(1)
MORE = ("The report has more: the attribute report is the path of its page.",)


@dataclass(frozen=True)
class Block:
    """A part of a fragment; one that is `folded` opens under its title."""

    title: str = ""
    sentences: Sequence[str] = ()
    drawings: Sequence[Markup] = ()
    notes: Sequence[str] = ()
    tables: Sequence[PageTable] = ()
    items: Sequence[Item] = ()
    folded: bool = False


class _Ids:
    """Makes the ids of one fragment."""

    def __init__(self, *about: object) -> None:
        # A notebook may show what an earlier session made, whose numbers began at 1 too.
        self.prefix = f"h{digest_of(list(map(str, about)))[:8]}-{next(_numbers)}"
        self._tables = itertools.count(1)

    def drawings(self, charts: Iterable[Chart]) -> list[Markup]:
        return [Markup(draw(chart, name=f"{self.prefix}-{chart.name}")) for chart in charts]

    def tables(self, tables: Iterable[Table], margins: Mapping[str, float]) -> list[PageTable]:
        """Prepare tables that no script sorts or searches."""
        return [
            replace(table, slug=f"{self.prefix}-t{next(self._tables)}", sortable=False, searchable=False)
            for table in page_tables(tables, margins)
        ]


def outcome_fragment(outcome: Outcome) -> str:
    """Return the answer of an outcome as HTML: headline, quality, gains and their picture; cost folded."""
    seen, report = view(outcome), contents(outcome)
    margins = {row.measure: row.margin for row in outcome.comparisons}
    ids, costs = _Ids(outcome.suite, outcome.created), scatters(seen)
    mind = (*report.cautions, *report.warnings)
    shown, cost = (
        ids.tables((table for table in report.answer if (table.name == COST) == wanted), margins)
        for wanted in (False, True)
    )
    blocks = [
        Block(drawings=ids.drawings(forests(seen)), tables=shown),
        Block(
            "Cost of the gain",
            drawings=ids.drawings(costs),
            notes=[legend(costs), *left_out(costs)] if costs else (),
            tables=cost,
            folded=True,
        ),
        Block("Each candidate in a sentence", report.by_candidate, folded=True),
        Block("Keep in mind", mind) if mind else Block(),
    ]
    return _rendered(blocks, [report.synthetic], report.title, report.subject, report.headline, MORE)


def diagnosis_fragment(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as HTML: headline and sections with their pictures; whole tables are left to the page."""
    report, ids = diagnosed(diagnosis), _Ids(diagnosis.suite, diagnosis.created)
    charts = list(diagnosis_charts(diagnosis))
    blocks = [
        _section(section, ids, [one for one in charts if one.section == section.slug]) for section in report.sections
    ]
    blocks.append(Block("Keep in mind", report.warnings) if report.warnings else Block())
    return _rendered(blocks, [report.synthetic], report.title, report.subject, report.headline, MORE)


def table_fragment(table: Table, synthetic: Sequence[str] = (), remarks: Sequence[str] = ()) -> str:
    """Return one table as HTML, below the sentences that questions are synthetic and above remarks."""
    ids = _Ids(table.title, len(table.rows))
    return _rendered([Block(tables=ids.tables([table], {}))], synthetic, remarks=remarks)


def _section(section: Section, ids: _Ids, charts: Sequence[Chart]) -> Block:
    notes = tuple(dict.fromkeys(chart.note for chart in charts if chart.note))
    return Block(
        section.title, section.sentences, ids.drawings(charts), notes, ids.tables(section.tables, {}), section.items
    )


def _rendered(
    blocks: Iterable[Block],
    synthetic: Iterable[str],
    title: str = "",
    subject: str = "",
    headline: Headline | None = None,
    remarks: Sequence[str] = (),
) -> str:
    return page_environment().get_template("fragment.html.j2").render(
        root=ROOT, style=Markup(style()), glyphs=GLYPHS, plot=(WIDTH, HEIGHT), blocks=list(blocks),
        synthetic=list(filter(None, synthetic)), title=title, subject=subject, headline=headline, remarks=remarks,
    )  # fmt: skip


@cache
def style() -> str:
    """Return the style sheet of a fragment: colours for each theme, and rules that reach nothing outside of it."""
    chart = source("chart.css")
    light, dark = (" ".join(found.split()) for found in _SETTINGS.findall(chart))
    themes = [
        f".{ROOT} {{ {light} background: var(--paper); color: var(--ink); padding: .6rem .9rem; font-size: 14px; "
        'font-family: var(--jp-content-font-family, system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif); '
        "font-variant-numeric: tabular-nums; }",
        f"@media (prefers-color-scheme: dark) {{ .{ROOT} {{ {dark} }} }}",
        *(
            f"{', '.join(f'{theme} .{ROOT}' for theme in names)} {{ {values} }}"
            for names, values in ((DARK, dark), (LIGHT, light))
        ),
    ]
    return "\n".join([*themes, _scoped(_OF_PAGES.sub("", chart)), _scoped(_OF_PAGES.sub("", source("fragment.css")))])


def _scoped(sheet: str) -> str:
    """Return the rules of a flat style sheet, each bound to the element of a fragment."""

    def bound(rule: re.Match[str]) -> str:
        selectors = ", ".join(f"{SCOPE} {selector.strip()}" for selector in rule[1].split(","))
        return f"{selectors} {{{rule[2]}}}"

    return "\n".join(bound(rule) for rule in _RULE.finditer(sheet))
