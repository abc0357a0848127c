"""The graph as a value: planned calls, the systems they make up, and what a goal needs. No key is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.hashing import digest_of
from harness.planning.contexts import GenerationSample
from harness.planning.dataset_artifacts import DatasetArtifacts
from harness.stages.shared.dev_evaluation import DEV_INPUTS
from harness.suite.recipes import Part
from harness.suite.roles import Role
from harness.suite.spec import Suite
from harness.values.records import StageCall
from harness.values.systems import System


@dataclass(frozen=True)
class ExpectedWork:
    """The expected work of a call, for estimates: units of its stage, LLM calls, their tokens and dollars.

    `role` is the one whose LLM is asked. `evaluations` is the work of a training's dev evaluations, in units of the
    stage that uses the tuned model: passages indexed, pairs reranked.
    """

    units: int
    llm_calls: int = 0
    tokens: int = 0
    dollars: float = 0.0
    role: Role | None = None
    evaluations: int = 0


@dataclass
class PlannedCall:
    """A call with its key, its label for people, its expected work, and the labels of the systems that need it."""

    key: str
    call: StageCall
    label: str
    work: ExpectedWork
    systems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ServingKeys:
    """Keys of the artifacts that a system needs when it serves queries.

    `models` holds the tuned parts, `generator` the plain form of a GGUF generator, `reranked` the run that a reranker
    orders; each is None (or missing) where a system has no such part.
    """

    dense: str | None = None
    bm25: str | None = None
    models: Mapping[Part, str] = field(default_factory=dict)
    generator: str | None = None
    reranked: str | None = None
    prompt: Literal["run", "few-shot", "none", "relevant"] | None = None

    @property
    def keys(self) -> list[str]:
        """Keys of the artifacts that must exist before the system can serve."""
        return [key for key in (self.dense, self.bm25, self.generator, *self.models.values()) if key]


@dataclass(frozen=True)
class SystemPlan(System):
    """A system and the keys of its results; None where the system has no such result."""

    tunes: tuple[Part, ...]
    run: str | None
    answers: str | None
    dev_run: str | None
    serving: ServingKeys
    scores_run: bool = True
    context: int | None = None
    """Passages shown to the generator, where this is what sets the row apart."""

    @property
    def models(self) -> Mapping[Part, str]:
        """Keys of the parts that are tuned."""
        return self.serving.models

    @property
    def identity(self) -> str:
        """System identity: a digest of the keys of its results, which hold all their settings and inputs."""
        return digest_of([self.run, self.answers])

    @property
    def goals(self) -> list[str]:
        return [key for key in (self.run, self.answers, self.dev_run) if key]


@dataclass
class Plan:
    """All calls, in an order in which inputs come first, and the systems that they add up to."""

    suite: Suite
    artifacts: DatasetArtifacts
    generation_sample: GenerationSample
    calls: dict[str, PlannedCall]
    systems: list[SystemPlan]
    judge: str | None = None
    """Key of the plain form of a GGUF judge that runs in process."""

    @property
    def sample(self) -> list[str]:
        """The questions that generators are asked."""
        return self.generation_sample.query_ids

    @property
    def chooses_on_dev(self) -> bool:
        """Whether any training chooses its checkpoint on dev."""
        return any(not {*DEV_INPUTS}.isdisjoint(planned.call.inputs) for planned in self.calls.values())

    @property
    def calls_without_sharing(self) -> int:
        """How many calls there would be if every system made its own."""
        return sum(len(self.upstream(system.goals)) for system in self.systems)

    def system(self, label: str) -> SystemPlan:
        """The system of that label."""
        return next(system for system in self.systems if system.label == label)

    def upstream(self, goals: Sequence[str]) -> list[str]:
        """Keys of the calls that these goals need, themselves included, in the order of the plan."""
        needed: set[str] = set()
        waiting = [key for key in goals if key in self.calls]
        while waiting:
            key = waiting.pop()
            if key not in needed:
                needed.add(key)
                waiting += [item for item in self.calls[key].call.inputs.values() if item in self.calls]
        return [key for key in self.calls if key in needed]
