"""`harness leaderboard`: rank the systems of every suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, print_json, say, takes
from harness.experiments import leaderboard
from harness.report import figures


@takes("store", "as_json")
def verb(
    baselines: Annotated[
        Path | None,
        typer.Option("--baselines", help="Rank the accepted scores in this folder, instead of the store's outcomes."),
    ] = None,
    reports: Annotated[Path, typer.Option("--reports", help="Folder for LEADERBOARD.md and leaderboard.html.")] = Path(
        "reports"
    ),
    *,
    common: Common,
) -> None:
    """Rank the systems of every suite, with confidence intervals for the ranks."""
    done = leaderboard.write_accepted(baselines, reports) if baselines else leaderboard.write(common.store, reports)
    if common.as_json:
        print_json({"files": list(map(str, done.files)), "boards": done.boards})
    else:
        say(f"Wrote {figures.listed(list(map(str, done.files)))}: {figures.counted(done.boards, 'board')}.")
