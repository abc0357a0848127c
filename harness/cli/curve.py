"""The command that asks whether more training data would pay: curve."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    JsonOption,
    QuietOption,
    ReplayOption,
    SeedOption,
    StoreOption,
    SuiteArgument,
    app,
    console,
)


@app.command()
def curve(
    suite: SuiteArgument,
    candidate: Annotated[str, typer.Argument(help="Name of a candidate.")],
    shares: Annotated[
        str, typer.Option("--shares", help="Shares of its training questions, each inside the next.")
    ] = "0.25,0.5,1",
    split: Annotated[
        Literal["dev", "test"], typer.Option("--split", help="Which questions are scored.")
    ] = "dev",
    store: StoreOption = DEFAULT_STORE,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    replay: ReplayOption = False,
) -> None:  # fmt: skip
    """Train a candidate on shares of its data, and say whether more data would pay."""
    from harness.execution.scheduler import no_display
    from harness.experiments import curve
    from harness.report.render.progress import Steps
    from harness.report.render.terminal import render_learning_curve
    from harness.results.outcomes import guarded

    parts = _shares(shares)
    screen = console(stderr=as_json)
    with Steps(screen) as steps:
        display = no_display if quiet else steps.watch
        done = curve.curve(suite, candidate, store, parts, split, seed or (), display=display, replay=replay)
    if as_json:
        sys.stdout.write(done.curve.model_dump_json(indent=1) + "\n")
    else:
        guarded(lambda: render_learning_curve(done.curve, screen, folder=done.folder), "the report", done.folder)
    if done.failed:
        from harness.errors import Incomplete

        raise Incomplete(f"the curve is not whole: {next(iter(done.failed.values()))}")


def _shares(text: str) -> list[float]:
    from harness.errors import ConfigError, Problem

    try:
        return [float(share) for share in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            Problem("--shares", f"no numbers with commas between them: {text!r}", "try 0.25,0.5,1")
        ) from error
