"""What all verbs share: their common options, each declared once, and where they print."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.execution.making import Display
    from harness.execution.session import Options

DEFAULT_STORE = Path(".harness")
DEFAULT_EXECUTOR = "child"
MOST_SEED = 2**32 - 1


def _store(place: str | Path) -> Path:
    from harness.remote.places import root_of

    return root_of(place)


def _baselines(place: str | Path) -> Path:
    from harness.remote.mirror import opened

    return opened(place)


def _outcome(place: str | Path) -> Path:
    from harness.results.sharing import folder_at

    return folder_at(place)


SuiteArgument = Annotated[
    str, typer.Argument(metavar="SUITE", help="Name of a shipped suite, or a suite file or folder.")
]
SeedsOption = Annotated[
    list[int] | None,
    typer.Option(
        "--seed", min=0, max=MOST_SEED, metavar="N", help="Training seed, instead of the suite's; may be repeated."
    ),
]
BaselinesOption = Annotated[
    Path | None,
    typer.Option(
        "--baselines",
        parser=_baselines,
        metavar="PLACE",
        help="Folder or address of accepted scores, with one folder per suite. Default: 'baselines' beside the suite "
        "file or its folder 'suites'.",
    ),
]
OutcomeOption = Annotated[
    Path | None,
    typer.Option(
        "--outcome",
        parser=_outcome,
        metavar="PLACE",
        help="Folder or address of an outcome, instead of the suite's latest.",
    ),
]


@dataclass(frozen=True)
class Common:
    """The values of the common options; a verb that does not take one of them sees its default."""

    store: Path = DEFAULT_STORE
    as_json: bool = False
    verbose: bool = False
    quiet: bool = False
    replay: bool = False
    jobs: str | None = None
    executor: str = DEFAULT_EXECUTOR
    measure: list[str] | None = None
    relevance_level: int = 1
    exclude_own: bool = False

    @property
    def side_by_side(self) -> int | None:
        """How many stage calls run side by side; None where that is left to the executor.

        Raises ConfigError if `jobs` is no such number.
        """
        from harness.execution.machine import jobs_of

        return None if self.jobs is None else jobs_of(self.jobs)

    def session(self, display: Display) -> Options:
        """Return the options of a session. Raises ConfigError as `side_by_side` does."""
        return {
            "display": display, "replay": self.replay, "jobs": self.side_by_side, "executor": self.executor,
        }  # fmt: skip

    def screen(self) -> Console:
        """Return the console for text: standard error if standard output is for JSON."""
        return console(stderr=self.as_json)

    @contextmanager
    def progress(self) -> Iterator[Display]:
        """Show the progress of long steps while this lasts, unless `quiet`."""
        from harness.execution.making import no_display
        from harness.report.render.progress import Steps

        if self.quiet:
            yield no_display
            return
        with Steps(self.screen()) as steps:
            yield steps


COMMON: dict[str, Any] = {
    "store": Annotated[
        Path,
        typer.Option(
            "--store", parser=_store, metavar="PLACE", help="Folder or address (s3://...) of artifacts and outcomes."
        ),
    ],
    "as_json": Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")],
    "verbose": Annotated[bool, typer.Option("-v", "--verbose", help="Print every detail.")],
    "quiet": Annotated[bool, typer.Option("-q", "--quiet", help="Print less: no progress, and only what fails.")],
    "replay": Annotated[bool, typer.Option("--replay", help="Use cached LLM responses only; fail on a cache miss.")],
    "jobs": Annotated[
        str | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            help="Stage calls that run side by side: 1 by default, on a cluster as many as it has room for; 'auto' is "
            "one per two cores.",
        ),
    ],
    "executor": Annotated[
        str,
        typer.Option(
            "--executor", metavar="NAME", help="Where stage calls run: child (processes on this machine), ray or slurm."
        ),
    ],
    "measure": Annotated[
        list[str] | None, typer.Option("--measure", help="Rank measure, ndcg@10 by default; may be repeated.")
    ],
    "relevance_level": Annotated[
        int, typer.Option("--relevance-level", "-l", min=1, help="Lowest grade that counts as relevant.")
    ],
    "exclude_own": Annotated[bool, typer.Option("--exclude-own", help="Drop the document whose id is the query's id.")],
}
"""Field of `Common` -> its option."""


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a verb these common options: its parameter `common` then holds their values."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(verb, include_extras=True)
        own = [
            parameter.replace(annotation=hints[name])
            for name, parameter in inspect.signature(verb).parameters.items()
            if name != "common"
        ]
        options = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=getattr(Common, name), annotation=COMMON[name]
            )
            for name in names
        ]

        @functools.wraps(verb)
        def command(**values: Any) -> None:
            common = Common(**{name: values.pop(name) for name in names})
            verb(**values, common=common)

        command.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *options)}
        return command

    return decorate


def console(stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error."""
    from rich.console import Console

    return Console(stderr=stderr)


def warn(line: str) -> None:
    """Print a warning to standard error."""
    print_line(console(stderr=True), f"warning: {line}", "yellow")


def say(*lines: str) -> None:
    """Print sentences as they are."""
    for line in lines:
        print_line(console(), line)


def print_line(screen: Console, line: str, style: str = "") -> None:
    """Print a text as it is: wrapped between words on a terminal, on one line in a file or a pipe."""
    screen.print(line, style=style, markup=False, highlight=False, soft_wrap=not screen.is_terminal)


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def write_out(text: str) -> None:
    """Print a text that is JSON already to standard output."""
    sys.stdout.write(text.rstrip("\n") + "\n")
