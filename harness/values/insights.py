"""The values of a diagnosis, of predictions and of learning curves: frozen, and without computation."""

from __future__ import annotations

from typing import Any, Literal

from harness.values.frozen import Frozen, Verdict
from harness.values.questions import SyntheticQuestions
from harness.values.training_free import TrainingFree

DIAGNOSIS_VERSION = 2
PlaceName = Literal[
    "not in the pool", "not in the context", "in the context",  # "in the context": where no answers are written
    "answered wrongly", "abstained", "wrong format", "right", "invented", "failed",
]  # fmt: skip
Population = Literal["answerable", "unanswerable"]
Oracle = Literal["oracle-retriever", "oracle-reranker", "oracle-generator", "oracle-context", "without-reranker"]
"""What replaces a part: an oracle, or nothing, for a reranker that may do harm."""


class FunnelPlace(Frozen):
    """A place of a funnel: number and share of its questions, with a 95 % interval by group, and examples by id."""

    name: PlaceName
    population: Population
    count: int
    share: float
    low: float
    high: float
    examples: tuple[str, ...] = ()


class Funnel(Frozen):
    """Every question of a system in exactly one place; `shares` of one population add up to 1.

    ``retrieval``: all judged questions of the split, by the place of their relevant documents. ``answers``: the sampled
    questions, by the result of their answer. `rule` describes what counts as right. `right_without` counts answers that
    are right (or right in the wrong format) though no relevant passage was shown: judgements are missing, or the model
    knew the answer.
    """

    kind: Literal["retrieval", "answers"]
    system: str
    rule: str
    depth: int
    context: int
    groups: int
    places: tuple[FunnelPlace, ...]
    right_without: int = 0
    right_measure: str | None = None
    """The measure that decides what is right; None for retrieval."""

    def place(self, name: PlaceName, population: Population = "answerable") -> FunnelPlace | None:
        """The place of that name; None if the population has no questions."""
        return next((place for place in self.places if (place.name, place.population) == (name, population)), None)

    def total(self, population: Population) -> int:
        return sum(place.count for place in self.places if place.population == population)


class OracleGain(Frozen):
    """The gain of an oracle in the place of a part over the pipeline as it is, with a simultaneous interval.

    `bound`: no part can gain more. Otherwise it is an estimate, which real answers may exceed.
    """

    oracle: Oracle
    measure: str
    bound: bool
    real: float | None
    best: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n_queries: int = 0
    n_groups: int = 0
    detectable: float | None = None
    reason: str = ""


class LossPoint(Frozen):
    """A mean at a depth, or at a number of passages shown, with a 95 % interval by group.

    `gain` is the difference to the pipeline's own setting, on the same questions; its interval holds for all points.
    """

    at: int
    mean: float
    low: float | None
    high: float | None
    n: int
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


class Curve(Frozen):
    """``depth``: recall, or hit rate, of the pool against its depth.

    ``context``: an answer measure against the passages shown.
    """

    kind: Literal["depth", "context"]
    measure: str
    points: tuple[LossPoint, ...]
    chosen: int
    """The setting of the pipeline."""


class Sign(Frozen):
    """A sign of a gap between the domain and the models. `worrying`: `value` is beyond the threshold `bar`."""

    name: str
    value: float | None
    bar: float
    worrying: bool
    about: str
    n: int = 0


class PartTime(Frozen):
    """Latency of one part of the untuned pipeline, in milliseconds, and its share of the sum of all parts."""

    part: str
    p50_ms: float
    p95_ms: float
    share_p50: float
    share_p95: float


class CostEstimate(Frozen):
    """The estimated build cost and added serving cost of a candidate.

    `identity` is the digest of the candidate with its recipes and its data, as a candidate of that name may change.
    `basis` tells for each stage how its speed is known: ``measured`` (in this store, or on a sample) or ``guessed``.
    `seconds` counts stage calls that the store does not hold; `seconds_in_full` counts all.
    """

    candidate: str
    identity: str = ""
    tunes: tuple[str, ...]
    seconds: float
    seconds_in_full: float
    dollars: float
    added_p95_ms: float | None = None
    added_dollars_per_1000: float | None = None
    basis: dict[str, Literal["measured", "guessed"]] = {}


class Worth(Frozen):
    """The possible gain of following an advice on one measure."""

    measure: str
    difference: float
    low: float | None = None
    high: float | None = None
    bound: bool = True


class Advice(Frozen):
    """An advice, in the order of the list. `kind`: tune a part, change a setting, measure better, or leave it.

    `against`: the rule advises against it, for the reasons in `why`. `candidates` are those of the suite that do it.
    `paste` is what to add to the suite, as YAML.
    """

    rank: int
    rule: str
    kind: Literal["tune", "change", "measure", "leave"]
    action: str
    tunes: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    against: bool = False
    could_buy: tuple[Worth, ...] = ()
    why: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
    estimate: CostEstimate | None = None
    paste: str = ""


class Diagnosis(Frozen):
    """The result of `harness diagnose`.

    `pipeline` is the digest of the untuned pipeline with its models. `answered` counts the questions that were
    answered, `unanswerable` those of them that have no answer.
    """

    schema_version: Literal["harness/diagnosis-2"] = "harness/diagnosis-2"
    suite: str
    title: str = ""
    split: str
    created: str
    seconds: float = 0.0
    machine: str = ""
    provenance: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    pipeline: str
    digests: dict[str, str] = {}
    settings: dict[str, str] = {}
    """Digest of the measurement settings (version, rule of `utility`, judge) of each measure."""
    documents: int
    judged: int
    answered: int
    unanswerable: int
    groups: int
    questions: SyntheticQuestions | None = None
    measures: tuple[str, ...]
    """Gated measures, and what `utility` calls right: those that oracle gains are computed for."""
    funnels: tuple[Funnel, ...] = ()
    oracle_gains: tuple[OracleGain, ...] = ()
    curves: tuple[Curve, ...] = ()
    signs: tuple[Sign, ...] = ()
    times: tuple[PartTime, ...] = ()
    p95_ms: float | None = None
    dollars_per_1000: float | None = None
    estimates: tuple[CostEstimate, ...] = ()
    training_free: tuple[TrainingFree, ...] = ()
    advice: tuple[Advice, ...] = ()
    facts: dict[str, float | None] = {}
    """The facts that the rules were evaluated on, by name."""
    notes: tuple[str, ...] = ()

    def funnel(self, kind: Literal["retrieval", "answers"]) -> Funnel | None:
        return next((one for one in self.funnels if one.kind == kind), None)

    def oracle_gain(self, oracle: Oracle, measure: str) -> OracleGain | None:
        return next((one for one in self.oracle_gains if (one.oracle, one.measure) == (oracle, measure)), None)


class Prediction(Frozen):
    """The predicted and the measured gain of a candidate, and its estimated and paid cost.

    `rank` is that of its advice (None: no rule matched it), `against` whether the rule advised against it.
    """

    system: str
    seed: int
    measure: str
    rank: int | None = None
    against: bool = False
    could_buy: float | None = None
    bound: bool = True
    bought: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict
    estimated_seconds: float | None = None
    paid_seconds: float | None = None
    estimated_dollars: float | None = None
    paid_dollars: float | None = None
    conclusion: str = ""
    """In words: whether the advice held, was wrong, or is inconclusive."""


class CurvePoint(Frozen):
    """A candidate trained on a share of its data: mean, gain over `untuned`, and the step from the previous share."""

    share: float
    examples: int
    system: str
    measure: str
    mean: float | None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    step: float | None = None
    step_low: float | None = None
    step_high: float | None = None
    step_verdict: Verdict | None = None
    seconds: float = 0.0


class LearningCurve(Frozen):
    """The result of `harness curve`. `said` has for each measure whether more training data would help, in words."""

    schema_version: Literal["harness/curve-1"] = "harness/curve-1"
    suite: str
    candidate: str
    split: str
    created: str
    seconds: float = 0.0
    margins: dict[str, float] = {}
    points: tuple[CurvePoint, ...] = ()
    said: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    questions: SyntheticQuestions | None = None
