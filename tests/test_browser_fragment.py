"""Results in Chromium as notebooks show them: among their rules, in their themes, several in one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diagnosed
import outcomes
import pytest
from selenium import webdriver
from test_browser import AXE
from test_browser import chromium as chromium  # a fixture

from harness.report.content.comparisons import compared
from harness.report.render.fragment import diagnosis_fragment, outcome_fragment, table_fragment

pytestmark = pytest.mark.browser
LIGHT, DARK = "rgb(254, 254, 254)", "rgb(20, 23, 31)"
HOST = """
.jp-RenderedHTMLCommon table { border-collapse: collapse; font-size: 12px; table-layout: fixed; margin: 0 auto 1em; }
.jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th, .jp-RenderedHTMLCommon tr {
  vertical-align: middle; padding: .5em; line-height: normal; white-space: normal; max-width: none; border: none; }
.jp-RenderedHTMLCommon:not(.jp-RenderedMarkdown) td, .jp-RenderedHTMLCommon:not(.jp-RenderedMarkdown) th,
.jp-RenderedHTMLCommon:not(.jp-RenderedMarkdown) tr { text-align: right; }
.jp-RenderedHTMLCommon tbody tr:nth-child(odd) { background: #f5f5f5; }
"""
"""The rules of JupyterLab for tables, in substance."""
THEMES = {
    "system light": ("", "light", LIGHT),
    "system dark": ("", "dark", DARK),
    "JupyterLab light": ('data-jp-theme-light="true"', "dark", LIGHT),
    "JupyterLab dark": ('data-jp-theme-light="false"', "light", DARK),
    "VS Code light": ('class="vscode-light"', "dark", LIGHT),
    "VS Code dark": ('class="vscode-dark"', "light", DARK),
    "VS Code high contrast light": ('class="vscode-high-contrast vscode-high-contrast-light"', "dark", LIGHT),
}
SHOWN: dict[str, Callable[[], str]] = {
    "outcome": lambda: outcome_fragment(outcomes.normal()),
    "diagnosis": lambda: diagnosis_fragment(diagnosed.diagnosis()),
    "comparison": lambda: table_fragment(
        compared(outcomes.normal().comparisons, {}, "b minus a"), ["Synthetic."], ["So."]
    ),
}

Show = Callable[..., webdriver.Chrome]


@pytest.fixture
def show(chromium: webdriver.Chrome, tmp_path: Path) -> Show:
    """Open a page that holds outputs as JupyterLab would, below a table of another output."""

    def go(*parts: str, body: str = "", system: str = "light", width: int = 1400) -> webdriver.Chrome:
        cells = "".join(
            f'<div class="jp-RenderedHTMLCommon" id="cell{number}">{part}</div>' for number, part in enumerate(parts)
        )
        other = '<div class="jp-RenderedHTMLCommon"><table id="other"><tbody><tr><td>1</td></tr></tbody></table></div>'
        path = tmp_path / "notebook.html"
        path.write_text(
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>n</title><style>{HOST}</style></head>'
            f"<body {body}><main><h1>Notebook</h1>{other}{cells}</main></body></html>",
            encoding="utf-8",
        )
        media = {"features": [{"name": "prefers-color-scheme", "value": system}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        chromium.get("about:blank")
        chromium.get(path.as_uri())
        return chromium

    return go


def computed(driver: webdriver.Chrome, selector: str, name: str) -> str:
    script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
    return str(driver.execute_script(script, selector, name))


@pytest.mark.parametrize("theme", THEMES)
def test_colours_are_those_of_the_theme(theme: str, show: Show) -> None:
    body, system, paper = THEMES[theme]
    driver = show(SHOWN["outcome"](), body=body, system=system)
    assert computed(driver, ".harness-out", "background-color") == paper
    assert computed(driver, ".harness-out td", "color") == computed(driver, ".harness-out", "color")
    assert computed(driver, ".harness-out tbody tr", "background-color") == "rgba(0, 0, 0, 0)"


def test_rules_of_the_notebook_do_not_reach_in_and_ours_not_out(show: Show) -> None:
    names = ("text-align", "background-color", "color", "font-size", "padding-left", "border-bottom-width")
    driver = show()
    before = [computed(driver, "#other td", name) for name in names]
    driver = show(SHOWN["outcome"]())
    assert [computed(driver, "#other td", name) for name in names] == before
    assert computed(driver, ".harness-out tbody th", "text-align") == "start"
    assert computed(driver, ".harness-out td.right", "text-align") == "end"
    assert computed(driver, ".harness-out .js, .harness-out details", "display") != "inline"


@pytest.mark.parametrize("kind", ["outcome", "diagnosis"])
def test_a_picture_is_whole_when_the_output_before_it_is_hidden(kind: str, show: Show) -> None:
    """The same result twice: browsers look up an id once in a page."""
    seen = "(one) => one.getBoundingClientRect().width > 0"
    count = f"return [...document.querySelectorAll('#cell1 .chart use')].filter({seen}).length"
    driver = show(SHOWN[kind](), SHOWN[kind]())
    driver.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    whole = driver.execute_script(count)
    assert whole > 0
    driver.execute_script("document.querySelector('#cell0').style.display = 'none'")
    assert driver.execute_script(count) == whole
    driver.execute_script("document.querySelector('#cell0').remove()")
    assert driver.execute_script(count) == whole


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_its_cell(kind: str, width: int, show: Show) -> None:
    driver = show(SHOWN[kind](), width=width)
    driver.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("system", ["light", "dark"])
def test_it_has_no_barrier_that_axe_finds(kind: str, system: str, show: Show) -> None:
    driver = show(SHOWN[kind](), system=system)
    driver.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    run = "const done = arguments[0]; axe.run('.harness-out').then((found) => done(found.violations))"
    violations: list[dict[str, Any]] = driver.execute_async_script(run)
    serious = [one for one in violations if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in serious] == []
