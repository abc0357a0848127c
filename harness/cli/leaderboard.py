"""`harness leaderboard`: rank the systems of every suite, or files of any systems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, console, print_json, print_line, say, takes
from harness.errors import ConfigError, Problem
from harness.experiments import leaderboard
from harness.experiments.accepted_results import accepted_results
from harness.files import write_atomically
from harness.gates.ranking import RankedFiles, rank_files
from harness.gates.run_files import PLAIN, RunRules
from harness.remote.mirror import opened
from harness.report import format
from harness.report.content.boards import standing_of_files
from harness.report.render.boards import render_page
from harness.report.render.markdown import render_boards, render_results
from harness.report.render.terminal import print_lines, print_table
from harness.values.boards import Board

FILE, PAGE_FILE = "LEADERBOARD.md", "leaderboard.html"
REPORTS = Path("reports")


@takes("measure", "relevance_level", "exclude_own", "store", "as_json")
def verb(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Rank these run files (with --qrels) or files of scores by query, and print the ranks; by default the "
            "suites of the store are ranked.",
        ),
    ] = None,
    qrels: Annotated[Path | None, typer.Option("--qrels", help="Judgements, needed for run files.")] = None,
    baselines: Annotated[
        Path | None,
        typer.Option(
            "--baselines",
            parser=opened,
            metavar="PLACE",
            help="Rank the accepted scores in this folder or at this address, instead of the store's outcomes.",
        ),
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option("--reports", help="Folder for LEADERBOARD.md and leaderboard.html (reports)."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="With --baselines: also write to this file what paid in which suite."),
    ] = None,
    *,
    common: Common,
) -> None:
    """Rank the systems of every suite, or run files, with confidence intervals for the ranks."""
    rules = RunRules(common.relevance_level, common.exclude_own)
    if files:
        _refuse({"--baselines": baselines, "--reports": reports, "--results": results}, "ranks suites, not files")
        if qrels is None and rules != PLAIN:
            raise ConfigError(Problem("", "--relevance-level and --exclude-own need --qrels", "add --qrels FILE"))
        show(rank_files(files, qrels, common.measure or (), rules), common.as_json)
        return
    of_files = {"--qrels": qrels, "--measure": common.measure, "--relevance-level": rules.level != PLAIN.level or None}
    _refuse({**of_files, "--exclude-own": rules.exclude_own or None}, "needs run files")
    if results is not None and baselines is None:
        raise ConfigError(Problem("--results", "needs accepted scores", "add --baselines FOLDER"))
    boards = leaderboard.baseline_boards(baselines) if baselines else leaderboard.stored_boards(common.store)
    written = list(map(str, write(boards, reports or REPORTS)))
    if results is not None and baselines is not None:
        write_results(baselines, results)
        written.append(str(results))
    if common.as_json:
        print_json({"files": written, "boards": len(boards)})
    else:
        say(f"Wrote {format.listed(written)}: {format.counted(len(boards), 'board')}.")


def _refuse(options: dict[str, object], what: str) -> None:
    """Raise ConfigError for every option that is given."""
    problems = [Problem(name, what, "leave it out") for name, value in options.items() if value is not None]
    if problems:
        raise ConfigError(problems)


def show(ranked: RankedFiles, as_json: bool) -> None:
    """Print ranked files: that questions are synthetic and what was applied to the files, then a table a measure."""
    if as_json:
        print_json(ranked.as_json())
        return
    screen = console()
    for line in ranked.questions:
        print_line(screen, line)
    print_lines(ranked.remarks, screen)
    for board in ranked.boards:
        print_table(standing_of_files(board), screen)


def write(boards: Sequence[Board], folder: Path) -> tuple[Path, Path]:
    """Write the leaderboard into a folder, as Markdown and as a page, and return the paths of these two."""
    files = folder / FILE, folder / PAGE_FILE
    for path, text in zip(files, (render_boards(boards), render_page(boards)), strict=True):
        write_atomically(path, text)
    return files


def write_results(baselines: Path, path: Path) -> None:
    """Write what paid in which suite, from accepted scores, as Markdown."""
    write_atomically(path, render_results(accepted_results(baselines), baselines.as_posix(), path.as_posix()))
