"""`harness judge`: calibrate the LLM judge of a suite against human ratings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, SuiteArgument, print_line, takes, write_out
from harness.experiments.calibrate import judge
from harness.report.render.calibration import render


@takes("store", "as_json", "quiet", "replay")
def verb(
    suite: SuiteArgument,
    labels: Annotated[
        Path, typer.Option("--labels", help="Human ratings of answers, as JSON lines; see docs/endpoints.md.")
    ],
    measure: Annotated[str, typer.Option("--measure", help="Judged measure to calibrate.")] = "faithfulness",
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Number of answers to judge (stratified sample).")
    ] = None,
    sample_seed: Annotated[
        int, typer.Option("--sample-seed", min=0, help="Seed of the sample and of the intervals.")
    ] = 0,
    *,
    common: Common,
) -> None:
    """Calibrate the LLM judge of a suite against human ratings."""
    screen = common.screen()
    with common.progress() as display:
        done = judge(suite, labels, common.store, measure, sample, sample_seed, display=display, replay=common.replay)
    if common.as_json:
        write_out(done.calibration.model_dump_json(indent=1))
        return
    render(done.calibration, screen)
    for line in (*done.remarks, f"Calibration: {done.place}. Judgements: {done.rows}."):
        print_line(screen, line)
