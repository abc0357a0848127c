"""`harness plan`: what a run will compute, how long it takes and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from harness import scoring
from harness.cli import layout
from harness.cli.options import Common, SeedsOption, SuiteArgument, console, print_json, takes
from harness.data.datasets import Dataset
from harness.errors import HarnessError
from harness.execution import endpoints
from harness.execution.executors import DEFAULT_EXECUTOR, executor_named
from harness.execution.probe import WARM_UP
from harness.execution.session import Session, connect
from harness.experiments import forgetting, halving
from harness.planning.graph import Plan, SystemPlan
from harness.planning.oracles import build_diagnosis_plan, suite_for
from harness.planning.outlook import Forecast, Outlook
from harness.planning.plan import build_plan
from harness.planning.resources import Resources
from harness.planning.training_free import affordable
from harness.remarks import conversations, data, models, sample_size
from harness.remote.places import store_in
from harness.report import format
from harness.report.seedless import labels_shown, seeds_told, trained_with
from harness.store import Store
from harness.suite.files import load_suite
from harness.suite.served_uses import served_uses
from harness.suite.spec import Suite
from harness.suite.uses import endpoint_roles

JUDGE_PROMPT, JUDGE_ANSWER = 1500, 250
"""Tokens of one request of ragas' measures and of its answer: a guess."""
SERVED = ("retriever", "reranker", "system")
"""Roles that are parts of a pipeline, or all of one."""
DIAGNOSED = "dev"
"""The split that `harness diagnose` asks about unless it is told another."""
SHOWN_SHARE = 0.05
"""Calls of the longest path that take less of its time are not shown."""
CallRow = Mapping[str, Any]
"""A stage call with its estimate, as `--json` prints it."""


class Preview(NamedTuple):
    """A plan with an estimate for each of its calls, at most how much judging takes, and what to know beforehand.

    `times` are those of the plan and of what follows on another dataset, with `jobs` calls side by side. `diagnosis` is
    the forecast of `harness diagnose`, which no other figure counts, or why there is none.
    """

    plan: Plan
    calls: Sequence[CallRow]
    judging: Sequence[CallRow]
    warnings: Sequence[str]
    jobs: int
    times: Sequence[Forecast]
    diagnosis: Forecast | str

    @property
    def to_compute(self) -> list[CallRow]:
        return [row for row in self.calls if not row["stored"]]

    @property
    def path(self) -> list[str]:
        """The labels of the calls of the longest path."""
        labels = {row["key"]: row["call"] for row in self.calls}
        return [labels[key] for time in self.times for key in time.path]

    def seconds(self, name: str) -> float:
        """A time of the forecast, by the name of its field."""
        return sum(float(getattr(time, name)) for time in self.times)


@takes("store", "as_json", "verbose", "jobs", "executor")
def verb(suite: SuiteArgument, seed: SeedsOption = None, *, common: Common) -> None:
    """Show what a run will compute, how long it takes and what it costs; with -v, every stage call."""
    preview = preview_of(suite, common.store, tuple(seed or ()), common.side_by_side, common.executor)
    if common.as_json:
        print_json(as_json(preview))
    else:
        describe(preview, console(), common.verbose, suite)


def preview_of(
    name: str,
    store_root: Path,
    seeds: tuple[int, ...] = (),
    jobs: int | None = None,
    executor: str = DEFAULT_EXECUTOR,
) -> Preview:
    """Plan a suite and estimate each distinct stage call; `seeds` replace those of the suite. Nothing is written.

    Raises what a run would raise before any work.
    """
    suite = endpoints.spoken(load_suite(name)[0], store_root)
    if seeds:
        suite = suite.model_copy(update={"seeds": tuple(dict.fromkeys(seeds))})
    runner = executor_named(executor, jobs)
    connect(runner, suite, store_root)
    dataset = Session.load(suite)
    halving.check(suite, dataset)
    plan = build_plan(suite, dataset)
    store, elsewhere = store_in(store_root), forgetting.plan_forgetting(plan)
    offered = runner.resources()
    outlook = Outlook(plan, store)
    calls, times = _calls(outlook), [outlook.forecast(offered)]
    if elsewhere is not None:
        outlook = Outlook(elsewhere.plan, store)
        calls += [row for row in _calls(outlook) if row["key"] not in plan.calls]
        times.append(outlook.forecast(offered, without=plan.calls))
    warnings = [
        *data.told(dataset, suite.evaluate.split),
        *conversations.before(suite, dataset),
        *models.before(suite),
        *sample_size.before(plan),
        *halving.told(suite, dataset, store),
    ]
    diagnosis = _diagnosis(suite, dataset, store, offered)
    return Preview(plan, calls, judge_estimates(plan), warnings, offered.jobs, times, diagnosis)


def _diagnosis(suite: Suite, dataset: Dataset, store: Store, offered: Resources) -> Forecast | str:
    """How long the stage calls of a diagnosis on dev take that the store lacks; or why that is not known."""
    part = dataset.splits.get(DIAGNOSED)
    if part is None or not part.judged:
        return f"no judged query in the split {DIAGNOSED}"
    try:
        whole = build_diagnosis_plan(suite_for(suite, DIAGNOSED), dataset).plan
    except HarnessError as error:
        return str(error)
    plan = affordable(whole, store, 60 * suite.diagnose.candidate_minutes).plan
    return Outlook(plan, store).forecast(offered)


def _calls(outlook: Outlook) -> list[CallRow]:
    """Every call of a plan with its estimate."""
    return [
        {
            "key": key,
            "call": planned.label,
            "stage": planned.call.stage,
            "units": planned.work.units,
            "role": planned.work.role,
            "systems": sorted(set(planned.systems)),
            **outlook.estimates[key]._asdict(),
        }
        for key, planned in outlook.plan.calls.items()
    ]


def judge_estimates(plan: Plan) -> list[CallRow]:
    """Return what judging takes at most, by measure: every answer of every system, with the suite's repeats."""
    suite, judge = plan.suite, plan.suite.llm.judge
    if judge is None:
        return []
    answers = len({system.answers for system in plan.systems if system.answers}) * len(plan.sample)
    rows: list[CallRow] = []
    for measure in suite.measures:
        if measure.is_judged:
            calls = answers * judge.repeats * scoring.requests_per_answer(measure, suite.pipeline.context)
            tokens = calls * JUDGE_PROMPT, calls * JUDGE_ANSWER
            rows.append(
                {"measure": str(measure), "llm_calls": calls, "tokens": sum(tokens), "dollars": judge.dollars(*tokens)}
            )
    return rows


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
