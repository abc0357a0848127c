"""The frozen values that are written to `outcome.json`. They compute nothing."""

from __future__ import annotations

from typing import Any, Literal

from harness.values.effects import Effect, RecipeClaim
from harness.values.frozen import Frozen, Verdict
from harness.values.gains import BestUntrained, Forgotten, Roi, SliceGain
from harness.values.indexes import LostByIndex
from harness.values.insights import Diagnosis, Prediction
from harness.values.questions import QuestionAgreement, SyntheticQuestions
from harness.values.records import FOUND
from harness.values.repairs import Repair
from harness.values.search import RoundScore
from harness.values.systems import Role, label_of, slug_of

OUTCOME_VERSION = 3
"""The number at the end of the schema. It is raised when a field is removed or changes its meaning, and when older
versions of the harness must be refused; new fields with defaults do not need that. See `values.versions`."""


class LedgerRow(Frozen):
    """What a stage call or a set of judgements cost. `reused`: this run took it from the store.

    `role` is that of the LLM that was asked, `llm_dollars` the price of its requests. `share` is that of the machine
    which the call had: less than 1 if others ran beside it. A call on a cluster has the class of its `machine`, and the
    number of `attempts`: more than 1 if a worker died.
    """

    key: str
    stage: str
    label: str
    seconds: float
    device: str
    peak_memory_mb: float
    llm_calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    role: str = ""
    llm_dollars: float = 0.0
    units: int = 0
    bytes: int = 0
    share: float = 1.0
    machine: str = ""
    attempts: int = 1
    reused: bool = False
    systems: tuple[str, ...] = ()
    notes: dict[str, Any] = {}

    @property
    def unknown_cost(self) -> bool:
        """Whether nobody knows what it took: a server had it already."""
        return FOUND in self.notes and not self.units

    @property
    def machine_seconds(self) -> float:
        """Seconds of the whole machine: those of a call beside others count by its share."""
        return self.seconds * self.share


class Timing(Frozen):
    """Latency of one part, in milliseconds, over `n` single queries.

    The ranges are 90 % intervals of the two. With few queries, one has no upper bound, or is None.
    `noisy`: something else kept the machine busy, in all attempts (see `execution.reference`).
    """

    part: str
    n: int
    p50_ms: float
    p95_ms: float
    p50_range: tuple[float, float | None] | None = None
    p95_range: tuple[float, float | None] | None = None
    noisy: bool = False


class ServingCost(Frozen):
    """Serving cost of a system: the parts that a query passes, and their latencies summed query by query."""

    parts: tuple[str, ...]
    retrieval: Timing | None = None
    total: Timing | None = None
    dollars_per_1000: float | None = None


class SystemInfo(Frozen):
    """A system of an outcome: a baseline row, or a candidate with a seed.

    `tunes` names the parts that are trained, `changes` the settings that differ from the suite's pipeline, `training`
    those that differ from its recipes and training data.
    `same_run_as`, `same_answers_as` and `same_weights_as` name a system with identical content that other stage calls
    made. `same_weights_as` may name a part: ``the untuned retriever``.
    """

    name: str
    seed: int
    role: Role
    tunes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    identity: str
    build_seconds: float = 0.0
    build_dollars: float = 0.0
    serving: ServingCost | None = None
    same_run_as: str = ""
    same_answers_as: str = ""
    same_weights_as: str = ""
    failed: str = ""
    stopped: str = ""
    """Why a search did not train it to the end: its scores are those of a share of its data."""

    @property
    def label(self) -> str:
        return label_of(self.name, self.seed, self.tunes)

    @property
    def slug(self) -> str:
        """The label as part of a file name."""
        return slug_of(self.name, self.seed, self.tunes)


class Summary(Frozen):
    """Mean of a measure over the `n` queries that have a value; the population is `n + failed`.

    `reasons` counts the failures by reason; `spread` is the root mean square, over the queries, of the standard
    deviation between repeated judgements of one answer.
    """

    system: str
    seed: int
    measure: str
    mean: float | None
    n: int
    failed: int = 0
    reasons: dict[str, int] = {}
    spread: float | None = None


class Comparison(Frozen):
    """A difference to the baseline with its simultaneous interval, and the verdict that follows.

    `p_value` is adjusted for all comparisons of the family (single-step max-T). The family ``advisory`` holds
    measures that an LLM judged, on the questions that both systems answered; no gate rests on them. The baseline of the
    family ``untrained`` is the best system without training, that of ``bm25`` is bm25.
    """

    family: Literal["gain", "regression", "advisory", "exploratory", "untrained", "bm25"]
    system: str
    seed: int
    measure: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    margin: float
    detectable: float | None
    n_queries: int
    n_groups: int
    failed: int = 0
    verdict: Verdict
    reason: str = ""


class AbstentionCounts(Frozen):
    """The 2x2 table of one system, in queries."""

    system: str
    seed: int
    answerable_answered: int
    answerable_abstained: int
    unanswerable_answered: int
    unanswerable_abstained: int


class DatasetInfo(Frozen):
    """The dataset of an outcome. `groups`, `judged` and the next two count the scored split, `answered` its sample."""

    name: str
    digest: str
    documents: int
    queries: dict[str, int]
    groups: int
    judged: int
    answerable: int
    unanswerable: int
    answered: int
    digests: dict[str, str] = {}
    source: dict[str, Any] = {}
    questions: SyntheticQuestions | None = None
    """Of the scored split; None if a model wrote none of them."""


class MeasurementInputs(Frozen):
    """The parts of a measurement identity beside the digests of the data: the sample of queries, the settings."""

    sample: str | None = None
    settings: dict[str, Any] = {}


class RolePayment(Frozen):
    """Requests of one role to its endpoint in this run, including failed ones, and their price."""

    role: str
    model: str
    requests: int
    prompt_tokens: int
    new_tokens: int
    dollars: float


class Resolved(Frozen):
    """A section of the suite as resolved for a candidate; `changed` names the settings that are not defaults."""

    candidate: str
    section: str
    settings: dict[str, Any]
    changed: tuple[str, ...] = ()


class Outcome(Frozen):
    """The result of `harness run`, except for the rows of scores, which are in a Parquet file beside it."""

    schema_version: Literal["harness/outcome-3"] = "harness/outcome-3"
    suite: str
    split: str
    title: str = ""
    created: str
    seconds: float = 0.0
    provenance: dict[str, Any]
    spec: dict[str, Any]
    dataset: DatasetInfo
    settings: dict[str, str] = {}
    """Settings that a reader needs to judge the numbers, in words: depth, synthesis from test documents, ..."""
    measures: tuple[str, ...]
    identities: dict[str, str]
    measured: dict[str, MeasurementInputs] = {}
    advisory: tuple[str, ...] = ()
    """Gated measures of an uncalibrated judge: no gate rests on them."""
    systems: tuple[SystemInfo, ...]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...] = ()
    abstentions: tuple[AbstentionCounts, ...] = ()
    timings: tuple[Timing, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    not_run: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ()
    """Repairs of the dataset while it was read."""
    times_scored: int = 1
    queries_without_run: dict[str, int] = {}
    effects: tuple[Effect, ...] = ()
    factors: dict[str, tuple[str, ...]] = {}
    """Levels of each factor of the factorial, the reference first; empty for outcomes whose factors are tuned parts."""
    recipe_claims: tuple[RecipeClaim, ...] = ()
    best_untrained: BestUntrained | None = None
    untrained_claims: tuple[RecipeClaim, ...] = ()
    """The recipes against `best_untrained`."""
    paid: tuple[RolePayment, ...] = ()
    agreement: tuple[QuestionAgreement, ...] = ()
    """Of synthetic questions with those of people, where the scored split has both."""
    slices: tuple[SliceGain, ...] = ()
    roi: tuple[Roi, ...] = ()
    rounds: tuple[RoundScore, ...] = ()
    """Of a search, before the last round."""
    indexes: tuple[LostByIndex, ...] = ()
    """Of the systems that are searched by an index of another library."""
    forgotten: tuple[Forgotten, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    diagnosis: Diagnosis | None = None
    calls_planned: int = 0
    """Distinct stage calls of the plan; the next field counts calls that systems share once for each system."""
    calls_without_sharing: int = 0
    resolved: tuple[Resolved, ...] = ()
    """Settings of each candidate as resolved; `spec` has the suite as it was written."""
