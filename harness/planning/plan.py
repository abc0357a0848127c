"""The graph of stage calls of all systems, each distinct call once.

Building a plan computes keys and nothing else: no model is loaded, nothing is written. It decides what to call; where
results live is the store's business, how calls are run the executors'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from harness.data.datasets import Dataset
from harness.data.slicing import check_slices
from harness.errors import ConfigError, Problem
from harness.planning.calls import TunedPipeline
from harness.planning.contexts import GenerationSample, choose
from harness.planning.external import external_system
from harness.planning.graph import Plan, Prompt, SystemPlan
from harness.planning.index_runs import index_runs
from harness.planning.trainings import Training, Trainings
from harness.suite.pipeline import settings_of
from harness.suite.spec import BaselineRow, Candidate, Suite
from harness.suite.uses import CandidateUses
from harness.values.measures import Measure
from harness.values.systems import UNTUNED

PROMPTS: dict[BaselineRow, Prompt] = {
    "closed-book": "none",
    "bm25": "run",
    "hybrid": "run",
    "untuned": "run",
    "few-shot": "few-shot",
    "oracle-context": "relevant",
}


def build_plan(suite: Suite, dataset: Dataset, pool: int = 0) -> Plan:
    """Plan every baseline row and every candidate with every seed.

    With a `pool`, candidates search only the passages that are judged, or among that many first ones of untuned runs.
    Raises ModelMissing if a model cannot be found, ConfigError if a candidate or a slice needs data that
    are missing.
    """
    check_slices(suite.slices, dataset.splits[suite.evaluate.split].queries)
    check_spans(suite.measures, dataset, suite.evaluate.split)
    planner = _SuitePlanner(suite, dataset, choose(suite, dataset), pool)
    systems = planner.baseline_rows()
    for name, candidate in suite.all_candidates.items():
        # Without training there is nothing that a seed could change.
        systems += [planner.candidate(name, candidate, seed) for seed in (suite.seeds if candidate.tune else (0,))]
    plan = Plan(suite, planner.artifacts, planner.generation_sample, planner.calls, systems, planner.judge())
    for system in systems:
        for key in plan.upstream([*system.goals, *system.serving.keys, *system.compared]):
            plan.calls[key].systems.append(system.label)
    if plan.judge is not None:
        plan.calls[plan.judge].systems.append("the judge")
    plan.calls = {key: planned for key, planned in plan.calls.items() if planned.systems}
    return plan


def check_spans(measures: Sequence[Measure], dataset: Dataset, split: str) -> None:
    """Raise ConfigError if a measure needs judged spans and the split has none."""
    wanted = [measure for measure in measures if measure.in_words]
    if wanted and not dataset.splits[split].spans:
        what = f"{wanted[0]} needs judged spans of split {split!r}, and there are none"
        raise ConfigError(Problem(dataset.name, what, "add spans.jsonl, or leave the measure out"))


class _SuitePlanner(Trainings):
    """Puts calls together to systems."""

    def __init__(self, suite: Suite, dataset: Dataset, generation_sample: GenerationSample, pool: int) -> None:
        super().__init__(suite, dataset, generation_sample)
        self.pool = pool

    def judge(self) -> str | None:
        """Return the call that converts the judge, if it is a GGUF model that runs here and is asked anything."""
        judge = self.suite.llm.judge
        asked = judge is not None and any(measure.is_judged for measure in self.suite.measures)
        return self.converted(judge.model) if judge and asked and judge.in_process else None

    def baseline_rows(self) -> list[SystemPlan]:
        rows = (self._baseline_row(name) for name in self.suite.baseline_rows)
        return [row for row in rows if row is not None]

    def _baseline_row(self, name: BaselineRow) -> SystemPlan | None:
        """The row; None if there is nothing to show: no answers are written, or no examples can be shown."""
        few_shot = name == "few-shot"
        if few_shot and not self.has_examples():
            return None
        if name == "oracle-context" and self.generation_sample.contexts:
            # Everybody is shown the passages that the suite chose, some of which must lack the answer.
            return None
        run = self._run(name)
        prompt = PROMPTS[name]
        source: Literal["run", "none", "relevant"] = "run" if prompt == "few-shot" else prompt
        answers = self.answered(source, name, self.untuned, run, few_shot=few_shot)
        scores_run = run is not None and not few_shot
        if answers is None and not scores_run:
            return None
        dev = self.dev()
        # Every row that could be served is also scored on dev, where the best of them is chosen.
        dev_run = self._run(name, dev) if dev and scores_run else None
        serving = self.serving(self.untuned, run, answers, prompt)
        scored, on_dev = self.scored(self.untuned, run, self.split), self.scored(self.untuned, dev_run, str(dev))
        return SystemPlan(
            name, 0, "baseline", (), scored, answers, on_dev, serving, self.suite.pipeline, scores_run,
            index_runs=index_runs(self, self.untuned, self.split) if name == UNTUNED else None,
        )  # fmt: skip

    def _run(self, name: BaselineRow, split: str | None = None) -> str | None:
        """Key of the run of a baseline row; ``untuned`` and ``few-shot`` are the pipeline as it is."""
        on = split or self.split
        if name in ("closed-book", "oracle-context"):
            return None
        if name == "bm25":
            return self.retrieved_bm25(on)
        if name == "hybrid":
            return self.fused([self.retrieved_bm25(on), self.retrieved(self.untuned, on)], on)
        return self.ranked(self.untuned, on)

    def candidate(self, name: str, candidate: Candidate, seed: int) -> SystemPlan:
        """Plan a candidate with a seed."""
        if candidate.external is not None:
            return external_system(self, name, candidate.external)
        uses = CandidateUses(self.suite, name, candidate)
        training = Training(uses, seed)
        tuned = TunedPipeline(uses.pipeline, name=name if candidate.pipeline.model_fields_set else UNTUNED)
        for part in candidate.tune:
            tuned = self.tuned(tuned, part, training)
        # Only what is scored: training data is made of all passages.
        tuned = replace(tuned, pool=self.pool)
        run = self.ranked(tuned, self.split)
        dev = self.dev()
        dev_run = self.ranked(tuned, dev) if dev else None
        who = f"{name}, seed {seed}" if candidate.tune else name
        answers = self.answered("run", who, tuned, run)
        serving = self.serving(tuned, run, answers, "run")
        scored, on_dev = self.scored(tuned, run, self.split), self.scored(tuned, dev_run, str(dev))
        return SystemPlan(
            name, seed, "candidate", candidate.tune, scored, answers, on_dev, serving, uses.pipeline,
            changes=tuple(settings_of(candidate.pipeline)), training=tuple(candidate.training),
            index_runs=None if self.pool else index_runs(self, tuned, self.split),
        )  # fmt: skip
