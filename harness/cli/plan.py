"""`harness plan`: what a run will compute, how long it takes and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from harness.cli import layout
from harness.cli.options import Common, SeedsOption, SuiteArgument, console, print_json, takes
from harness.execution.probe import WARM_UP
from harness.experiments.preview import CallRow, Preview, preview_of
from harness.planning.graph import Plan, SystemPlan
from harness.report import format
from harness.report.seedless import labels_shown, seeds_told, trained_with
from harness.suite.served_uses import served_uses
from harness.suite.spec import Suite
from harness.suite.uses import endpoint_roles

SERVED = ("retriever", "reranker", "system")
"""Roles that are parts of a pipeline, or all of one."""
SHOWN_SHARE = 0.05
"""Calls of the longest path that take less of its time are not shown."""


@takes("store", "as_json", "verbose", "jobs", "executor")
def verb(suite: SuiteArgument, seed: SeedsOption = None, *, common: Common) -> None:
    """Show what a run will compute, how long it takes and what it costs; with -v, every stage call."""
    preview = preview_of(suite, common.store, tuple(seed or ()), common.side_by_side, common.executor)
    if common.as_json:
        print_json(as_json(preview))
    else:
        describe(preview, console(), common.verbose, suite)


def as_json(preview: Preview) -> dict[str, Any]:
    """Return the preview for machines."""
    plan = preview.plan
    return {
        "suite": plan.suite.name,
        "calls": preview.calls,
        "calls_without_sharing": plan.calls_without_sharing,
        "seconds": preview.seconds("alone"),
        "jobs": preview.jobs,
        "seconds_with_jobs": preview.seconds("together"),
        "longest_path": preview.path,
        "longest_path_seconds": preview.seconds("path_seconds"),
        "diagnosis_seconds": None if isinstance(preview.diagnosis, str) else preview.diagnosis.alone,
        "judge": preview.judging,
        "trained": {system.label: list(system.tunes) for system in _candidates(plan) if system.tunes},
        "changed": {system.label: list(system.changes) for system in _candidates(plan) if system.changes},
        "warnings": list(preview.warnings),
    }


def describe(preview: Preview, screen: Console, verbose: bool = False, asked: str = "SUITE") -> None:
    """Print the summary of a preview: calls, time, cost, candidates, warnings; `verbose` adds every call.

    `asked` is what names the suite on the command line.
    """
    plan = preview.plan
    screen.print(f"Plan of {plan.suite.name}", style="bold", highlight=False, markup=False)
    layout.fields(list(_summary(preview)), screen)
    read_as = labels_shown(plan.systems)
    candidates = [
        (read_as[system.label], layout.what_changes(system.tunes, system.training, system.changes))
        for system in _candidates(plan)
    ]
    if candidates:
        layout.heading("Candidates", screen)
        layout.fields(candidates, screen)
    if preview.warnings:
        layout.heading("Warnings", screen)
        layout.sentences(preview.warnings, screen)
    if verbose:
        layout.heading("Stage calls", screen)
        _print_calls(preview, screen)
    else:
        screen.print(f"\nEvery stage call: harness plan {asked} -v", style="dim", highlight=False, markup=False)


def _summary(preview: Preview) -> Iterator[tuple[str, str]]:
    plan, suite = preview.plan, preview.plan.suite
    candidates = _candidates(plan)
    trained = sum(bool(system.tunes) for system in candidates)
    rows = format.counted(len(plan.systems) - len(candidates), "baseline row")
    kinds = f" ({trained:,} trained)" if trained < len(candidates) else ""
    seeds = seeds_told(trained_with(candidates))
    yield "systems", f"{rows}, {format.counted(len(candidates), 'candidate')}{kinds}{seeds and f', {seeds}'}"
    total, rest = len(preview.calls), len(preview.to_compute)
    shared = plan.calls_without_sharing - len(plan.calls)
    yield "stage calls", f"{total:,}: {total - rest:,} in the cache, {rest:,} to compute ({shared:,} saved by sharing)"
    seconds = sum(row["seconds"] for row in preview.to_compute)
    guessed = sum(row["seconds"] for row in preview.to_compute if not row["measured"])
    basis = " (a guess: this store has timed little of it on this machine)" if guessed > seconds / 2 else ""
    yield "time", f"{_time(preview)}{basis}, plus scoring and latency probes"
    yield "diagnosis", _diagnosis_in_words(preview)
    if path := _long_calls(preview):
        yield "longest path", f"about {format.duration(preview.seconds('path_seconds'))}: {' -> '.join(path)}"
    asking = [row for row in preview.to_compute if row["llm_calls"]]
    if to_llms := [row for row in asking if row["role"] not in SERVED]:
        here = "" if endpoint_roles(suite) else ", all on this machine"
        yield "LLM calls", f"about {_llm_work(to_llms)}{here}"
    if to_served := [row for row in asking if row["role"] in SERVED]:
        yield "served models", f"about {_llm_work(to_served, 'requests ')}, plus latency probes"
    if suite.answerer is not None:
        requests = suite.evaluate.probe_generations + WARM_UP
        yield "latency probe", f"{format.counted(requests, 'request')} to the generator's endpoint per kind of prompt"
    if preview.judging:
        yield "judge", f"at most {_llm_work(preview.judging)}"
    if asked := _elsewhere(suite):
        yield "endpoints", ", ".join(asked)
    if suite.llm.max_usd is not None or suite.llm.max_tokens is not None:
        yield "budget", f"the run stops at {_budget(suite)}; results that are paid for stay in the cache"


def _elsewhere(suite: Suite) -> list[str]:
    """The roles of language models and the parts of pipelines that are at endpoints."""
    return [*endpoint_roles(suite), *dict.fromkeys(use.part for use in served_uses(suite))]


def _long_calls(preview: Preview) -> list[str]:
    """The labels of the calls of the longest path, without those that are over at once."""
    seconds = {row["call"]: row["seconds"] for row in preview.calls}
    return [name for name in preview.path if seconds[name] >= SHOWN_SHARE * preview.seconds("path_seconds")]


def _time(preview: Preview) -> str:
    """``about 29 min``, and with several jobs also how long these take."""
    return _both_ways(preview.seconds("alone"), preview.seconds("together"), preview.jobs)


def _both_ways(alone: float, together: float, jobs: int) -> str:
    one = f"about {format.duration(alone)}"
    return one if jobs == 1 else f"{one} one after another, about {format.duration(together)} with {jobs} jobs"


def _diagnosis_in_words(preview: Preview) -> str:
    """How long `harness diagnose` takes, as it is no part of the run."""
    found = preview.diagnosis
    if isinstance(found, str):
        return f"not estimated: {found}"
    time = _both_ways(found.alone, found.together, preview.jobs)
    return f"not part of the run; harness diagnose takes {time}, plus timing runs"


def _candidates(plan: Plan) -> list[SystemPlan]:
    return [system for system in plan.systems if system.role == "candidate"]


def _llm_work(rows: Sequence[CallRow], noun: str = "") -> str:
    """``1,200 with 400,000 tokens, $0.31``; dollars are those of endpoints."""
    calls, tokens, dollars = (sum(row[name] for row in rows) for name in ("llm_calls", "tokens", "dollars"))
    paid = f", {format.dollars(dollars)}" if dollars else ""
    return f"{calls:,} {noun}with {tokens:,} tokens{paid}"


def _budget(suite: Suite) -> str:
    bounds = (("$", suite.llm.max_usd, ""), ("", suite.llm.max_tokens, " tokens"))
    return " or ".join(f"{before}{value:,}{after}" for before, value, after in bounds if value is not None)


def _print_calls(preview: Preview, screen: Console) -> None:
    """Print every call in the order of the plan; a column of numbers that is empty is left out."""
    titles = {"units": "units", "llm_calls": "LLM calls", "tokens": "tokens", "dollars": "cost"}
    shown = [key for key in titles if any(row[key] for row in preview.calls)]
    numbers = [*(titles[key] for key in shown), "time"]
    rows, read_as = [], labels_shown(preview.plan.systems)
    for row in preview.calls:
        systems = row["systems"]
        several = f"{len(systems)} of {len(preview.plan.systems)} systems"
        users = read_as.get(systems[0], systems[0]) if len(systems) == 1 else several
        texts = {key: format.dollars(row[key]) if key == "dollars" else f"{row[key]:,}" for key in shown}
        counts = [texts[key] if row[key] else "" for key in shown]
        time = "" if row["stored"] else format.duration(row["seconds"])
        rows.append((row["call"], users, "yes" if row["stored"] else "no", *counts, time))
    layout.table(["call", "used by", "cached", *numbers], rows, numbers, screen)
