"""The commands that judge what was run: accept, gate, compare, score, judge, leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    BaselinesOption,
    JsonOption,
    LevelOption,
    MeasureOption,
    OutcomeOption,
    OwnOption,
    QuietOption,
    ReplayOption,
    StoreOption,
    SuiteArgument,
    app,
    console,
    say,
    warn,
)


@app.command()
def judge(
    suite: SuiteArgument,
    labels: Annotated[Path, typer.Option("--labels", help="Answers that people rated, in JSON lines.")],
    measure: Annotated[str, typer.Option("--measure", help="What the judge is asked for.")] = "faithfulness",
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Judge so many, each kind of them by its share.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sample and the intervals.")] = 0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    replay: ReplayOption = False,
) -> None:
    """Compare a suite's judge with people, and record whether it may decide what is right."""
    from harness.execution.scheduler import no_display
    from harness.experiments.calibrate import judge as calibrate
    from harness.report.render.calibration import render
    from harness.report.render.progress import Steps

    screen = console(stderr=as_json)
    with Steps(screen) as steps:
        display = no_display if quiet else steps.watch
        found = calibrate(suite, labels, store, measure, sample, seed, display=display, replay=replay)
    if as_json:
        sys.stdout.write(found.calibration.model_dump_json(indent=1) + "\n")
        return
    render(found.calibration, screen)
    for line in (*found.remarks, f"Kept in {found.place}; each judgement in {found.rows}."):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def accept(
    suite: SuiteArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why these scores are the ones to hold on to.")],
    store: StoreOption = DEFAULT_STORE,
    baselines: BaselinesOption = None,
    outcome: OutcomeOption = None,
) -> None:
    """Accept the latest outcome of a suite: what `harness gate` compares with from now on."""
    from harness.gates import gating

    done = gating.accept(suite, reason, store, baselines, outcome)
    say(*gating.what_changed(done))


@app.command()
def gate(
    suite: SuiteArgument,
    store: StoreOption = DEFAULT_STORE,
    baselines: BaselinesOption = None,
    outcome: OutcomeOption = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit XML to this file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write JSON to this file.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="A sentence only for what fails.")] = False,
    require_baseline: Annotated[
        bool, typer.Option("--require-baseline", help="Leave with 2 while nothing is accepted to compare with.")
    ] = False,
) -> None:
    """Compare the latest outcome of a suite with what was accepted; leave with 1 if a gate failed.

    3: scores are missing; 4: it was measured in another way than what was accepted; 2: it cannot be judged at all.
    """
    from harness.gates import gating, side_outputs

    side_outputs.check_places({"--junit": junit, "--json": json_file})
    found = gating.gate(suite, store, baselines, outcome, require_baseline)
    gating.show(found, console(), verbose=not quiet)
    for line in side_outputs.write_files(found, junit, json_file):
        warn(line)
    raise typer.Exit(found.exit_code)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A suite with an outcome, an outcome's folder, accepted "
                                         "scores, one of these with ':system', or a TREC run file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same; differences are B minus A.")],
    store: StoreOption = DEFAULT_STORE,
    qrels: Annotated[Path | None, typer.Option("--qrels", help="Judgements for two run files.")] = None,
    measure: MeasureOption = None,
    margin: Annotated[float | None, typer.Option("--margin", min=0, help="A difference too small to matter.")] = None,
    relevance_level: LevelOption = 1,
    exclude_own: OwnOption = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show how two outcomes, systems or run files differ, and how surely."""
    from harness.errors import ConfigError, Problem
    from harness.gates import gating
    from harness.gates.run_files import RunRules

    rules = RunRules(relevance_level, exclude_own)
    if qrels is None and rules != RunRules():
        hint = "set evaluate.relevance_level or evaluate.exclude_own in the suite, and run it"
        raise ConfigError(Problem("", "--relevance-level and --exclude-own need run files and --qrels", hint))
    found = gating.compare(first, second, store, qrels, measure or (), margin, rules)
    gating.show_compared(found, console(), as_json)
    if all(row.difference is None for row in found.rows):
        from harness.errors import Incomplete

        raise Incomplete("nothing was compared: no query has a score on both sides")


@app.command()
def score(
    run: Annotated[Path, typer.Argument(help="A TREC run file, of any system.")],
    qrels: Annotated[Path, typer.Argument(help="Judgements, in the form of TREC or BEIR.")],
    measure: MeasureOption = None,
    relevance_level: LevelOption = 1,
    exclude_own: OwnOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a run file of any system."""
    from harness.gates import gating
    from harness.gates.run_files import RunRules

    rules = RunRules(relevance_level, exclude_own)
    gating.show_scores(gating.score(run, qrels, measure or (), rules), console(), as_json)


@app.command("leaderboard")
def leaderboard_(
    store: StoreOption = DEFAULT_STORE,
    accepted: Annotated[
        Path | None,
        typer.Option("--baselines", help="Rank what was accepted, a folder for each suite in it, and not the store's."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--reports", help="Where LEADERBOARD.md and leaderboard.html are written.")
    ] = Path("reports"),
) -> None:
    """Rank the systems of every suite in the store, as surely as their scores allow."""
    from harness.experiments import leaderboard
    from harness.report import format as figures

    done = leaderboard.write_accepted(accepted, folder) if accepted else leaderboard.write(store, folder)
    say(f"Wrote {figures.listed(list(map(str, done.files)))}: {figures.counted(done.boards, 'board')}.")
