"""What all commands share: the application, their options, and where they print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="harness",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        from harness import __version__

        say(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Benchmarks for tuning a RAG pipeline: which part to tune, what it buys, what it costs."""


SuiteArgument = Annotated[str, typer.Argument(help="Name of a shipped suite, or a suite file or folder.")]
StoreOption = Annotated[Path, typer.Option("--store", help="Where artifacts and outcomes are kept.")]
SeedOption = Annotated[
    list[int] | None, typer.Option("--seed", min=0, max=2**32 - 1, help="Train with this seed; may be repeated.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="Show every table.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.")]
ReplayOption = Annotated[
    bool, typer.Option("--replay", help="Ask no endpoint: what its cache of answers lacks fails, and is named.")
]
BaselinesOption = Annotated[
    Path | None, typer.Option("--baselines", help="Where accepted scores are kept: a folder for each suite in it.")
]
OutcomeOption = Annotated[Path | None, typer.Option("--outcome", help="This outcome instead of the suite's latest.")]
MeasureOption = Annotated[
    list[str] | None, typer.Option("--measure", help="Such as ndcg@10, the default; may be repeated.")
]
LevelOption = Annotated[
    int, typer.Option("--relevance-level", "-l", min=1, help="A document is relevant from this grade on.")
]
OwnOption = Annotated[
    bool, typer.Option("--exclude-own", help="Leave the document that has the query's id out of its list.")
]
DEFAULT_STORE = Path(".harness")
INTERRUPTED = 130
"""What typer leaves with when Ctrl-C was pressed."""


def console(stderr: bool = False) -> Console:
    """A console on standard output, or on the other."""
    from rich.console import Console

    return Console(stderr=stderr)


def warn(line: str) -> None:
    """Print a sentence to standard error, on one line: something went wrong that changes no verdict."""
    console(stderr=True).print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def say(*lines: str) -> None:
    """Print sentences as they are."""
    for line in lines:
        console().print(line, markup=False, highlight=False, soft_wrap=True)
