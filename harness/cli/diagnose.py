"""`harness diagnose`: where the untuned pipeline loses, before anything is tuned."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from harness.cli.options import Common, SuiteArgument, takes, write_out
from harness.experiments import diagnose as experiment
from harness.report.render.terminal import render_diagnosis
from harness.results.outcomes import guarded


@takes("store", "as_json", "verbose", "quiet", "replay", "jobs", "executor")
def verb(
    suite: SuiteArgument,
    split: Annotated[
        Literal["dev", "test"],
        typer.Option("--split", help="Queries to diagnose; choices made on test contaminate it."),
    ] = "dev",
    *,
    common: Common,
) -> None:
    """Show where the untuned pipeline loses quality, and what to tune first."""
    screen = common.screen()
    with common.progress() as display:
        done = experiment.diagnose(suite, common.store, split, **common.session(display))
    if common.as_json:
        write_out(done.diagnosis.model_dump_json(indent=1))
        return
    guarded(
        lambda: render_diagnosis(done.diagnosis, screen, verbose=common.verbose, folder=done.folder),
        "the report",
        done.folder,
    )
