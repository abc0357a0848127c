"""A suite as frozen values.

The classes below are the form of `suite.yaml`; `suite_files` reads it. A stage's section has the stage's name, its
class the stage's name in CamelCase. This module must not know how anything is computed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from harness.measures import Measure, parse

SCHEMA = "harness/suite-1"
PARTS = ("retriever",)
ReferenceRow = Literal["closed-book", "bm25", "hybrid", "untuned", "few-shot", "oracle-context"]
REFERENCE_ROWS: tuple[ReferenceRow, ...] = ("closed-book", "bm25", "hybrid", "untuned", "few-shot", "oracle-context")
QUERY_KINDS = ("question", "keyword", "claim")
ABSTENTION = "Information not available in the provided context."

Part = Literal["retriever"]
QueryKind = Literal["question", "keyword", "claim"]
Pairs = Literal["synthetic", "judged", "both"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="lower-case words joined by '-'")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Count = Annotated[int, Field(ge=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(twice)}")
    return values


def _measure(text: object) -> Measure:
    return text if isinstance(text, Measure) else parse(str(text))


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


def _free(name: str) -> str:
    if name in REFERENCE_ROWS:
        raise ValueError(f"{name!r} is the name of a reference row; rename the candidate")
    return name


MeasureField = Annotated[Measure, BeforeValidator(_measure), PlainSerializer(str)]
MeasureName = Annotated[str, AfterValidator(lambda text: str(parse(text)))]


class Spec(BaseModel):
    """Base of all specs: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)


class Grouping(Spec):
    """Where the group of a query comes from: a prefix of its documents' ids, or a field of its metadata."""

    doc_id_prefix: Annotated[str, Field(min_length=1)] | None = None
    metadata: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Grouping:
        if (self.doc_id_prefix is None) == (self.metadata is None):
            raise ValueError("give either 'doc_id_prefix' or 'metadata'")
        return self


class Dataset(Spec):
    """A BEIR folder (`path`), or documentation built from an installed package (`builder`)."""

    OF_BUILDERS: ClassVar[tuple[str, ...]] = ("split_seed", "symbols", "unanswerable")

    path: str | None = None
    builder: Literal["scipy-api"] | None = None
    group: Grouping | None = None
    symbols: Positive | None = None
    unanswerable: Share = 0.15
    split_seed: Seed = 0

    @model_validator(mode="after")
    def _one(self) -> Dataset:
        if (self.path is None) == (self.builder is None):
            raise ValueError("give either 'path' or 'builder'")
        if self.path is not None:
            fields = type(self).model_fields
            used = [name for name in self.OF_BUILDERS if getattr(self, name) != fields[name].default]
            if used:
                raise ValueError(f"{', '.join(used)}: only for a 'builder'")
        return self


class Evaluate(Spec):
    """Which split is scored; answers are written for a sample of `generation_queries` of it, all if not given."""

    split: Literal["dev", "test"] = "test"
    generation_queries: Positive | None = None
    probe_queries: Positive = 100
    probe_generations: Positive = 30


class Retriever(Spec):
    model: str = "embedded:all-minilm-l6-v2"
    max_length: Positive = 256
    query_prompt: str = ""
    document_prompt: str = ""


class Generator(Spec):
    """`passage_tokens` cuts every passage of the prompt; `few_shot` counts the examples of the row `few-shot`."""

    model: str = "embedded:smollm2-135m-instruct"
    max_new_tokens: Positive = 48
    passage_tokens: Positive = 160
    batch_size: Positive = 8
    few_shot: Positive = 3
    instruction: str = (
        "Answer the question from the passages, as briefly as possible. "
        f"If the passages do not hold the answer, write exactly: {ABSTENTION}"
    )


class AnswerFormat(Spec):
    """A pattern for answers; the group ``key``, if the pattern has one, is what `key_match` compares."""

    pattern: Annotated[str, AfterValidator(_pattern)]


class Pipeline(Spec):
    """The untuned parts that every candidate starts from."""

    retriever: Retriever = Retriever()
    reranker: None = None
    generator: Generator | None = Generator()
    depth: Positive = 100
    context: Positive = 3
    fuse_k: Positive = 60


class Llm(Spec):
    model: str = "embedded:smollm2-135m-instruct"


class Llms(Spec):
    synthesizer: Llm = Llm()


class RoundTrip(Spec):
    """Keep a synthetic query if one of these finds its document among the first k."""

    k: Positive = 20
    by: Literal["bm25", "untuned", "either"] = "either"


class Synthesize(Spec):
    """`test_documents` says whether passages that are relevant for queries of the scored split may be written about.

    `leakage` is the share of common word trigrams (or of equal words, for the shortest queries) at which a synthetic
    query is too near a dev or test query and is dropped.
    """

    queries_per_document: Positive = 2
    kinds: Annotated[tuple[QueryKind, ...], AfterValidator(_unique), Field(min_length=1)] = ("question", "keyword")
    round_trip: RoundTrip | None = RoundTrip()
    test_documents: bool = True
    max_documents: Positive | None = None
    passage_tokens: Positive = 160
    max_new_tokens: Positive = 24
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    batch_size: Positive = 16
    leakage: Share = 0.6


class Mine(Spec):
    """Negatives a pair: `hard` out of the untuned retriever's first `depth`, `random` out of the corpus."""

    hard: Count = 1
    random: Count = 0
    relative_margin: Share = 0.05
    depth: Positive = 50


class Data(Spec):
    synthesize: Synthesize = Synthesize()
    mine: Mine = Mine()
    pairs: Pairs = "synthetic"
    data_seed: Seed = 0


class RetrieverRecipe(Spec):
    recipe: Literal["mnrl"] = "mnrl"
    epochs: Positive = 2
    batch_size: Annotated[int, Field(ge=2, strict=True)] = 32
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-5
    warmup: Share = 0.1
    max_length: Positive | None = None


class RetrieverChange(Spec):
    """What a candidate changes in the recipe of its retriever; the rest comes from `recipes`."""

    recipe: Literal["mnrl"] | None = None
    epochs: Positive | None = None
    batch_size: Annotated[int, Field(ge=2, strict=True)] | None = None
    learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    warmup: Share | None = None
    max_length: Positive | None = None


class Recipes(Spec):
    retriever: RetrieverRecipe = RetrieverRecipe()


class Candidate(Spec):
    """A tuning strategy: the parts it tunes, and what it changes in their recipes and in the training pairs."""

    tune: Annotated[tuple[Part, ...], AfterValidator(_unique), Field(min_length=1)]
    retriever: RetrieverChange = RetrieverChange()
    pairs: Pairs | None = None
    mine: Mine | None = None

    def recipe(self, recipes: Recipes) -> RetrieverRecipe:
        """The recipe of the retriever with this candidate's changes."""
        return recipes.retriever.model_copy(update=self.retriever.model_dump(exclude_none=True))


class Utility(Spec):
    """The rule of the measure `utility`: which measure decides that an answer is right, and what a wrong one costs."""

    right: Literal["exact_match", "key_match", "token_f1"] = "exact_match"
    threshold: Annotated[float, Field(gt=0, le=1)] = 1.0
    wrong_cost: Annotated[float, Field(ge=0, le=1)] = 1.0


class Gate(Spec):
    """A bound on a measure (`margin`, absolute) or on a probe (`relative`)."""

    measure: MeasureField | None = None
    margin: Annotated[float, Field(ge=0)] | None = None
    probe: Literal["p50_ms", "p95_ms"] | None = None
    relative: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Gate:
        if (self.measure is None) == (self.probe is None):
            raise ValueError("give either 'measure' with 'margin' or 'probe' with 'relative'")
        if (self.measure is None) != (self.margin is None) or (self.probe is None) != (self.relative is None):
            raise ValueError("'margin' belongs to a measure, 'relative' to a probe")
        return self


class Prices(Spec):
    """Dollars an hour of a machine with and without a GPU."""

    gpu_hour: Annotated[float, Field(ge=0)] = 2.5
    cpu_hour: Annotated[float, Field(ge=0)] = 0.05


class Suite(Spec):
    """A benchmark: data set, pipeline, candidates, measures, gates."""

    schema_: Literal["harness/suite-1"] = Field(alias="schema")
    name: Name
    title: str = ""
    dataset: Dataset
    evaluate: Evaluate = Evaluate()
    pipeline: Pipeline = Pipeline()
    llm: Llms = Llms()
    data: Data = Data()
    candidates: dict[Annotated[Name, AfterValidator(_free)], Candidate] = {}
    recipes: Recipes = Recipes()
    reference_rows: Annotated[tuple[ReferenceRow, ...], AfterValidator(_unique)] = REFERENCE_ROWS
    seeds: Annotated[tuple[Seed, ...], AfterValidator(_unique), Field(min_length=1)] = (0,)
    measures: Annotated[tuple[MeasureField, ...], AfterValidator(_unique), Field(min_length=1)]
    answer_format: AnswerFormat | None = None
    utility: Utility = Utility()
    gates: tuple[Gate, ...] = ()
    prices: Prices = Prices()
    failure_limit: Share = 0.0
    published: dict[Name, dict[MeasureName, float]] = {}
    """Figures from elsewhere, shown beside ours: row -> measure -> value."""

    @property
    def margins(self) -> dict[Measure, float]:
        """Margin of every gated measure."""
        return {gate.measure: gate.margin for gate in self.gates if gate.measure and gate.margin is not None}
