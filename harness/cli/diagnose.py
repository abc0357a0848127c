"""The command that looks before anything is tuned: diagnose."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    JsonOption,
    QuietOption,
    ReplayOption,
    StoreOption,
    SuiteArgument,
    VerboseOption,
    app,
    console,
)


@app.command()
def diagnose(
    suite: SuiteArgument,
    split: Annotated[
        Literal["dev", "test"], typer.Option("--split", help="Which questions; what is chosen on test is not unseen.")
    ] = "dev",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    replay: ReplayOption = False,
) -> None:
    """Say where the untuned pipeline loses, what tuning each part could buy, and what to do first."""
    from harness.execution.scheduler import no_display
    from harness.experiments import diagnose as diagnosing
    from harness.report.render.progress import Steps
    from harness.report.render.terminal import render_diagnosis
    from harness.results.outcomes import guarded

    screen = console(stderr=as_json)
    with Steps(screen) as steps:
        done = diagnosing.diagnose(suite, store, split, display=no_display if quiet else steps.watch, replay=replay)
    if as_json:
        sys.stdout.write(done.diagnosis.model_dump_json(indent=1) + "\n")
        return
    guarded(
        lambda: render_diagnosis(done.diagnosis, screen, verbose=verbose, folder=done.folder), "the report", done.folder
    )
