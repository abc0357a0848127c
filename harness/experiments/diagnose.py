"""``diagnose(suite) -> Diagnosed``: where the untuned pipeline loses, and what each part could gain, before tuning.

The pipeline and its oracles are run as a plan like any other and scored by the same measures. The costs of candidates
are estimated from the plan of the suite, with the speed of each stage measured in a timing run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Unpack

from harness import provenance
from harness.data.datasets import Dataset
from harness.data.passages import Passages
from harness.data.slicing import check_slices
from harness.diagnosis import advice, domain_gap, rules
from harness.diagnosis.facts import Setting, facts
from harness.errors import HarnessError, Incomplete, ModelMissing
from harness.execution.scheduler import Execution
from harness.execution.session import STORE, Options, Session
from harness.execution.timing_runs import take_samples
from harness.experiments import reports
from harness.experiments.observations import Observations, part_times
from harness.experiments.training_free import Candidates
from harness.hashing import digest_of
from harness.models import loaders
from harness.planning.estimates import estimates, plan_of
from harness.planning.graph import Plan
from harness.planning.oracles import DiagnosisPlan, build_diagnosis_plan, pipeline_identity, suite_for
from harness.planning.reading import reads_of, unread_of
from harness.planning.training_free import affordable
from harness.remarks import answers, data, language, passages
from harness.remarks import endpoints as remarks_of_endpoints
from harness.remarks import models as models_told
from harness.suite.files import load_suite
from harness.suite.pipeline import Reranker
from harness.suite.spec import Candidate, Suite
from harness.suite.uses import candidates_of, reading_of
from harness.values.findings import ServingCost
from harness.values.insights import CostEstimate, Diagnosis, Sign
from harness.values.questions import synthetic_questions
from harness.values.systems import UNTUNED
from harness.values.training_free import TrainingFree

Split = Literal["dev", "test"]


class Diagnosed(NamedTuple):
    """A diagnosis and where it was written."""

    diagnosis: Diagnosis
    folder: Path


def diagnose(
    suite: str | Path, store: str | Path = STORE, split: Split = "dev", **options: Unpack[Options]
) -> Diagnosed:  # fmt: skip
    """Diagnose a suite (a shipped name, a file or a folder) on a split and write the diagnosis below `store`.

    `options` are those of a session. Raises HarnessError for anything wrong with the suite, its data, its models or its
    endpoints, and Incomplete if the untuned pipeline itself failed: there is nothing to diagnose then.
    """
    spec, path = load_suite(suite)
    return _Diagnosing(Session(spec, store, **options), path, split).run()


class _Diagnosing:
    """One diagnosis. `full_suite` is the suite as its servers take it, `suite` the same as it is diagnosed."""

    def __init__(self, session: Session, path: Path, split: Split) -> None:
        self.session, self.path, self.split = session, path, split
        self.written, self.store = session.written, session.store
        self.notes: list[str] = []
        self.too_long: Mapping[str, float] = {}

    @property
    def full_suite(self) -> Suite:
        return self.session.suite

    @property
    def suite(self) -> Suite:
        return suite_for(self.full_suite, self.split)

    def run(self) -> Diagnosed:
        started = time.perf_counter()
        session = self.session
        without_candidates = self.suite.model_copy(update={"candidates": {}, "factorial": {}})
        # Weights are chosen on dev.
        dataset = session.load(without_candidates, reading_of(self.full_suite, self.split, "dev"))
        if self.full_suite.evaluate.split in dataset.splits:
            check_slices(self.full_suite.slices, dataset.splits[self.full_suite.evaluate.split].queries)
        planned = self._plan(dataset)
        if session.check(session.measurements(planned.plan, dataset)):
            planned = self._plan(dataset)
        plan = planned.plan
        measurements = session.measurements(plan, dataset)
        execution = self._executed(plan)
        rows = session.score(measurements, execution).rows
        observations = Observations(plan, dataset, self.store, rows)
        latencies = session.latencies(plan)
        serving = latencies.measure(plan.system(UNTUNED))
        candidates = Candidates(self.full_suite, planned.free, observations, execution, latencies)
        free = candidates.measured(serving)
        self.notes += candidates.remarks(free, self.too_long)
        self.notes += [f"Not timed: {name} ({why})." for name, why in latencies.failed.items()]
        part, references = dataset.splits[self.split], plan.generation_sample.references.values()
        diagnosis = Diagnosis(
            suite=self.full_suite.name,
            title=self.full_suite.title,
            split=self.split,
            created=provenance.now(),
            machine=provenance.stage_machine(),
            provenance=provenance.collect(self.path),
            spec=self.written.model_dump(mode="json", by_alias=True),
            pipeline=pipeline_identity(self.full_suite),
            digests=dataset.digests,
            settings={str(one): digest_of(measurements.measured(one).settings) for one in self.suite.measures},
            documents=len(dataset.documents),
            judged=len(part.judged),
            answered=len(plan.sample) if plan.system(UNTUNED).answers else 0,
            unanswerable=sum(not reference.answerable for reference in references),
            groups=len({part.queries[key].group for key in part.judged}),
            questions=synthetic_questions(part.queries.values(), dataset.source),
            measures=tuple(map(str, observations.measures)),
            funnels=tuple(observations.funnels()),
            oracle_gains=tuple(observations.oracle_gains()),
            curves=tuple(observations.curves()),
            signs=self._signs(observations),
            times=part_times(serving, latencies.timings()),
            p95_ms=serving.total.p95_ms if serving and serving.total else None,
            dollars_per_1000=serving.dollars_per_1000 if serving else None,
            estimates=_timed(self._estimates(dataset, serving), free),
            training_free=free,
        )
        diagnosis = self._advised(diagnosis, dataset, frozenset(measurements.uncalibrated()))
        of_data = (*data.told(dataset, self.split), *remarks_of_endpoints.dialects(self.written, session.services))
        read = language.read_as(dataset)
        counted = passages.counted(self.suite, dataset, self.split)
        notes = (*of_data, *read, *counted, *self._remarks(diagnosis), *measurements.remarks(), *self.notes)
        update = {"seconds": time.perf_counter() - started, "notes": notes}
        diagnosis = diagnosis.model_copy(update=update)
        all_rows = [row for of_system in rows.values() for row in of_system]
        folder = reports.write_diagnosis(diagnosis, session.root, all_rows, session.suite.track)
        session.note_keys(folder)
        return Diagnosed(diagnosis, folder)

    def _plan(self, dataset: Dataset) -> DiagnosisPlan:
        """The plan, without training-free candidates that take too long."""
        planned = build_diagnosis_plan(self.suite, dataset)
        plan, self.too_long = affordable(planned.plan, self.store, 60 * self.suite.diagnose.candidate_minutes)
        return planned._replace(plan=plan)

    def _executed(self, plan: Plan) -> Execution:
        """What came of the plan. Raises Incomplete if the untuned pipeline failed."""
        execution = self.session.make(plan)
        broken = execution.why_failed(plan.system(UNTUNED).goals)
        if broken:
            raise Incomplete(f"the untuned pipeline failed, so there is nothing to diagnose: {broken}")
        self.notes += [f"Left out: {why}" for why in dict.fromkeys(execution.failed.values())]
        self.notes += answers.remarks(plan, execution.rows, self.store)
        return execution

    def _signs(self, observations: Observations) -> tuple[Sign, ...]:
        part, documents = observations.part, Passages(observations.dataset.documents)
        pieces = loaders.token_counter(self.suite.pipeline.retriever.model)
        other, judged = (
            observations.run_of(observations.systems["bm25"].run),
            {key: part.queries[key] for key in part.judged},
        )
        language_of = observations.dataset.language
        signs = domain_gap.signs(judged, part.usable, documents, observations.pool, other, pieces, language_of)
        unread = unread_of(self.suite, self.suite.pipeline, observations.dataset)
        behind = [domain_gap.unread_text(unread.share, unread.limit, unread.texts)] if unread and unread.longer else []
        return (*signs, *behind)

    def _estimates(self, dataset: Dataset, serving: ServingCost | None) -> tuple[CostEstimate, ...]:
        """Return the cost estimates of the candidates; none where their plan cannot be built."""
        suite = self.full_suite if self.full_suite.evaluate.split in dataset.splits else self.suite
        try:
            full, left_out = plan_of(suite, dataset)
            failed = take_samples(self.session, full, dataset)
        except HarnessError as error:
            self.notes.append(f"The costs of candidates are not estimated: {error}")
            return ()
        self.notes += [f"The cost of {name} is not estimated: {why}" for name, why in left_out.items()]
        self.notes += [f"Not timed: {why}" for why in dict.fromkeys(failed.values())]
        return estimates(full, self.store, serving.total if serving else None)

    def _advised(self, diagnosis: Diagnosis, dataset: Dataset, uncalibrated: frozenset[str]) -> Diagnosis:
        with_facts = diagnosis.model_copy(update={"facts": facts(diagnosis, self._setting(dataset, uncalibrated))})
        able = self._able()
        advices = advice.advise(
            with_facts, rules.load_rules(), {name: candidate.tune for name, candidate in able.items()}, uncalibrated
        )
        return with_facts.model_copy(update={"advice": advices})

    def _setting(self, dataset: Dataset, uncalibrated: frozenset[str]) -> Setting:
        train = dataset.splits.get("train")
        return Setting(
            margins={str(measure): margin for measure, margin in self.full_suite.margins.items()},
            limits=self.full_suite.limits,
            has_reranker=self.full_suite.pipeline.reranker is not None,
            tunes_reranker=any("reranker" in one.tune for one in self.full_suite.all_candidates.values()),
            untrained_reranker=self._untrained_reranker(),
            train_judged=len(train.judged) if train else 0,
            remote_generator=self.full_suite.answerer is not None,
            uncalibrated=uncalibrated,
            rerank_depth=self.full_suite.pipeline.rerank_depth,
            reads=reads_of(self.suite, self.suite.pipeline),
            **self._conversations(dataset),
        )

    def _conversations(self, dataset: Dataset) -> dict[str, Any]:
        """Return what of the setting is about earlier turns."""
        part, suite = dataset.splits[self.split], self.full_suite
        ways = {uses.pipeline.conversation for uses in candidates_of(suite)}
        last = suite.pipeline.conversation == "last"
        return {
            "turns": sum(key in part.histories for key in part.judged) / len(part.judged) if part.judged else None,
            "concatenate_open": last and "concatenate" not in ways,
            "rewrite_open": last and "rewrite" not in ways and not suite.llm.rewriter.in_process,
        }

    def _starts(self) -> dict[str, str]:
        """Return the cross-encoder that the reranker of each candidate starts from, for those that tune one."""
        starts = {}
        for uses in candidates_of(self.full_suite):
            reranker = uses.pipeline.reranker if uses.reranker is not None else None
            if reranker is not None and reranker.kind == "cross-encoder":
                starts[uses.name] = str(reranker.model)
        return starts

    def _able(self) -> dict[str, Candidate]:
        """Return the candidates that advice may name: if any reranker starts from a trained head, only such ones."""
        starts = self._starts()
        trained = {name: _has_head(model) for name, model in starts.items()}
        hopeless = {name for name, head in trained.items() if head is False} if any(trained.values()) else set()
        self.notes += [
            f"{name} is not advised: its reranker starts from {starts[name]}, which has no trained head."
            for name in sorted(hopeless)
        ]
        return {name: one for name, one in self.full_suite.all_candidates.items() if one.tune and name not in hopeless}

    def _untrained_reranker(self) -> bool | None:
        """Return whether no reranker that could be tuned starts from a trained head; None if that is unknown.

        Where no candidate tunes one, the start of the recipe counts.
        """
        tuned = [uses.pipeline.reranker for uses in candidates_of(self.full_suite) if uses.reranker is not None]
        named = self.full_suite.recipes.reranker.model
        rules = [rule for rule in tuned or [self.full_suite.pipeline.reranker] if rule is not None]
        rules = rules or [Reranker(kind="late-interaction") if named is None else Reranker(model=named)]
        # Late interaction needs no head.
        heads = [_has_head(str(rule.model)) if rule.kind == "cross-encoder" else True for rule in rules]
        return None if None in heads else not any(heads)

    def _remarks(self, diagnosis: Diagnosis) -> list[str]:
        """Return what a reader must know of how this was measured."""
        remarks = models_told.before(self.suite)
        if self.full_suite.evaluate.contexts is not None:
            remarks.append(
                "The suite fixes the passages that generators are shown. The diagnosis shows those that the retriever "
                "found, so what it says of answers is not what runs of the suite measure."
            )
        if self.split == "test":
            remarks.append("This was diagnosed on test: choices made by it contaminate the test split.")
        if diagnosis.answered:
            remarks.append(
                f"Retrieval is measured on all judged queries of {self.split}, answers on {diagnosis.answered}"
                + (", unanswerable ones in proportion." if diagnosis.unanswerable else ".")
            )
        if diagnosis.funnel("answers") is None:
            remarks.append(f"The steps of answering are left out: {self._why_no_answers(diagnosis)}.")
        return remarks

    def _why_no_answers(self, diagnosis: Diagnosis) -> str:
        if self.suite.pipeline.generator is None:
            return "the pipeline has no generator"
        if not diagnosis.answered:
            return f"no query of {self.split} has a reference answer"
        return f"{self.suite.utility.right} decides what is right, and no judge is configured"


def _timed(estimates: tuple[CostEstimate, ...], free: tuple[TrainingFree, ...]) -> tuple[CostEstimate, ...]:
    """The estimates with the added latency of training-free candidates as it was measured."""
    added = {one.name: one.added_p95_ms for one in free if one.added_p95_ms is not None}
    return tuple(
        one.model_copy(update={"added_p95_ms": added[one.candidate]}) if one.candidate in added else one
        for one in estimates
    )


def _has_head(model: str) -> bool | None:
    """Return whether a model has a trained head; None if the model is not on this machine."""
    try:
        return loaders.has_trained_head(loaders.locate(model))
    except ModelMissing:
        return None
