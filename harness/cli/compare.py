"""`harness compare`: two outcomes, accepted scores, systems or run files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Common, LevelOption, MeasuresOption, OwnOption, console, takes
from harness.errors import ConfigError, Incomplete, Problem
from harness.gates import gating
from harness.gates.run_files import Rules

FIRST = (
    "A suite with an outcome, the folder of an outcome, accepted scores, any of these with ':system', or a run file."
)


@takes("store", "as_json")
def verb(
    first: Annotated[str, typer.Argument(metavar="A", help=FIRST)],
    second: Annotated[str, typer.Argument(metavar="B", help="The same; differences are B minus A.")],
    qrels: Annotated[Path | None, typer.Option("--qrels", help="Judgements, needed for run files.")] = None,
    measure: MeasuresOption = None,
    margin: Annotated[
        float | None, typer.Option("--margin", min=0, help="Differences up to this size do not matter.")
    ] = None,
    relevance_level: LevelOption = 1,
    exclude_own: OwnOption = False,
    *,
    common: Common,
) -> None:
    """Compare two outcomes, systems or run files, with confidence intervals."""
    rules = Rules(relevance_level, exclude_own)
    if qrels is None and rules != Rules():
        hint = "set evaluate.relevance_level or evaluate.exclude_own in the suite, and run it"
        raise ConfigError(Problem("", "--relevance-level and --exclude-own need run files and --qrels", hint))
    compared = gating.compare(first, second, common.store, qrels, measure or (), margin, rules)
    gating.show_compared(compared, console(), common.as_json)
    if all(row.difference is None for row in compared.rows):
        raise Incomplete("nothing was compared: no query has a score on both sides")
