"""A suite as frozen values.

The classes below are the schema of `suite.yaml`; `files` reads it. This module must not know how anything is computed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from harness.suite.bounds import Diagnose, Gate, Limits, OnInconclusive, Prices
from harness.suite.declining import AbstentionSentences, own_sentences
from harness.suite.execution import Execution
from harness.suite.external import External
from harness.suite.factorial import Design, combinations_of, factors_of
from harness.suite.fields import MeasureField, MeasureName, Name, Pattern, Positive, Seed, Share, Spec, Unique
from harness.suite.pipeline import Generator, Pipeline, PipelineChange, changed_pipeline, settings_of
from harness.suite.recipes import (
    ABSTENTION,
    Change,
    GeneratorChange,
    GeneratorRecipe,
    InstructChange,
    LabelChange,
    MineChange,
    Part,
    Recipes,
    RerankerChange,
    RerankerRecipe,
    RetrieverChange,
    RetrieverRecipe,
    changed,
)
from harness.suite.renamed import upgraded
from harness.suite.roles import Llm, Llms
from harness.suite.search import Search, expanded
from harness.suite.sources import DatasetSource, Evaluate, Forgetting
from harness.suite.tracking import Tracking, tracking_of
from harness.suite.training_data import Data, Pairs
from harness.suite.written import SuiteFile
from harness.values.measures import Measure

SERVED = "llm:generator"
"""Name of the generator that `llm.generator` describes."""
BaselineRow = Literal["closed-book", "bm25", "hybrid", "untuned", "few-shot", "oracle-context"]
BASELINE_ROWS: tuple[BaselineRow, ...] = ("closed-book", "bm25", "hybrid", "untuned", "few-shot", "oracle-context")
Device = Literal["auto", "cpu", "cuda"]
DERIVED_SLICES = ("query_length", "query_kind", "document_length", "lexical_overlap")
"""Slices that need no metadata; any other name is a field of the queries' metadata."""
SliceName = Annotated[str, Field(min_length=1)]


def _free(name: str) -> str:
    if name in BASELINE_ROWS:
        raise ValueError(f"{name!r} is the name of a baseline row; rename the candidate")
    return name


class AnswerEnd(Spec):
    """Where an answer ends: before the first of the strings in `stop`, if there are any."""

    stop: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Unique] = ()


class AnswerFormat(Spec):
    """A pattern for answers; the group ``key``, if the pattern has one, is what `key_match` compares."""

    pattern: Pattern


class Candidate(Spec):
    """A set of changes to the pipeline: the parts that are tuned, in this order, and changes of their recipes and data.

    Each part is trained on the output of the parts before it: ``[retriever, reranker]`` trains the reranker on runs of
    the tuned retriever, ``[reranker, retriever]`` on runs of the untuned one. An `external` system stands for the whole
    pipeline, and is changed by nothing.
    """

    tune: Annotated[tuple[Part, ...], Unique] = ()
    pipeline: PipelineChange = PipelineChange()
    retriever: RetrieverChange = RetrieverChange()
    reranker: RerankerChange = RerankerChange()
    generator: GeneratorChange = GeneratorChange()
    pairs: Pairs | None = None
    mine: MineChange = MineChange()
    label: LabelChange = LabelChange()
    instruct: InstructChange = InstructChange()
    external: External | None = None

    @property
    def changes(self) -> dict[str, Change]:
        """Every section of `recipes` and `data` that this candidate changes keys of."""
        names = ("retriever", "reranker", "generator", "mine", "label", "instruct")
        return {name: change for name in names if (change := getattr(self, name)).model_fields_set}

    @property
    def training(self) -> list[str]:
        """What it changes of recipes and training data, as ``pairs=structure`` or ``retriever.epochs=3``."""
        pairs = [f"pairs={self.pairs}"] if self.pairs is not None else []
        return pairs + [text for name, change in self.changes.items() for text in settings_of(change, f"{name}.")]


Factor = Annotated[dict[str, Candidate], Field(min_length=2)]
"""Levels by name; the first one changes nothing."""


class Utility(Spec):
    """The rule of the measure `utility`: which measure decides that an answer is right, and what a wrong one costs.

    A measure that an LLM judges decides only if its judge is calibrated; see `roles.Judge`.
    """

    right: Literal["exact_match", "key_match", "token_f1", "faithfulness", "factual_correctness", "rubric"] = (
        "exact_match"
    )
    threshold: Annotated[float, Field(gt=0, le=1)] = 1.0
    wrong_cost: Annotated[float, Field(ge=0, le=1)] = 1.0


class Suite(Spec):
    """A benchmark: dataset, pipeline, candidates, measures, gates. The keys of suite-1 are read too."""

    schema_: Literal["harness/suite-2"] = Field(alias="schema")
    name: Name
    title: str = ""
    dataset: DatasetSource
    evaluate: Evaluate = Evaluate()
    pipeline: Pipeline = Pipeline()
    llm: Llms = Llms()
    data: Data = Data()
    candidates: dict[Annotated[Name, AfterValidator(_free)], Candidate] = Field(default_factory=dict)
    factorial: Annotated[dict[str, Factor], BeforeValidator(factors_of)] = Field(default_factory=dict)
    recipes: Recipes = Recipes()
    search: Search | None = None
    baseline_rows: Annotated[tuple[BaselineRow, ...], Unique] = BASELINE_ROWS
    seeds: Annotated[tuple[Seed, ...], Unique, Field(min_length=1)] = (0,)
    measures: Annotated[tuple[MeasureField, ...], Unique, Field(min_length=1)]
    answer: AnswerEnd = AnswerEnd()
    answer_format: AnswerFormat | None = None
    abstention: AbstentionSentences = AbstentionSentences()
    utility: Utility = Utility()
    gates: tuple[Gate, ...] = ()
    on_inconclusive: OnInconclusive = "pass"
    require_baseline: bool = False
    prices: Prices = Prices()
    limits: Limits = Limits()
    execution: Execution = Execution()
    track: Annotated[Tracking, BeforeValidator(tracking_of)] = Tracking()
    diagnose: Diagnose = Diagnose()
    slices: Annotated[tuple[SliceName, ...], Unique] = DERIVED_SLICES
    forgetting: Forgetting | None = None
    rubric: str = ""
    failure_limit: Share = 0.0
    device: Device = "auto"
    max_tokens_per_batch: Positive | None = None
    """Tokens, padding included, that a model reads at once; None: by the device and its free memory."""
    published: dict[Name, dict[MeasureName, float]] = Field(default_factory=dict)
    """Figures from elsewhere, shown beside ours: row -> measure -> value."""
    _file: SuiteFile = PrivateAttr(default_factory=SuiteFile)

    @property
    def file(self) -> SuiteFile:
        """Where it was read; a suite that was made otherwise has an empty one."""
        return self._file

    def read_from(self, file: SuiteFile) -> Suite:
        """Remember the file that this suite was read from; return the suite."""
        self._file = file
        return self

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_schema(cls, value: Any) -> Any:
        return expanded(upgraded(value)[0])

    @property
    def generator(self) -> Generator | None:
        """The generator of the suite's own pipeline; see `generator_of`."""
        return self.generator_of(self.pipeline)

    def generator_of(self, pipeline: Pipeline) -> Generator | None:
        """A pipeline's generator, under its own name where ``llm:generator`` stands for a model that runs here.

        How that model is computed is then said by `llm.generator`, unless the pipeline says it.
        """
        given, role = pipeline.generator, self.llm.generator
        if given is not None and given.model == SERVED and role is not None and role.in_process:
            of_role = {name: getattr(role, name) for name in role.set_locally if name not in given.model_fields_set}
            return given.model_copy(update={"model": role.model, **of_role})
        return given

    @property
    def answerer(self) -> Llm | None:
        """The endpoint that answers for the suite's own pipeline; see `answerer_of`."""
        return self.answerer_of(self.pipeline)

    def answerer_of(self, pipeline: Pipeline) -> Llm | None:
        """The endpoint that answers for a pipeline; None if its generator runs here."""
        generator = self.generator_of(pipeline)
        return self.llm.generator if generator is not None and generator.model == SERVED else None

    @property
    def abstention_sentences(self) -> tuple[str, ...]:
        """What counts as declining beside the common phrases: what the instruction says, then what the suite names."""
        told = own_sentences(self.pipeline.generator.instruction) if self.pipeline.generator else ()
        agreed = ABSTENTION.casefold().rstrip(".")
        sentences = dict.fromkeys((*told, *self.abstention.sentences))
        return tuple(one for one in sentences if one.casefold().rstrip(".") != agreed)

    @property
    def abstention_sentence(self) -> str:
        """What a generator is shown and trained to write where it has no answer."""
        told = own_sentences(self.pipeline.generator.instruction) if self.pipeline.generator else ()
        return next(iter((*told, *self.abstention.sentences)), ABSTENTION)

    @property
    def margins(self) -> dict[Measure, float]:
        """Margin of every gated measure."""
        return {gate.measure: gate.margin for gate in self.gates if gate.measure and gate.margin is not None}

    @property
    def _crossed(self) -> tuple[dict[str, Candidate], Design]:
        levels = {
            factor: {name: level.model_dump(mode="json", exclude_unset=True) for name, level in of_factor.items()}
            for factor, of_factor in self.factorial.items()
        }
        changes, design = combinations_of(levels)
        return {name: Candidate.model_validate(change) for name, change in changes.items()}, design

    @property
    def crossed(self) -> dict[str, Candidate]:
        """The candidates that `factorial` stands for."""
        return self._crossed[0]

    @property
    def design(self) -> Design:
        """The factors of `factorial`, and which levels each of its candidates has."""
        return self._crossed[1]

    @property
    def all_candidates(self) -> dict[str, Candidate]:
        """The candidates as written, and all combinations of the factors of `factorial`."""
        return self.candidates | self.crossed

    def pipeline_of(self, candidate: Candidate) -> Pipeline:
        """The pipeline with a candidate's settings. Raises ValidationError where they do not go together."""
        return changed_pipeline(self.pipeline, candidate.pipeline)

    def recipe(self, candidate: Candidate, part: Part) -> RetrieverRecipe | RerankerRecipe | GeneratorRecipe:
        """The recipe of a part with a candidate's changes."""
        found: RetrieverRecipe | RerankerRecipe | GeneratorRecipe = changed(
            getattr(self.recipes, part), getattr(candidate, part)
        )
        return found

    def making(self, candidate: Candidate) -> Data:
        """The section `data` with a candidate's changes."""
        names = ("mine", "label", "instruct")
        sections = {name: changed(getattr(self.data, name), getattr(candidate, name)) for name in names}
        return self.data.model_copy(update={**sections, "pairs": candidate.pairs or self.data.pairs})
