"""`harness score`: score a TREC run file of any system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, LevelOption, MeasuresOption, OwnOption, console, takes
from harness.gates import gating
from harness.gates.run_files import Rules


@takes("as_json")
def verb(
    run: Annotated[Path, typer.Argument(help="TREC run file.")],
    qrels: Annotated[Path, typer.Argument(help="Judgements, in TREC or BEIR format.")],
    measure: MeasuresOption = None,
    relevance_level: LevelOption = 1,
    exclude_own: OwnOption = False,
    *,
    common: Common,
) -> None:
    """Score a TREC run file of any system."""
    scores = gating.score(run, qrels, measure or (), Rules(relevance_level, exclude_own))
    gating.show_scores(scores, console(), common.as_json)
