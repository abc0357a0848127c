"""`harness leaderboard`: rank the systems of every suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, print_json, say, takes
from harness.errors import ConfigError, Problem
from harness.experiments import leaderboard
from harness.experiments.accepted_results import accepted_results
from harness.files import write_atomically
from harness.remote.mirror import opened
from harness.report import format
from harness.report.render.boards import render_page
from harness.report.render.markdown import render_boards, render_results
from harness.values.boards import Board

FILE, PAGE_FILE = "LEADERBOARD.md", "leaderboard.html"


@takes("store", "as_json")
def verb(
    baselines: Annotated[
        Path | None,
        typer.Option(
            "--baselines",
            parser=opened,
            metavar="PLACE",
            help="Rank the accepted scores in this folder or at this address, instead of the store's outcomes.",
        ),
    ] = None,
    reports: Annotated[Path, typer.Option("--reports", help="Folder for LEADERBOARD.md and leaderboard.html.")] = Path(
        "reports"
    ),
    results: Annotated[
        Path | None,
        typer.Option("--results", help="With --baselines: also write to this file what paid in which suite."),
    ] = None,
    *,
    common: Common,
) -> None:
    """Rank the systems of every suite, with confidence intervals for the ranks."""
    if results is not None and baselines is None:
        raise ConfigError(Problem("--results", "needs accepted scores", "add --baselines FOLDER"))
    boards = leaderboard.baseline_boards(baselines) if baselines else leaderboard.stored_boards(common.store)
    files = list(map(str, write(boards, reports)))
    if results is not None and baselines is not None:
        write_results(baselines, results)
        files.append(str(results))
    if common.as_json:
        print_json({"files": files, "boards": len(boards)})
    else:
        say(f"Wrote {format.listed(files)}: {format.counted(len(boards), 'board')}.")


def write(boards: Sequence[Board], folder: Path) -> tuple[Path, Path]:
    """Write the leaderboard into a folder, as Markdown and as a page, and return the paths of these two."""
    files = folder / FILE, folder / PAGE_FILE
    for path, text in zip(files, (render_boards(boards), render_page(boards)), strict=True):
        write_atomically(path, text)
    return files


def write_results(baselines: Path, path: Path) -> None:
    """Write what paid in which suite, from accepted scores, as Markdown."""
    write_atomically(path, render_results(accepted_results(baselines), baselines.as_posix(), path.as_posix()))
