"""What a suite and its candidates use: sections of data, roles of language models, models, splits of datasets.

This module is the one answer to that; requirements, estimates, trainings, timing runs and exports read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from harness.suite.pipeline import Pipeline, Reranker, RerankerKind, RetrieverKind
from harness.suite.recipes import PARTS, GeneratorRecipe, Part, RerankerRecipe, RetrieverRecipe
from harness.suite.roles import Role
from harness.suite.sources import Forgetting, ReadingRule
from harness.suite.spec import Candidate, Suite
from harness.suite.training_data import Data, Label

DataSection = Literal["synthesize", "mine", "label", "instruct"]
ModelKind = Literal["bi-encoder", "multi-vector", "sparse-encoder", "cross-encoder", "generator"]
RETRIEVER_MODELS: dict[RetrieverKind, ModelKind] = {
    "dense": "bi-encoder", "late-interaction": "multi-vector", "sparse": "sparse-encoder"
}  # fmt: skip
RERANKER_MODELS: dict[RerankerKind, ModelKind] = {
    "cross-encoder": "cross-encoder", "late-interaction": "multi-vector", "causal-lm": "generator"
}  # fmt: skip


class ModelUse(NamedTuple):
    """A model that runs here, the key of the suite that names it, and its kind; `as_is`: used without being tuned."""

    key: str
    model: str
    kind: ModelKind
    as_is: bool = True


@dataclass(frozen=True)
class CandidateUses:
    """What making one candidate uses, with its settings as resolved."""

    suite: Suite
    name: str
    candidate: Candidate

    @cached_property
    def data(self) -> Data:
        """The section `data` with the candidate's changes."""
        return self.suite.making(self.candidate)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline with the candidate's settings.

        A reranker that is tuned where the pipeline has none is late interaction, or the cross-encoder that its recipe
        names. Raises ValidationError where settings do not go together.
        """
        pipeline = self.suite.pipeline_of(self.candidate)
        recipe = self.reranker
        if recipe is None or pipeline.reranker is not None:
            return pipeline
        reranker = Reranker(kind="late-interaction", max_length=pipeline.retriever.max_length)
        if recipe.model is not None:
            reranker = Reranker(model=recipe.model, max_length=recipe.max_length)
        return pipeline.model_copy(update={"reranker": reranker})

    @cached_property
    def retriever(self) -> RetrieverRecipe | None:
        """The recipe of the retriever; None if it is not tuned."""
        recipe = self.suite.recipe(self.candidate, "retriever")
        assert isinstance(recipe, RetrieverRecipe)
        return recipe if "retriever" in self.candidate.tune else None

    @cached_property
    def reranker(self) -> RerankerRecipe | None:
        """The recipe of the reranker; None if it is not tuned."""
        recipe = self.suite.recipe(self.candidate, "reranker")
        assert isinstance(recipe, RerankerRecipe)
        return recipe if "reranker" in self.candidate.tune else None

    @cached_property
    def generator(self) -> GeneratorRecipe | None:
        """The recipe of the generator; None if it is not tuned."""
        recipe = self.suite.recipe(self.candidate, "generator")
        assert isinstance(recipe, GeneratorRecipe)
        return recipe if "generator" in self.candidate.tune else None

    def labels_for(self, part: Part) -> Label | None:
        """Return how the passages that a part is trained on are labelled; None if it reads no labels.

        The teacher of a retriever takes the place of the suite's labeler.
        """
        if part == "retriever" and self.retriever is not None and self.retriever.distills:
            teacher = {"by": self.retriever.teacher, "model": self.retriever.teacher_model}
            return self.data.label.model_copy(update=teacher)
        if part != "reranker" or self.reranker is None or self.pipeline.reranker is None:
            return None
        # Late interaction learns from positives and negatives as they are mined.
        return None if self.pipeline.reranker.kind == "late-interaction" else self.data.label

    @property
    def mines(self) -> bool:
        """Whether negatives are mined: for a retriever or a reranker."""
        return self.retriever is not None or self.reranker is not None

    @property
    def writes_answers(self) -> bool:
        """Whether an LLM writes the answers that the generator is trained on."""
        return self.generator is not None and self.data.instruct.answers == "llm"

    @property
    def synthesizes(self) -> bool:
        """Whether it is trained on synthetic queries."""
        used = self.mines and self.data.pairs in ("synthetic", "both")
        return used or (self.writes_answers and self.data.pairs == "synthetic")

    @property
    def extracts(self) -> bool:
        """Whether it is trained on pairs that the structure of the corpus gives, which need no LLM."""
        return self.mines and self.data.pairs == "structure"

    @property
    def sections(self) -> tuple[DataSection, ...]:
        """The sections of `data` that are read."""
        used: dict[DataSection, bool] = {
            "synthesize": self.synthesizes or self.extracts,
            "mine": self.mines,
            "label": any(self.labels_for(part) for part in PARTS),
            "instruct": self.generator is not None,
        }
        return tuple(name for name, wanted in used.items() if wanted)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles whose LLM is asked, in process or at an endpoint."""
        rules = [rule for part in PARTS if (rule := self.labels_for(part))]
        relabel = self.data.mine.relabel if self.mines else None
        labeler = any(rule.by == "llm" for rule in rules) or (relabel is not None and relabel.by == "llm")
        asked: dict[Role, bool] = {
            "synthesizer": self.synthesizes or self.writes_answers,
            "labeler": labeler,
            "rewriter": self.pipeline.conversation == "rewrite",
        }
        return tuple(role for role, wanted in asked.items() if wanted)

    def key(self, section: str, setting: str) -> str:
        """Return the key of the suite file under which a setting is written."""
        if setting in getattr(self.candidate, section).model_fields_set:
            return f"candidates.{self.name}.{section}.{setting}"
        return f"{'recipes' if section in PARTS else 'data'}.{section}.{setting}"

    def _pipeline_key(self, part: Part) -> str:
        """Return the key of the suite file under which the model of a part of its pipeline is written."""
        change = getattr(self.candidate.pipeline, part)
        if change is not None and "model" in change.model_fields_set:
            return f"candidates.{self.name}.pipeline.{part}.model"
        if part == "reranker" and self.reranker is not None and self.suite.pipeline_of(self.candidate).reranker is None:
            return self.key("reranker", "model")
        return f"pipeline.{part}.model"

    def models(self) -> Iterator[ModelUse]:
        """Yield every use of a model that runs here, beside those of the suite's own pipeline."""
        own = set(pipeline_models(self.suite, self.suite.pipeline, self._pipeline_key))
        for use in pipeline_models(self.suite, self.pipeline, self._pipeline_key, self.candidate.tune):
            yield from [use] if use not in own else []
        for role in self.roles:
            llm = self.suite.llm.roles[role]
            if llm.in_process:
                yield ModelUse(f"llm.{role}.model", llm.model, "generator")
        named: dict[Part, tuple[str, str]] = {
            "retriever": ("retriever", "teacher_model"),
            "reranker": ("label", "model"),
        }
        for part, key in named.items():
            rule = self.labels_for(part)
            if rule is not None and rule.by == "cross-encoder":
                yield ModelUse(self.key(*key), str(rule.model), "cross-encoder")
        relabel = self.data.mine.relabel if self.mines else None
        if relabel is not None and relabel.by == "cross-encoder":
            yield ModelUse(f"{self.key('mine', 'relabel')}.model", str(relabel.model), "cross-encoder")


def candidates_of(suite: Suite) -> list[CandidateUses]:
    """Return what every candidate of a suite uses."""
    return [CandidateUses(suite, name, candidate) for name, candidate in suite.all_candidates.items()]


def models_used(suite: Suite) -> list[ModelUse]:
    """Return every use of a model that runs here, each key and kind once."""
    return list(dict.fromkeys(_models(suite)))


def pipeline_models(
    suite: Suite, pipeline: Pipeline, key: Callable[[Part], str], tuned: Sequence[Part] = ()
) -> Iterator[ModelUse]:
    """Yield the models of the parts of a pipeline; `key` gives the key of the suite that names that of a part.

    Of late interaction without a model of its own, it is the retriever's.
    """
    retriever, reranker, generator = pipeline.retriever, pipeline.reranker, suite.generator_of(pipeline)
    # Training data are mined with the vectors of the retriever's model, whatever kind of retriever serves.
    if retriever.kind in RETRIEVER_MODELS:
        yield ModelUse(key("retriever"), retriever.model, RETRIEVER_MODELS[retriever.kind])
    if reranker is not None and reranker.kind in RERANKER_MODELS:
        part: Part = "reranker" if reranker.model is not None else "retriever"
        kind, model = RERANKER_MODELS[reranker.kind], reranker.model or retriever.model
        yield ModelUse(key(part), model, kind, as_is="reranker" not in tuned)
    answers = any(not measure.is_rank for measure in suite.measures) or "generator" in tuned
    if generator is not None and suite.answerer_of(pipeline) is None and answers:
        yield ModelUse(key("generator"), generator.model, "generator")


def _models(suite: Suite) -> Iterator[ModelUse]:
    candidates = candidates_of(suite)
    yield from pipeline_models(suite, suite.pipeline, "pipeline.{}.model".format)
    if any(candidate.mines for candidate in candidates):
        yield ModelUse("pipeline.retriever.model", suite.pipeline.retriever.model, "bi-encoder")
    for candidate in candidates:
        yield from candidate.models()
    if suite.pipeline.conversation == "rewrite" and suite.llm.rewriter.in_process:
        yield ModelUse("llm.rewriter.model", suite.llm.rewriter.model, "generator")
    if judges(suite) and suite.llm.judge is not None and suite.llm.judge.in_process:
        yield ModelUse("llm.judge.model", suite.llm.judge.model, "generator")


def models_named(suite: Suite) -> dict[str, list[str]]:
    """Return the models that a suite uses here, each with the keys that name it."""
    keys: dict[str, list[str]] = {}
    for use in models_used(suite):
        if use.key not in keys.setdefault(use.model, []):
            keys[use.model].append(use.key)
    return keys


def endpoint_roles(suite: Suite) -> list[Role]:
    """Return the roles of a suite that ask an endpoint."""
    asked = {role for candidate in candidates_of(suite) for role in candidate.roles}
    asked |= {"judge"} if judges(suite) else set()
    pipelines = [suite.pipeline, *(candidate.pipeline for candidate in candidates_of(suite))]
    asked |= {"generator"} if any(suite.answerer_of(pipeline) is not None for pipeline in pipelines) else set()
    asked |= {"rewriter"} if suite.pipeline.conversation == "rewrite" else set()
    return [role for role, llm in suite.llm.roles.items() if role in asked and not llm.in_process]


def judges(suite: Suite) -> bool:
    """Whether an LLM judges any measure of a suite."""
    return any(measure.is_judged for measure in suite.measures)


def reading_of(suite: Suite, *also: str) -> ReadingRule:
    """Return what a suite reads of its dataset; `also` names splits that are used beside those of the suite.

    Candidates are trained on train and chosen on dev; examples of the row `few-shot` come from train.
    """
    evaluate = suite.evaluate
    splits = {evaluate.split, *also}
    if suite.all_candidates:
        splits |= {"train", "dev", "test"}
    if suite.generator is not None and ("few-shot" in suite.baseline_rows or shows_examples(suite)):
        splits.add("train")
    answers = suite.generator is not None
    return ReadingRule(evaluate.split, frozenset(splits), answers, evaluate.relevance_level, evaluate.exclude_own)


def shows_examples(suite: Suite) -> bool:
    """Whether the prompts of any system of a suite show solved examples, beside those of the row `few-shot`."""
    pipelines = [suite.pipeline, *(suite.pipeline_of(candidate) for candidate in suite.all_candidates.values())]
    return any(pipeline.generator is not None and pipeline.generator.shots for pipeline in pipelines)


def reading_elsewhere(rule: Forgetting, examples: bool = False) -> ReadingRule:
    """Return what is read of the dataset that must not be forgotten; `examples` of its train split may be shown."""
    answers = bool(rule.generation_queries)
    splits = frozenset([rule.split, *(["train"] if answers and examples else [])])
    return ReadingRule(rule.split, splits, answers, rule.relevance_level, rule.exclude_own)
