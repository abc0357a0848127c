"""`harness store`: check the artifacts of a store."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import Common, print_json, print_line, takes
from harness.errors import ConfigError, HarnessError, Problem, nearest
from harness.remote.places import store_in
from harness.report import format

ACTIONS = ("verify",)


@takes("store", "as_json", "quiet")
def verb(
    action: Annotated[str, typer.Argument(help="verify: read every file of every artifact and compare its digest.")],
    *,
    common: Common,
) -> None:
    """Check every artifact of a store to the last byte; exit with 2 if one is damaged."""
    if action not in ACTIONS:
        raise ConfigError(Problem("", f"no action {action!r}", nearest(action, ACTIONS)))
    if not common.store.is_dir():
        raise ConfigError(Problem(str(common.store), "no such folder", "name the folder of a store with --store"))
    results = dict(store_in(common.store).verify())
    if not results:
        raise ConfigError(Problem(str(common.store), "holds no artifact", "name the folder of a store with --store"))
    damaged = {str(folder): why for folder, why in results.items() if why}
    if common.as_json:
        print_json({"artifacts": len(results), "damaged": damaged})
    elif not damaged and not common.quiet:
        print_line(common.screen(), f"Every file is as it was written: {format.counted(len(results), 'artifact')}.")
    if damaged:
        hint = "delete this folder, and the next run makes it again"
        raise HarnessError([Problem(folder, why, hint) for folder, why in damaged.items()])
