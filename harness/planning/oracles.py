"""The graph of a diagnosis: the untuned pipeline, and the same with each part replaced by an oracle in turn.

Oracles are rows of a plan like any other: their runs and answers are artifacts, and scored like those of every system.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from harness.data.datasets import Dataset
from harness.errors import ConfigError, ModelMissing
from harness.hashing import digest_of
from harness.models.loaders import model_digest
from harness.planning.calls import TunedPipeline
from harness.planning.contexts import choose
from harness.planning.graph import ExpectedWork, Plan, ServingKeys, SystemPlan
from harness.planning.rankings import Rankings
from harness.planning.reading import MUCH, unread_of
from harness.planning.training_free import Chosen, chosen, writes
from harness.suite.bounds import Diagnose
from harness.suite.pipeline import settings_of
from harness.suite.recipes import Part
from harness.suite.served_models import without_client
from harness.suite.spec import SERVED, Candidate, Suite
from harness.suite.uses import CandidateUses
from harness.values.measures import Measure
from harness.values.systems import UNTUNED

DEEPER = 2
"""The pool is also retrieved this many times deeper, to see what more depth would find."""
DEEP = "deeper-pool"
DEFAULT_RANK = Measure("ndcg", 10)


def suite_for(suite: Suite, split: str) -> Suite:
    """The suite as a diagnosis asks it: on `split`, with the measures that the funnel and the oracle gains need.

    Passages are always retrieved, also where the suite fixes them for its runs. There are no slices.
    """
    rule: Diagnose = suite.diagnose
    evaluate = suite.evaluate.model_copy(
        update={"split": split, "generation_queries": rule.generation_queries, "contexts": None}
    )
    return suite.model_copy(update={"evaluate": evaluate, "measures": measures_of(suite), "slices": ()})


def measures_of(suite: Suite) -> tuple[Measure, ...]:
    """Gated measures, at least one of them of ranks, and what decides whether an answer is right."""
    judge = suite.llm.judge is not None
    gated = [measure for measure in suite.margins if judge or not measure.is_judged]
    rank = [measure for measure in gated if measure.is_rank]
    rank = rank or [measure for measure in suite.measures if measure.is_rank][:1] or [DEFAULT_RANK]
    if suite.pipeline.generator is None:
        return tuple(rank)
    right = Measure(suite.utility.right)
    needed = [right, Measure("utility")] if judge or not right.is_judged else []
    needed += [Measure("format")] if suite.answer_format else []
    return tuple(dict.fromkeys([*rank, *(measure for measure in gated if not measure.is_rank), *needed]))


def pipeline_identity(suite: Suite) -> str:
    """Digest of the untuned pipeline, with the content of its models: a diagnosis speaks of no other."""
    pipeline = suite.pipeline
    parts = (pipeline.retriever, pipeline.reranker, suite.generator)
    models = {part.model for part in parts if part is not None and part.model not in (None, SERVED)}
    served = suite.answerer.identity if suite.answerer else None
    return digest_of(
        [
            without_client(pipeline.key_settings()),
            {name: model_digest(name) for name in sorted(filter(None, models))},
            served,
        ]
    )


def other_contexts(suite: Suite, depth: int) -> list[int]:
    """Numbers of passages that answers are also written with, beside that of the pipeline; `depth` is the run's."""
    return sorted({min(count, depth) for count in suite.diagnose.contexts} - {suite.pipeline.context})


def context_row(passages: int) -> str:
    """The name of the row whose answers are written with so many passages."""
    return f"context-{passages}"


class DiagnosisPlan(NamedTuple):
    """The plan of a diagnosis, the training-free candidates among its rows, and why others (by name) are not."""

    plan: Plan
    free: Chosen


def build_diagnosis_plan(suite: Suite, dataset: Dataset) -> DiagnosisPlan:
    """Plan the untuned pipeline, its substitutions and training-free candidates; `suite` is one of `suite_for`."""
    planner = _DiagnosisPlanner(suite, dataset, choose(suite, dataset))
    systems = planner.systems()
    unread = unread_of(suite, suite.pipeline, dataset)
    chunk = unread.limit if unread is not None and unread.share >= MUCH else None
    free = chosen(suite, chunk, bool(dataset.splits[suite.evaluate.split].histories))
    left_out = dict(free.left_out)
    for name, candidate in free.candidates.items():
        try:
            systems.append(planner.training_free(name, candidate))
        except (ConfigError, ModelMissing) as error:
            left_out[name] = str(error)
    plan = Plan(suite, planner.artifacts, planner.generation_sample, planner.calls, systems, planner.judge())
    for system in systems:
        for key in plan.upstream([*system.goals, *system.serving.keys]):
            plan.calls[key].systems.append(system.label)
    plan.calls = {key: planned for key, planned in plan.calls.items() if planned.systems or key == plan.judge}
    return DiagnosisPlan(plan, free._replace(left_out=left_out))


class _DiagnosisPlanner(Rankings):
    """Puts calls together to the rows of a diagnosis."""

    def judge(self) -> str | None:
        """Return the call that converts the judge, if it is a GGUF model that runs here and is asked anything."""
        judge = self.suite.llm.judge
        asked = judge is not None and any(measure.is_judged for measure in self.suite.measures)
        return self.converted(judge.model) if judge and asked and judge.in_process else None

    def systems(self) -> list[SystemPlan]:
        untuned = self.untuned
        pool = self.retrieved(untuned, self.split)
        run = self.ranked(untuned, self.split)
        answers = self.answered("run", UNTUNED, untuned, run)
        filled = self.substituted("retriever", pool, self.depth_of(untuned))
        rows = [
            self._row(UNTUNED, run, answers, self.serving(untuned, run, answers, "run")),
            self._row("bm25", self.retrieved_bm25(self.split), None),
            self._with_oracle("retriever", self.reranked(untuned, self.split, filled, source="an oracle pool")),
            self._with_oracle("reranker", self.substituted("reranker", pool, self.rerank_depth_of(untuned))),
        ]
        if run != pool:
            answers_without = self.answered("run", "untuned without its reranker", untuned, pool)
            rows.append(self._row("without-reranker", pool, answers_without))
        depth = min(DEEPER * self.depth_of(untuned), self.size(untuned))
        if depth > self.depth_of(untuned):
            rows.append(self._row(DEEP, self.retrieved(untuned, self.split, depth=depth), None))
        if answers is not None:
            rows.append(self._row("oracle-context", None, self.answered("relevant", "oracle-context", untuned)))
            rows.append(self._row("oracle-generator", None, self.recited(answers)))
            rows += [self._with_context(count, run) for count in other_contexts(self.suite, self.depth_of(untuned))]
        return rows

    def _row(self, name: str, run: str | None, answers: str | None, serving: ServingKeys | None = None) -> SystemPlan:
        keys = serving or ServingKeys()
        scored = self.scored(self.untuned, run, self.split)
        return SystemPlan(name, 0, "baseline", (), scored, answers, None, keys, self.suite.pipeline)

    def _with_context(self, count: int, run: str) -> SystemPlan:
        settings = self.suite.pipeline.model_copy(update={"context": count})
        answers = self.answered(
            "run", f"untuned with {count} passage{'' if count == 1 else 's'}", TunedPipeline(settings), run
        )
        return replace(self._row(context_row(count), None, answers), settings=settings)

    def _with_oracle(self, part: Part, run: str) -> SystemPlan:
        answers = self.answered("run", f"untuned with an oracle {part}", self.untuned, run)
        return self._row(f"oracle-{part}", run, answers)

    def training_free(self, name: str, candidate: Candidate) -> SystemPlan:
        """A candidate that trains nothing; answers are written only if it changes how they are written."""
        settings = CandidateUses(self.suite, name, candidate).pipeline
        pipeline = TunedPipeline(settings, name=name)
        run = self.ranked(pipeline, self.split)
        answers = self.answered("run", name, pipeline, run) if writes(candidate) else None
        serving = self.serving(pipeline, run, answers, "run")
        changes = tuple(settings_of(candidate.pipeline))
        scored = self.scored(pipeline, run, self.split)
        return SystemPlan(name, 0, "candidate", (), scored, answers, None, serving, settings, changes=changes)

    def substituted(self, part: Part, run: str, depth: int) -> str:
        """The run that an oracle in the place of a part gives."""
        spec = {"part": part, "depth": depth}
        inputs = {"run": run, "qrels": self.judgements(self.untuned, self.split)}
        size = len(self.dataset.splits[self.split].queries)
        return self.call("substitute", f"an oracle {part} on {self.split}", spec, inputs, ExpectedWork(size))

    def recited(self, answers: str) -> str:
        """The answers of an oracle generator to the same passages."""
        inputs = {"answers": answers}
        for part in ("qrels", "references"):
            inputs[part] = self.judgements(self.untuned, self.split, part)
        spec = {"part": "generator", "depth": self.depth_of(self.untuned)}
        return self.call(
            "substitute", "an oracle generator", spec, inputs, ExpectedWork(len(self.generation_sample.query_ids))
        )
