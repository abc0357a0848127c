"""`harness score`: score a TREC run file of any system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, console, print_json, print_line, takes
from harness.gates import commands
from harness.gates.run_files import RunRules


@takes("measure", "relevance_level", "exclude_own", "as_json")
def verb(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="TREC run file.")],
    qrels: Annotated[Path, typer.Argument(metavar="QRELS", help="Judgements, in TREC or BEIR format.")],
    *,
    common: Common,
) -> None:
    """Score a TREC run file of any system."""
    scores = commands.score(run, qrels, common.measure or (), RunRules(common.relevance_level, common.exclude_own))
    if common.as_json:
        print_json(scores.as_json())
        return
    for line in scores.lines():
        print_line(console(), line)
