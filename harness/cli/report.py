"""`harness report`: show the latest outcome of a suite again, or write it as a page or a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from harness.cli.options import Common, SuiteArgument, console, print_line, say, takes, warn, write_out
from harness.errors import ConfigError, Incomplete, Problem, nearest
from harness.experiments import reports
from harness.files import write_atomically
from harness.report.format import counted
from harness.report.render.terminal import render
from harness.results import outcomes, sharing
from harness.suite.files import load_suite
from harness.suite.tracking import TrackerName, Tracking, tracking_of
from harness.tracking.results import send_outcome
from harness.values.findings import Outcome

PICTURE_COLUMNS = 110


@takes("store", "as_json", "verbose")
def verb(
    suite: SuiteArgument,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also save the report as an SVG picture.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as one HTML page.")] = None,
    track: Annotated[
        list[str] | None,
        typer.Option("--track", metavar="NAME", help="Send the outcome to mlflow or trackio; may be repeated."),
    ] = None,
    *,
    common: Common,
) -> None:
    """Show the latest outcome of a suite again."""
    trackers = _trackers(track or ())
    folder = sharing.latest_of(common.store, suite)
    outcome, rewritten = outcomes.read(folder), list[Path]()
    lost = outcomes.guarded(lambda: rewritten.extend(reports.rewrite_reports(folder, outcome)), "the report", folder)
    if rewritten and not lost:
        warn(f"some report files of this outcome were missing; wrote them again in {folder}")
    _send(outcome, folder, suite, trackers)
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


def _trackers(names: Sequence[str]) -> list[TrackerName]:
    known = get_args(TrackerName)
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(Problem("--track", f"no tracker {unknown[0]!r}", nearest(unknown[0], known)))
    return [name for name in known if name in names]


def _send(outcome: Outcome, folder: Path, suite: str, trackers: Sequence[TrackerName]) -> None:
    """Send an outcome to trackers, with the settings that its suite has for them now, and say where it is.

    Raises Incomplete if one of them did not take all of it.
    """
    if not trackers:
        return
    try:
        tracking = load_suite(suite, with_data=False)[0].track
    except ConfigError:
        tracking = Tracking.model_validate(tracking_of(outcome.spec.get("track") or {}))
    done = [one for name in trackers for one in send_outcome(outcome, folder, tracking.with_only(name))]
    for one in done:
        if not one.warning:
            what = f"wrote {counted(one.made, 'run')}" if one.made else "the outcome was there already"
            print_line(console(stderr=True), f"{one.tracker}: {what}{f'; see {one.place}' if one.place else ''}")
    if lost := [one.tracker for one in done if one.warning]:
        raise Incomplete(f"the outcome was not sent in full to {' and '.join(lost)}")


def _save_picture(outcome: Outcome, screen: Console, verbose: bool, svg: Path) -> None:
    render(outcome, screen, verbose=verbose)
    picture = screen.export_svg(title=f"harness run {outcome.suite}")
    # rich asks a server for its font; a picture must load nothing.
    write_atomically(svg, re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL))
