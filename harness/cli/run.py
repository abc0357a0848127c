"""`harness run`: run a suite, show its report, and say whether it is complete."""

from __future__ import annotations

from harness.cli.options import Common, SeedsOption, SuiteArgument, takes, write_out
from harness.errors import Incomplete
from harness.experiments import benchmark
from harness.experiments.benchmark import Finished
from harness.report import format
from harness.report.render.terminal import render
from harness.report.seedless import of_outcome
from harness.report.view import row_label
from harness.results.outcomes import guarded
from harness.text.decimals import percent

MOST_REASONS = 2


@takes("store", "as_json", "verbose", "quiet", "replay", "jobs", "executor")
def verb(suite: SuiteArgument, seed: SeedsOption = None, *, common: Common) -> None:
    """Run a suite and report what each candidate gains and costs."""
    screen = common.screen()
    with common.progress() as display:
        done = benchmark.run(suite, common.store, seed or (), **common.session(display))
    if common.as_json:
        write_out((done.folder / "outcome.json").read_text(encoding="utf-8"))
    else:
        guarded(
            lambda: render(done.outcome, screen, verbose=common.verbose, folder=done.folder), "the report", done.folder
        )
        screen.print(closing_line(done), style="dim", highlight=False, markup=False)
    check_complete(done)


def closing_line(done: Finished) -> str:
    """Return how much of a run was computed, and how much of it failed."""
    made, scored, failed = done.calls_made, done.scores_computed, done.calls_failed
    took = f"{done.seconds:.0f} s"
    lost = sum(row.failed for row in done.outcome.summaries)
    if not made and not scored and not failed:
        if lost:
            return f"Nothing new was computed; {format.counted(lost, 'score')} failed in an earlier run ({took})."
        return f"Every stage and every score came from the cache ({took})."
    failures = f"; {format.counted(failed, 'stage call')} failed" if failed else ""
    calls = format.counted(made, "stage call")
    return f"Computed {calls} and {format.counted(scored, 'set')} of scores in {took}{failures}."


def check_complete(done: Finished) -> None:
    """Raise Incomplete if more failed than the suite allows, or if nothing was measured."""
    if not any(row.n for row in done.outcome.summaries):
        raise Incomplete(f"nothing was measured: {_reasons(done)}")
    if done.failed_share > done.limit:
        raise Incomplete(
            f"{percent(done.failed_share, 1)} of the scores{_worst(done)} failed, which is above failure_limit "
            f"{percent(done.limit, 1)}: {_reasons(done)}"
        )


def _worst(done: Finished) -> str:
    """The system and the measure with the largest share of failures, if that share is the one of the run."""
    rows = [row for row in done.outcome.summaries if row.failed]
    if not rows:
        return ""
    worst = max(rows, key=lambda row: row.failed / (row.n + row.failed))
    if abs(worst.failed / (worst.n + worst.failed) - done.failed_share) > 1e-9:
        return ""
    return f" of {row_label(of_outcome(done.outcome), worst.system, worst.seed)} on {worst.measure}"


def _reasons(done: Finished) -> str:
    """The most frequent reasons, and the file that lists the others."""
    counts: dict[str, int] = {}
    for row in done.outcome.summaries:
        for reason, count in row.reasons.items():
            counts[reason] = counts.get(reason, 0) + count
    for info in done.outcome.systems:
        if info.failed:
            counts.setdefault(info.failed, 1)
    if not counts:
        counts = {f"{name}: {why}": 1 for name, why in done.outcome.not_run.items()}
    reasons = sorted(counts, key=lambda reason: -counts[reason])[:MOST_REASONS]
    where = f"all reasons are listed in {done.folder / 'report.md'}"
    return "; ".join([*(" ".join(reason.split()).rstrip(".") for reason in reasons), where])
