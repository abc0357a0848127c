"""What a tracker is told of an outcome: settings as parameters, scores and costs as metrics, verdicts as tags."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.report import CHARTS, PAGE_FILE, REPORT_FILE
from harness.tracking.records import Metric, Tracked, TrackedRun, flat, metrics, tags
from harness.values.findings import Outcome, SystemInfo, Timing

OUTCOME_FILE = "outcome.json"
NOT_PARAMETERS = ("schema", "name", "title", "candidates", "factorial", "published", "execution", "track")
"""Keys of a suite that describe no setting of a run; candidates are told with their own runs."""


def of_outcome(outcome: Outcome, folder: Path, artifacts: bool = True) -> Tracked:
    """Return the runs of an outcome that lies in a folder; with `artifacts`, its files are sent too."""
    spec = {name: value for name, value in outcome.spec.items() if name not in NOT_PARAMETERS}
    dataset = outcome.dataset
    counted = {"systems": len(outcome.systems), "documents": dataset.documents, "judged_queries": dataset.judged}
    spent = {"seconds": outcome.seconds, "llm_dollars": sum(row.dollars for row in outcome.paid)}
    parent = TrackedRun(
        key="outcome",
        name=outcome.title or outcome.suite,
        params=dict(flat(spec)),
        tags=tags([
            ("suite", outcome.suite), ("kind", "outcome"), ("split", outcome.split), ("dataset", dataset.name),
            ("dataset_digest", dataset.digest), ("best_untrained", _best_untrained(outcome)),
            ("questions", dataset.questions.sentence if dataset.questions else ""),
        ]),
        metrics=(*metrics(counted), *metrics(spent, measured=True)),
    )  # fmt: skip
    return Tracked(
        suite=outcome.suite,
        kind="outcome",
        parent=parent,
        runs=tuple(_system(outcome, info) for info in outcome.systems),
        origin=origin(outcome.provenance, outcome.created),
        created=seconds_of(outcome.created),
        seconds=outcome.seconds,
        folder=str(folder),
        files=tuple(_files(folder)) if artifacts else (),
    )


def origin(provenance: dict[str, Any], created: str) -> dict[str, str]:
    """Return who made a result, and when, as tags."""
    git = provenance.get("git")
    commit = git if isinstance(git, dict) else {}
    return tags([
        ("created", created), ("commit", commit.get("commit")), ("dirty", commit.get("dirty")),
        ("version", provenance.get("harness")), ("machine", provenance.get("machine")),
        ("python", provenance.get("python")),
    ])  # fmt: skip


def seconds_of(created: str) -> float:
    """Return a time such as ``2025-11-23T16:40:12Z`` in seconds since 1970; 0 if it is none."""
    try:
        return max(0.0, datetime.fromisoformat(created).timestamp())
    except ValueError:
        return 0.0


def _best_untrained(outcome: Outcome) -> str:
    return outcome.best_untrained.system if outcome.best_untrained else ""


def _files(folder: Path) -> Iterator[str]:
    """The report, its charts and the outcome, as far as they are there."""
    yield from (name for name in (OUTCOME_FILE, REPORT_FILE, PAGE_FILE) if (folder / name).is_file())
    yield from (f"{CHARTS}/{path.name}" for path in sorted((folder / CHARTS).glob("*.svg")))


def _system(outcome: Outcome, info: SystemInfo) -> TrackedRun:
    settings = {row.section: row.settings for row in outcome.resolved if row.candidate == info.name}
    who = [
        ("system", info.name), ("role", info.role), ("seed", info.seed), ("tunes", ", ".join(info.tunes)),
        ("changes", ", ".join(info.changes)), ("training", ", ".join(info.training)),
    ]  # fmt: skip
    verdicts = [
        (f"verdict.{row.measure}", row.verdict)
        for row in outcome.comparisons
        if (row.system, row.seed, row.family) == (info.name, info.seed, "gain")
    ]
    return TrackedRun(
        key=f"{info.name}/{info.seed}",
        name=info.label,
        params={**dict(flat(settings)), **tags(who)},
        tags=tags([
            ("suite", outcome.suite), ("identity", info.identity), ("failed", info.failed), ("stopped", info.stopped),
            ("same_run_as", info.same_run_as), ("same_answers_as", info.same_answers_as), *verdicts,
        ]),
        metrics=(*_scores(outcome, info), *_costs(info)),
        failed=bool(info.failed),
    )  # fmt: skip


def _scores(outcome: Outcome, info: SystemInfo) -> Iterator[Metric]:
    """The means, with what failed; and the gains over `untuned`, with their simultaneous intervals."""
    mine = (info.name, info.seed)
    for row in outcome.summaries:
        if (row.system, row.seed) == mine:
            # A tracker that keeps a metric as a file has no room for `ndcg@10/gain` beside `ndcg@10`.
            told = {row.measure: row.mean, f"queries/{row.measure}": row.n, f"failed/{row.measure}": row.failed or None}
            yield from metrics(told)
    for gain in outcome.comparisons:
        if (gain.system, gain.seed) == mine and gain.family == "gain":
            told = {"gain": gain.difference, "gain_low": gain.low, "gain_high": gain.high, "gain_p": gain.p_value}
            yield from metrics({f"{name}/{gain.measure}": value for name, value in told.items()})


def _costs(info: SystemInfo) -> Iterator[Metric]:
    serving = info.serving
    yield from metrics({"build_seconds": info.build_seconds, "build_dollars": info.build_dollars}, measured=True)
    if serving is not None:
        yield from metrics({"dollars_per_1000": serving.dollars_per_1000}, measured=True)
        for part, timing in (("retrieval", serving.retrieval), ("total", serving.total)):
            yield from metrics(_latency(part, timing), measured=True)


def _latency(part: str, timing: Timing | None) -> dict[str, float]:
    return {f"{part}_p50_ms": timing.p50_ms, f"{part}_p95_ms": timing.p95_ms} if timing else {}
