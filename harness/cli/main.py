"""The command `harness`: the list of its verbs, and how it ends. Each verb is the module of its name beside this one.

A verb's module is imported when that verb is called, so `harness --help` imports none of them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from harness.cli.endings import INTERRUPTED

PREPARE, MEASURE, COMPARE, DEPLOY = "Prepare", "Measure", "Compare", "Deploy"
VERBS = {
    "setup": (PREPARE, "Install the embedded models into this Python; what is installed already is left alone."),
    "init": (PREPARE, "Write a suite file to start from, with every key explained."),
    "ingest": (PREPARE, "Make a dataset folder from documents; run it again to update the folder."),
    "testset": (PREPARE, "Write test questions from documents, and apply a person's review of them."),
    "list": (PREPARE, "List the shipped suites, the measures and the recipes."),
    "doctor": (PREPARE, "Check models, endpoints, disk and devices; exit with 2 if something is missing or wrong."),
    "plan": (PREPARE, "Show what a run will compute, how long it takes and what it costs."),
    "store": (PREPARE, "Check a store to the last byte, show its sizes, collect what nothing needs, explain a key."),
    "diagnose": (MEASURE, "Show where the untuned pipeline loses quality, and what to tune first."),
    "run": (MEASURE, "Run a suite and report what each candidate gains and costs."),
    "report": (MEASURE, "Show the latest outcome of a suite again."),
    "curve": (MEASURE, "Measure whether more training data would help a candidate."),
    "judge": (MEASURE, "Calibrate the LLM judge of a suite against human ratings."),
    "accept": (COMPARE, "Accept the latest outcome of a suite as the baseline of its gate."),
    "gate": (COMPARE, "Compare the latest outcome of a suite with the accepted scores; exit with 1 if a gate fails."),
    "compare": (COMPARE, "Compare two outcomes, systems, run files or files of scores, with confidence intervals."),
    "score": (COMPARE, "Score a TREC run file of any system."),
    "leaderboard": (
        COMPARE,
        "Rank the systems of every suite, or run files, with confidence intervals for the ranks.",
    ),
    "export": (DEPLOY, "Write the tuned models of a candidate, its pipeline and a model card to a folder."),
    "serve": (DEPLOY, "Try measured systems in a browser, or behind an OpenAI-compatible endpoint."),
}
"""Verb -> its heading in the help, and its summary, in the order of use. A new verb is a module and a line here."""


def load(name: str) -> TyperCommand:
    """Import the module of a verb and return its command: its function `verb`, in its class `COMMAND` if it has one."""
    module = import_module(f"harness.cli.{name}")
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, cls=getattr(module, "COMMAND", None))(module.verb)
    command = typer.main.get_command(single)
    assert isinstance(command, TyperCommand)
    command.context_settings = dict(CONTEXT)
    return command


class Unloaded(TyperCommand):
    """A verb of which only the summary is known; its module is imported when the verb is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        assert self.name is not None
        return load(self.name).make_context(info_name, args, parent, **extra)


class Verbs(TyperGroup):
    """The verbs of `harness`, unloaded."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        panel, summary = VERBS[cmd_name]
        return Unloaded(cmd_name, help=summary, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb; for an unknown one, fail with the nearest name."""
        if args[0] not in VERBS and not ctx.resilient_parsing:
            from harness.errors import nearest

            ctx.fail(f"No such command {args[0]!r}; {nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)


CONTEXT = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="harness",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from harness import __version__
        from harness.cli.options import say

        say(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def harness(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Benchmarks for tuning a RAG pipeline: which part to tune, what it gains, what it costs."""


def main() -> None:
    """Run the command line and exit with its code."""
    from harness.cli import endings

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    # It warns of a missing kernel whenever it is imported; see `preload`.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # It announces its search for fonts when it draws for the first time.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    endings.settle_streams()
    endings.heed_signals()
    code = _code_of(sys.argv[1:])
    lost = endings.flush()
    if lost:
        endings.print_error(lost)
        code = code or endings.USAGE
    sys.exit(code)


def _code_of(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; print the error it ends with, if any."""
    from harness import extras
    from harness.cli import endings
    from harness.errors import HarnessError

    if code := endings.refuse_empty(arguments):
        return code
    try:
        app(prog_name="harness")
    except HarnessError as error:
        return endings.explain(error)
    except OSError as error:
        return endings.explain_os(error, arguments)
    except KeyboardInterrupt:
        return endings.interrupted()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            # Typer takes this for a closed pipe of standard output, and would exit with 1, like a failed gate.
            return endings.report_bug(stop.__context__)
        if stop.code == INTERRUPTED:
            return endings.interrupted()
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except ModuleNotFoundError as error:
        missing = extras.explained(error)
        return endings.explain(missing) if missing else endings.report_bug(error)
    except Exception as error:
        return endings.report_bug(error)
    return 0


if __name__ == "__main__":
    main()
