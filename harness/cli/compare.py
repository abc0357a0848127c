"""`harness compare`: two outcomes, accepted scores, systems or run files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.cli.options import Common, console, print_json, print_line, takes
from harness.errors import ConfigError, Incomplete, Problem
from harness.gates import commands
from harness.gates.compare import Compared
from harness.gates.run_files import RunRules
from harness.report.content.comparisons import compared as comparison_table
from harness.report.render.terminal import print_lines, print_table
from harness.report.seedless import of_labels, seeds_told

FIRST = (
    "A suite with an outcome, the folder of an outcome, accepted scores, any of these with ':system', a run file, or a "
    "file of scores by query."
)


@takes("measure", "relevance_level", "exclude_own", "store", "as_json", "verbose")
def verb(
    first: Annotated[str, typer.Argument(metavar="A", help=FIRST)],
    second: Annotated[str, typer.Argument(metavar="B", help="The same; differences are B minus A.")],
    qrels: Annotated[Path | None, typer.Option("--qrels", help="Judgements, needed for run files.")] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", min=0, help="Differences up to this size do not matter.")
    ] = None,
    *,
    common: Common,
) -> None:
    """Compare two outcomes, systems, run files or files of scores, with confidence intervals."""
    rules = RunRules(common.relevance_level, common.exclude_own)
    if qrels is None and rules != RunRules():
        hint = "set evaluate.relevance_level or evaluate.exclude_own in the suite, and run it"
        raise ConfigError(Problem("", "--relevance-level and --exclude-own need run files and --qrels", hint))
    compared = commands.compare(first, second, common.store, qrels, common.measure or (), margin, rules)
    if common.as_json:
        print_json(as_json(compared))
    else:
        show(compared, console(), common.verbose)
    if all(row.difference is None for row in compared.rows):
        raise Incomplete("nothing was compared: no query has a score on both sides")


def as_json(compared: Compared) -> dict[str, Any]:
    """Return a comparison for machines."""
    return {
        "first": compared.first,
        "second": compared.second,
        "rows": [
            {"label": compared.labels[row.system, row.seed], **row.model_dump(mode="json")} for row in compared.rows
        ],
        "questions": list(compared.questions),
        "remarks": compared.remarks,
        "repairs": [repair.model_dump(mode="json") for repair in compared.repairs],
    }


def show(compared: Compared, screen: Console, whole: bool = False) -> None:
    """Print that questions are synthetic and what was applied to the inputs, then the differences."""
    shown, seeds = of_labels(compared.labels.values())
    trained = f"; {seeds_told(seeds)}" if len(seeds) == 1 else ""
    title = f"{compared.second} minus {compared.first} (exploratory{trained})"
    for line in compared.questions:
        print_line(screen, line)
    print_lines([shown(remark) for remark in compared.remarks], screen)
    labels = {key: shown(label) for key, label in compared.labels.items()}
    print_table(comparison_table(compared.rows, labels, title), screen, whole)
