"""The command `harness`. It reads options, calls `bench`, prints; every error of ours becomes one sentence."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    INTERRUPTED,
    JsonOption,
    QuietOption,
    ReplayOption,
    SeedOption,
    StoreOption,
    SuiteArgument,
    VerboseOption,
    app,
    console,
    say,
    warn,
)


@app.command()
def run(
    suite: SuiteArgument,
    store: StoreOption = DEFAULT_STORE,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    replay: ReplayOption = False,
) -> None:
    """Run a suite end to end and report what tuning bought and what it cost."""
    from harness.cli.last_words import check_whole, what_was_done
    from harness.execution.scheduler import no_display
    from harness.experiments import benchmark
    from harness.report.render.progress import Steps
    from harness.report.render.terminal import render
    from harness.results.outcomes import guarded

    screen = console(stderr=as_json)
    with Steps(screen) as steps:
        done = benchmark.run(suite, store, seed or (), display=no_display if quiet else steps.watch, replay=replay)
    if as_json:
        sys.stdout.write((done.folder / "outcome.json").read_text(encoding="utf-8") + "\n")
    else:
        guarded(lambda: render(done.outcome, screen, verbose=verbose, folder=done.folder), "the report", done.folder)
        screen.print(what_was_done(done), style="dim", highlight=False, markup=False)
    check_whole(done)


@app.command()
def plan(
    suite: SuiteArgument, store: StoreOption = DEFAULT_STORE, seed: SeedOption = None, as_json: JsonOption = False
) -> None:
    """Show the stage calls of a suite: which are in the store, and what the others will take."""
    from harness.cli.plan import describe_plan

    describe_plan(suite, store, tuple(seed or ()), console(), as_json)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show the shipped suites with their candidates, and the measures and recipes there are."""
    from harness.cli.plan import describe_all

    describe_all(console(), as_json)


@app.command()
def doctor(
    suite: Annotated[str | None, typer.Argument(help="Check what this suite needs.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Check models, endpoints, disk and devices; exit with 2 if something is missing."""
    from harness.cli.doctor import examine

    if not examine(suite, store, console()):
        raise typer.Exit(2)


@app.command()
def report(
    suite: SuiteArgument,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also save what is shown as a picture.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as one page to this file.")] = None,
) -> None:
    """Show the latest outcome of a suite again."""
    from rich.console import Console

    from harness.experiments import reports
    from harness.report.render.terminal import render
    from harness.results import outcomes
    from harness.suite.files import load_suite

    folder = store / "outcomes" / suite / "latest"
    if not folder.is_dir():
        folder = store / "outcomes" / load_suite(suite)[0].name / "latest"
    outcome, told = outcomes.read(folder), list[Path]()
    lost = outcomes.guarded(lambda: told.extend(reports.rewrite_reports(folder, outcome)), "the report", folder)
    if told and not lost:
        warn(f"the report files of this outcome were not all there; wrote them again in {folder}")
    if html is not None:
        say(f"Wrote {reports.write_page(folder, html)}.")
    elif as_json:
        sys.stdout.write(outcome.model_dump_json(indent=1) + "\n")
    else:
        screen = Console(record=True, width=110) if svg else console()
        render(outcome, screen, verbose=verbose, folder=None if svg else folder)
        if svg:
            svg.parent.mkdir(parents=True, exist_ok=True)
            picture = screen.export_svg(title=f"harness run {outcome.suite}")
            # rich asks a server for its font; a picture that is looked at should tell nobody.
            svg.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where the suite file is put; made if it is not there.")]) -> None:
    """Start a suite of your own: a suite file with every key explained, ready to run as it is."""
    from harness.cli.init import begin

    written = begin(folder)
    say(
        f"Wrote {', '.join(written)} in {folder}. Next: harness doctor {folder}, then harness run {folder}; "
        "the README there says how to put in your own data."
    )


@app.command()
def export(
    candidate: Annotated[str, typer.Argument(help="Name of a candidate.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it is written; new or empty.")],
    suite: Annotated[
        str | None, typer.Option("--suite", help="The suite of the candidate, if the store knows several.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Which one, if it was trained with several.")
    ] = None,
) -> None:
    """Write the tuned models of a candidate, its pipeline as YAML, and a model card with the measured gains."""
    from harness.cli.export import export as write

    written = write(candidate, folder, store, suite, seed)
    say(f"Wrote {', '.join(written)} in {folder}.")


# Below the others, so that help shows them in the order of use.
from harness.cli import diagnose as diagnose  # noqa: E402

# isort: split
from harness.cli import curve as curve  # noqa: E402
from harness.cli import verdicts as verdicts  # noqa: E402


def main() -> None:
    """Run the command; leave with the exit code that the error family lays down."""
    from harness.cli import endings

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    # It warns of a missing kernel whenever it is imported; see `preload`.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # It tells that it looks for fonts when it draws for the first time.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    endings.settle_streams()
    code = _code_of(sys.argv[1:])
    lost = endings.flush()
    if lost:
        endings.tell(lost)
        code = code or endings.USAGE
    sys.exit(code)


def _code_of(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; whatever it ends with is told."""
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
        sys.stderr.write(f"\n{endings.INTERRUPTION}\n")
        return endings.INTERRUPTED
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            # Typer takes it for a reader of ours that went away, and would leave as a gate does that fails.
            return endings.report_bug(stop.__context__)
        if stop.code == INTERRUPTED:
            sys.stderr.write(f"\n{endings.INTERRUPTION}\n")
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        return endings.report_bug(error)
    return 0


if __name__ == "__main__":
    main()
