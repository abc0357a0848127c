"""The last lines of a run: what was computed, and whether it is whole. They say nothing that its table does not."""

from __future__ import annotations

from harness.errors import Incomplete
from harness.experiments.benchmark import Finished
from harness.report import format as figures

MOST_REASONS = 2


def what_was_done(done: Finished) -> str:
    """How much of a run had to be computed, and how much of it failed."""
    made, scored, failed = done.calls_made, done.scores_computed, done.calls_failed
    took = f"{done.seconds:.0f} s"
    lost = sum(row.failed for row in done.outcome.summaries)
    if not made and not scored and not failed:
        if lost:
            return f"Nothing was computed anew, and {figures.counted(lost, 'score')} failed before ({took})."
        return f"Nothing had to be computed again: every stage and score came out of the store ({took})."
    calls = f"{figures.counted(made, 'stage call')} made" + (f", {failed:,} failed" if failed else "")
    return f"{calls}, {figures.counted(scored, 'set')} of scores computed, in {took}."


def check_whole(done: Finished) -> None:
    """Raise Incomplete if more failed than the suite allows, or if nothing was measured at all."""
    if not any(row.n for row in done.outcome.summaries):
        raise Incomplete(f"nothing was measured: {_why(done)}")
    if done.failed_share > done.limit:
        raise Incomplete(
            f"{done.failed_share:.1%} of the scores{_of_which(done)} failed, more than failure_limit {done.limit:.1%} "
            f"allows; {_why(done)}"
        )


def _of_which(done: Finished) -> str:
    """The system and the measure with the largest share of failures, which is the one that is told."""
    rows = [row for row in done.outcome.summaries if row.failed]
    if not rows:
        return ""
    worst = max(rows, key=lambda row: row.failed / (row.n + row.failed))
    if abs(worst.failed / (worst.n + worst.failed) - done.failed_share) > 1e-9:
        return ""
    labels = {(info.name, info.seed): info.label for info in done.outcome.systems}
    return f" of {labels.get((worst.system, worst.seed), worst.system)} on {worst.measure}"


def _why(done: Finished) -> str:
    """The commonest reasons, and where the others stand."""
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
    where = f"all reasons stand in {done.folder / 'report.md'}"
    return "; ".join([*(" ".join(reason.split()).rstrip(".") for reason in reasons), where])
