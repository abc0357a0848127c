"""`harness gate`: judge the latest outcome of a suite by its gates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from harness.cli.options import (
    BaselinesOption,
    Common,
    OutcomeOption,
    SuiteArgument,
    console,
    print_json,
    print_line,
    takes,
    warn,
)
from harness.gates import commands, side_outputs
from harness.report.content import gates
from harness.report.content.questions import first_line
from harness.report.render.terminal import print_lines, print_table
from harness.report.seedless import of_gating
from harness.statistics.verdicts import Gating


class GateCommand(TyperCommand):
    """The command, which also takes `--json FILE` as it was written before `--json` became a flag everywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_json_file(args))


COMMAND = GateCommand


def _with_json_file(arguments: list[str]) -> list[str]:
    """Replace `--json X.json` and `--json=X` by `--json-file`: no suite has a name that ends in `.json`."""
    replaced: list[str] = []
    for number, argument in enumerate(arguments):
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        if argument.startswith("--json=") or (argument == "--json" and following.endswith(".json")):
            argument = argument.replace("--json", "--json-file", 1)
        replaced.append(argument)
    return replaced


@takes("store", "as_json", "verbose", "quiet")
def verb(
    suite: SuiteArgument,
    baselines: BaselinesOption = None,
    outcome: OutcomeOption = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit XML to this file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Also write JSON to this file.")] = None,
    require_baseline: Annotated[
        bool, typer.Option("--require-baseline", help="Exit with 2 if no scores are accepted yet.")
    ] = False,
    *,
    common: Common,
) -> None:
    """Compare the latest outcome of a suite with the accepted scores; exit with 1 if a gate fails.

    Other exit codes: 2 nothing can be judged, 3 scores are missing, 4 the scores were measured in different ways.
    """
    side_outputs.check_places({"--junit": junit, "--json-file": json_file})
    judged = commands.gate(suite, common.store, baselines, outcome, require_baseline)
    if common.as_json:
        print_json(gates.as_json(judged))
    else:
        show(judged, console(), verbose=not common.quiet, whole=common.verbose)
    for line in side_outputs.write_files(judged, junit, json_file):
        warn(line)
    raise typer.Exit(judged.exit_code)


def show(judged: Gating, screen: Console, verbose: bool = True, whole: bool = False) -> None:
    """Print the heading, the table and the sentences of the verdicts; only of failing ones unless `verbose`.

    `whole` keeps all columns of the table, however narrow the terminal is.
    """
    if synthetic := first_line(judged.questions):
        print_line(screen, synthetic, "yellow")
    said, judged = gates.subject(judged), of_gating(judged)
    print_line(screen, gates.heading(judged), "bold")
    print_line(screen, said, "dim")
    if judged.accepted or any(one.verdict != "new" for one in judged.verdicts):
        print_table(gates.table(judged), screen, whole)
    screen.print()
    verdicts = judged.verdicts if verbose else judged.failing
    print_lines([*gates.sentences(verdicts), *gates.remarks(judged)], screen)
