"""`harness accept`: make the latest outcome of a suite the baseline of its gate."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import BaselinesOption, Common, OutcomeOption, SuiteArgument, print_json, say, takes
from harness.gates import commands


@takes("store", "as_json")
def verb(
    suite: SuiteArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why these scores become the baseline.")],
    baselines: BaselinesOption = None,
    outcome: OutcomeOption = None,
    *,
    common: Common,
) -> None:
    """Accept the latest outcome of a suite as the baseline of its gate."""
    done = commands.accept(suite, reason, common.store, baselines, outcome)
    changes = commands.what_changed(done)
    if common.as_json:
        print_json({"folder": str(done.folder), "created": done.accepted.created, "changes": changes})
    else:
        say(*changes)
