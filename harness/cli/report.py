"""`harness report`: show the latest outcome of a suite again, or write it as a page or a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.options import Common, SuiteArgument, console, say, takes, warn, write_out
from harness.experiments import reports
from harness.report.render.terminal import render
from harness.results import outcomes, sharing
from harness.values.findings import Outcome

PICTURE_COLUMNS = 110


@takes("store", "as_json", "verbose")
def verb(
    suite: SuiteArgument,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also save the report as an SVG picture.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as one HTML page.")] = None,
    *,
    common: Common,
) -> None:
    """Show the latest outcome of a suite again."""
    folder = sharing.latest_of(common.store, suite)
    outcome, rewritten = outcomes.read(folder), list[Path]()
    lost = outcomes.guarded(lambda: rewritten.extend(reports.rewrite_reports(folder, outcome)), "the report", folder)
    if rewritten and not lost:
        warn(f"some report files of this outcome were missing; wrote them again in {folder}")
    if html is not None:
        written = reports.write_page(folder, html)
        if not common.as_json:
            say(f"Wrote {written}.")
            return
    if common.as_json:
        write_out(outcome.model_dump_json(indent=1))
    elif svg is None:
        render(outcome, console(), verbose=common.verbose, folder=folder)
    if svg is not None:
        screen = Console(record=True, width=PICTURE_COLUMNS, quiet=common.as_json)
        _save_picture(outcome, screen, common.verbose, svg)


def _save_picture(outcome: Outcome, screen: Console, verbose: bool, svg: Path) -> None:
    render(outcome, screen, verbose=verbose)
    svg.parent.mkdir(parents=True, exist_ok=True)
    picture = screen.export_svg(title=f"harness run {outcome.suite}")
    # rich asks a server for its font; a picture must load nothing.
    svg.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")
