"""``diagnose(suite) -> Diagnosed``: where the untuned pipeline loses, and what each part could buy, before any tuning.

The pipeline and its substitutions are run as a plan like any other and scored by the same measures. What candidates
cost is estimated from the plan of the suite itself, with the speed of each stage measured on a sample.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, NamedTuple

from harness import advice, diagnoses, domain_gap, endpoints, models, provenance, requirements, rules
from harness.bench import STORE
from harness.carry_out import Watch, carry_out, no_watch
from harness.datasets import Dataset, load_dataset
from harness.diagnosis_plan import UNTUNED, build_diagnosis_plan, pipeline_identity, suite_for
from harness.errors import HarnessError, Incomplete, ModelMissing
from harness.examined import Examined, part_times
from harness.executors import ChildExecutor, Executor, InlineExecutor
from harness.facts import Setting, facts
from harness.findings import Serving
from harness.graph import Plan
from harness.insights import Diagnosis, Quote, Sign
from harness.latency import Latencies
from harness.plan import build_plan
from harness.quotes import quotes
from harness.recipes import RerankerRecipe
from harness.records import Score
from harness.sampling import take_samples
from harness.scorecards import Scorecards
from harness.spec import Suite
from harness.store import FolderStore
from harness.suite_files import load_suite

Split = Literal["dev", "test"]


class Diagnosed(NamedTuple):
    """A diagnosis and where it was written."""

    diagnosis: Diagnosis
    folder: Path


def diagnose(
    suite: str | Path, store: Path = STORE, split: Split = "dev", watch: Watch = no_watch,
    executor: Executor | None = None, replay: bool = False,
) -> Diagnosed:  # fmt: skip
    """Diagnose a suite (a shipped name, a file or a folder) on a split and write the diagnosis below `store`.

    Raises HarnessError for anything wrong with the suite, its data, its models or its endpoints, and Incomplete if the
    untuned pipeline itself failed: there is nothing to diagnose then.
    """
    spec, path = load_suite(suite)
    return _Diagnosing(spec, path, split, store, watch, executor or ChildExecutor(), replay).run()


class _Diagnosing:
    """One diagnosis, step by step."""

    def __init__(
        self, given: Suite, path: Path, split: Split, root: Path, watch: Watch, executor: Executor, replay: bool
    ) -> None:
        self.given, self.path, self.root, self.watch, self.executor = given, path, root, watch, executor
        self.suite, self.split = suite_for(given, split), split
        self.services = endpoints.services_of(given, root, replay)
        self.store = FolderStore(root / "store")
        self.notes: list[str] = []

    def run(self) -> Diagnosed:
        started = time.perf_counter()
        requirements.apply_device(self.suite)
        requirements.check(self.suite.model_copy(update={"candidates": {}, "factorial": ()}))
        dataset = load_dataset(self.suite.dataset, self.split)
        plan = build_diagnosis_plan(self.suite, dataset)
        rows = self._scored(plan, dataset)
        seen = Examined(plan, dataset, self.store, rows)
        latencies = Latencies(plan, self.store, self.executor, self.watch, self.services)
        serving = latencies.measure(plan.system(UNTUNED))
        self.notes += [f"Not timed: {name} ({why})." for name, why in latencies.failed.items()]
        part, references = dataset.splits[self.split], plan.given.references.values()
        diagnosis = Diagnosis(
            suite=self.given.name,
            title=self.given.title,
            split=self.split,
            created=provenance.now(),
            machine=provenance.machine_class(),
            provenance=provenance.collect(self.path),
            spec=self.given.model_dump(mode="json", by_alias=True),
            pipeline=pipeline_identity(self.given),
            digests=dataset.digests,
            documents=len(dataset.documents),
            judged=len(part.judged),
            answered=len(plan.sample) if plan.system(UNTUNED).answers else 0,
            unanswerable=sum(not reference.answerable for reference in references),
            groups=len({part.queries[key].group for key in part.judged}),
            measures=tuple(map(str, seen.measures)),
            funnels=tuple(seen.funnels()),
            headroom=tuple(seen.headroom()),
            curves=tuple(seen.curves()),
            signs=self._signs(seen),
            times=part_times(serving, latencies.timings()),
            p95_ms=serving.total.p95_ms if serving and serving.total else None,
            dollars_per_1000=serving.dollars_per_1000 if serving else None,
            quotes=self._quotes(dataset, serving),
        )
        diagnosis = self._advised(diagnosis, dataset)
        update = {"seconds": time.perf_counter() - started, "notes": (*self._remarks(), *self.notes)}
        diagnosis = diagnosis.model_copy(update=update)
        every = [row for found in rows.values() for row in found]
        return Diagnosed(diagnosis, diagnoses.write(diagnosis, self.root, every))

    def _scored(self, plan: Plan, dataset: Dataset) -> dict[str, list[Score]]:
        """Score rows by the label of the system; raises Incomplete if the untuned pipeline failed."""
        plan.parts.publish(self.store)
        cards = Scorecards(plan, dataset, self.store, self.watch, self.services, self.root)
        endpoints.check(endpoints.roles_needed(plan, self.store, cards.lacks_judgements()), self.services)
        execution = carry_out(plan, self.store, self.executor, InlineExecutor(), self.watch, self.services)
        cards.execution = execution
        broken = [execution.failed[goal] for goal in plan.system(UNTUNED).goals if goal in execution.failed]
        if broken:
            raise Incomplete(f"the untuned pipeline failed, so there is nothing to diagnose: {broken[0]}")
        self.notes += [f"Left out: {why}" for why in dict.fromkeys(execution.failed.values())]
        return {system.label: cards.rows(system) for system in plan.systems}

    def _signs(self, seen: Examined) -> tuple[Sign, ...]:
        part, documents = seen.part, seen.dataset.documents
        pieces = models.word_pieces(self.suite.pipeline.retriever.model)
        other, judged = seen.run_of(seen.systems["bm25"].run), {key: part.queries[key] for key in part.judged}
        return domain_gap.signs(judged, part.qrels, documents, seen.pool, other, pieces)

    def _quotes(self, dataset: Dataset, serving: Serving | None) -> tuple[Quote, ...]:
        """What the candidates are estimated to cost; none where their plan cannot be made."""
        try:
            full = build_plan(self.given if self.given.evaluate.split in dataset.splits else self.suite, dataset)
            failed = take_samples(full, dataset, self.store, self.executor, self.watch, self.services)
        except HarnessError as error:
            self.notes.append(f"What candidates cost is not estimated: {error}")
            return ()
        self.notes += [f"Not timed on a sample: {why}" for why in dict.fromkeys(failed.values())]
        return quotes(full, self.store, serving.total if serving else None)

    def _advised(self, seen: Diagnosis, dataset: Dataset) -> Diagnosis:
        strategies = self.given.strategies
        known = facts(seen, self._setting(dataset))
        told = seen.model_copy(update={"facts": known})
        found = advice.advise(told, rules.load_rules(), {name: one.tune for name, one in strategies.items()})
        return told.model_copy(update={"advice": found})

    def _setting(self, dataset: Dataset) -> Setting:
        train = dataset.splits.get("train")
        return Setting(
            margins={str(measure): margin for measure, margin in self.given.margins.items()},
            limits=self.given.limits,
            has_reranker=self.given.pipeline.reranker is not None,
            tunes_reranker=any("reranker" in one.tune for one in self.given.strategies.values()),
            untrained_reranker=self._untrained_reranker(),
            train_judged=len(train.judged) if train else 0,
        )

    def _untrained_reranker(self) -> bool | None:
        """Whether every reranker that would be tuned starts from a model without a trained head; None: there is none.

        Where no candidate tunes one, the recipe's own start is what would be tuned.
        """
        given, names = self.given.pipeline.reranker, set()
        if given is not None:
            names = {given.model}
        else:
            for candidate in self.given.strategies.values():
                recipe = self.given.recipe(candidate, "reranker")
                if "reranker" in candidate.tune and isinstance(recipe, RerankerRecipe):
                    names.add(recipe.model)
            names = names or {self.given.recipes.reranker.model}
        try:
            return not any(models.has_trained_head(models.locate(name)) for name in names)
        except ModelMissing:
            return None

    def _remarks(self) -> list[str]:
        """What a reader must know of how this was measured."""
        rule, found = self.suite.evaluate, []
        if self.given.evaluate.contexts is not None:
            found.append(
                "The suite fixes the passages that generators are shown; here they are those that the retriever found."
            )
        if self.split == "test":
            found.append("This looked at test: what is chosen by it is no longer unseen there.")
        if self.suite.pipeline.generator is not None:
            found.append(
                f"Retrieval is measured on all judged questions of {self.split}, answers on a sample of at most "
                f"{rule.generation_queries} with their share of unanswerable ones."
            )
        return found
