"""The graph of a diagnosis: the untuned pipeline, and the same with each part replaced by an oracle in turn.

Oracles are rows of a plan like any other: their runs and answers are artifacts, and scored like those of every system.
"""

from __future__ import annotations

from harness.data.datasets import Dataset
from harness.hashing import digest_of
from harness.models.loaders import model_digest
from harness.planning.calls import Calls, TunedPipeline
from harness.planning.contexts import choose
from harness.planning.graph import ExpectedWork, Plan, ServingKeys, SystemPlan
from harness.suite.bounds import Diagnose
from harness.suite.recipes import Part
from harness.suite.spec import SERVED, Suite
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
    models = {part.model for part in parts if part is not None and part.model != SERVED}
    served = suite.answerer.identity if suite.answerer else None
    return digest_of([pipeline.key_settings(), {name: model_digest(name) for name in sorted(models)}, served])


def other_contexts(suite: Suite, depth: int) -> list[int]:
    """Numbers of passages that answers are also written with, beside that of the pipeline; `depth` is the run's."""
    return sorted({min(count, depth) for count in suite.diagnose.contexts} - {suite.pipeline.context})


def context_row(passages: int) -> str:
    """The name of the row whose answers are written with so many passages."""
    return f"context-{passages}"


def build_diagnosis_plan(suite: Suite, dataset: Dataset) -> Plan:
    """Plan the untuned pipeline and its substitutions; `suite` is one that `suite_for` made."""
    planner = _DiagnosisPlanner(suite, dataset, choose(suite, dataset))
    systems = planner.systems()
    plan = Plan(suite, planner.artifacts, planner.generation_sample, planner.calls, systems, planner.judge())
    for system in systems:
        for key in plan.upstream([*system.goals, *system.serving.keys]):
            plan.calls[key].systems.append(system.label)
    plan.calls = {key: planned for key, planned in plan.calls.items() if planned.systems or key == plan.judge}
    return plan


class _DiagnosisPlanner(Calls):
    """Puts calls together to the rows of a diagnosis."""

    def judge(self) -> str | None:
        """Return the call that converts the judge, if it is a GGUF model that runs here and is asked anything."""
        judge = self.suite.llm.judge
        asked = judge is not None and any(measure.is_judged for measure in self.suite.measures)
        return self.converted(judge.model) if judge and asked and judge.in_process else None

    def systems(self) -> list[SystemPlan]:
        pool = self.retrieved(TunedPipeline(), self.split)
        run = self.ranked(TunedPipeline(), self.split)
        answers = self.answered("run", UNTUNED, run)
        rows = [
            SystemPlan(UNTUNED, 0, "baseline", (), run, answers, None, self._serving(answers, pool)),
            SystemPlan("bm25", 0, "baseline", (), self.retrieved_bm25(self.split), None, None, ServingKeys()),
            self._with_oracle(
                "retriever", self.reranked(TunedPipeline(), self.split, self._filled(pool), source="an oracle pool")
            ),
            self._with_oracle("reranker", self.substituted("reranker", pool, self.rerank_depth)),
        ]
        if run != pool:
            answers_without = self.answered("run", "untuned without its reranker", pool)
            name = "without-reranker"
            rows.append(SystemPlan(name, 0, "baseline", (), pool, answers_without, None, ServingKeys()))
        depth = min(DEEPER * self.depth, len(self.dataset.documents))
        if depth > self.depth:
            deeper = self.retrieved(TunedPipeline(), self.split, depth=depth)
            rows.append(SystemPlan(DEEP, 0, "baseline", (), deeper, None, None, ServingKeys()))
        if answers is not None:
            recited = self.recited(answers)
            oracle = self.answered("relevant", "oracle-context")
            rows.append(SystemPlan("oracle-context", 0, "baseline", (), None, oracle, None, ServingKeys()))
            rows.append(SystemPlan("oracle-generator", 0, "baseline", (), None, recited, None, ServingKeys()))
            rows += [self._with_context(count, run) for count in self._contexts()]
        return rows

    def _contexts(self) -> list[int]:
        return other_contexts(self.suite, self.depth)

    def _with_context(self, count: int, run: str) -> SystemPlan:
        answers = self.answered("run", f"untuned with {count} passages", run, context=count)
        return SystemPlan(context_row(count), 0, "baseline", (), None, answers, None, ServingKeys(), context=count)

    def _with_oracle(self, part: Part, run: str) -> SystemPlan:
        name = f"oracle-{part}"
        answers = self.answered("run", f"untuned with an oracle {part}", run)
        return SystemPlan(name, 0, "baseline", (), run, answers, None, ServingKeys())

    def _filled(self, pool: str) -> str:
        return self.substituted("retriever", pool, self.depth)

    def substituted(self, part: Part, run: str, depth: int) -> str:
        """The run that an oracle in the place of a part gives."""
        spec = {"part": part, "depth": depth}
        inputs = {"run": run, "qrels": self.artifacts.keys[f"{self.split}.graded"]}
        size = len(self.dataset.splits[self.split].queries)
        return self.call("substitute", f"an oracle {part} on {self.split}", spec, inputs, ExpectedWork(size))

    def recited(self, answers: str) -> str:
        """The answers of an oracle generator to the same passages."""
        keys = self.artifacts.keys
        inputs = {"answers": answers} | {part: keys[f"{self.split}.{part}"] for part in ("qrels", "references")}
        spec = {"part": "generator", "depth": self.depth}
        return self.call(
            "substitute", "an oracle generator", spec, inputs, ExpectedWork(len(self.generation_sample.query_ids))
        )

    def _serving(self, answers: str | None, pool: str) -> ServingKeys:
        generator = None if self.suite.answerer else self.suite.generator
        return ServingKeys(
            dense=self.dense_index(),
            generator=self.converted(generator.model) if generator and answers else None,
            reranked=pool if self.suite.pipeline.reranker is not None else None,
            prompt="run",
        )
