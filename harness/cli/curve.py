"""`harness curve`: the learning curve of a candidate."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from harness.cli.options import Common, SeedsOption, SuiteArgument, takes, write_out
from harness.errors import ConfigError, Incomplete, Problem
from harness.experiments import curve as experiment
from harness.report.render.terminal import render_learning_curve
from harness.results.outcomes import guarded


@takes("store", "as_json", "quiet", "replay", "jobs", "executor")
def verb(
    suite: SuiteArgument,
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="Name of a candidate.")],
    shares: Annotated[
        str,
        typer.Option(
            "--shares", help="Shares of the training data, separated by commas; each is a subset of the next."
        ),
    ] = "0.25,0.5,1",
    split: Annotated[Literal["dev", "test"], typer.Option("--split", help="Queries to score.")] = "dev",
    seed: SeedsOption = None,
    *,
    common: Common,
) -> None:
    """Measure whether more training data would help a candidate."""
    numbers, screen = _numbers(shares), common.screen()
    with common.progress() as display:
        done = experiment.curve(suite, candidate, common.store, numbers, split, seed or (), **common.session(display))
    if common.as_json:
        write_out(done.curve.model_dump_json(indent=1))
    else:
        guarded(lambda: render_learning_curve(done.curve, screen, folder=done.folder), "the report", done.folder)
    if done.failed:
        raise Incomplete(f"the learning curve is incomplete: {next(iter(done.failed.values()))}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(share) for share in text.split(",")]
    except ValueError as error:
        what = f"expected numbers separated by commas, not {text!r}"
        raise ConfigError(Problem("--shares", what, "try 0.25,0.5,1")) from error
