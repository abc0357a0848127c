"""What a run of a suite will compute, with an estimate for each call; nothing is made and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import scoring
from harness.data.datasets import Dataset
from harness.errors import HarnessError
from harness.execution import endpoints
from harness.execution.executors import DEFAULT_EXECUTOR, executor_named
from harness.execution.remote import RemoteExecutor
from harness.execution.session import Session, connect
from harness.experiments import forgetting, halving
from harness.planning.graph import Plan
from harness.planning.oracles import build_diagnosis_plan, suite_for
from harness.planning.outlook import Forecast, Outlook
from harness.planning.plan import build_plan
from harness.planning.training_free import affordable
from harness.remarks import conversations, data, models, sample_size
from harness.remote.places import store_in
from harness.store import Store
from harness.suite.files import load_suite
from harness.suite.spec import Suite

JUDGE_PROMPT, JUDGE_ANSWER = 1500, 250
"""Tokens of one request of ragas' measures and of its answer: a guess."""
DIAGNOSED = "dev"
"""The split that `harness diagnose` asks about unless it is told another."""
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
    here = not isinstance(runner, RemoteExecutor)
    outlook = Outlook(plan, store, here)
    calls, times = _calls(outlook), [outlook.forecast(offered)]
    if elsewhere is not None:
        outlook = Outlook(elsewhere.plan, store, here)
        calls += [row for row in _calls(outlook) if row["key"] not in plan.calls]
        times.append(outlook.forecast(offered, without=plan.calls))
    warnings = [
        *data.told(dataset, suite.evaluate.split),
        *conversations.before(suite, dataset),
        *models.before(suite),
        *sample_size.before(plan),
        *halving.told(suite, dataset, store),
    ]
    diagnosis = _diagnosis(suite, dataset, store, lambda plan: Outlook(plan, store, here).forecast(offered))
    return Preview(plan, calls, judge_estimates(plan), warnings, offered.jobs, times, diagnosis)


def _diagnosis(suite: Suite, dataset: Dataset, store: Store, forecast: Callable[[Plan], Forecast]) -> Forecast | str:
    """How long the stage calls of a diagnosis on dev take that the store lacks; or why that is not known."""
    part = dataset.splits.get(DIAGNOSED)
    if part is None or not part.judged:
        return f"no judged query in the split {DIAGNOSED}"
    try:
        whole = build_diagnosis_plan(suite_for(suite, DIAGNOSED), dataset).plan
    except HarnessError as error:
        return str(error)
    plan = affordable(whole, store, 60 * suite.diagnose.candidate_minutes).plan
    return forecast(plan)


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
