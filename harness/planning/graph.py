"""The graph as a value: planned calls, the systems that they add up to, and what a goal needs. It computes no key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.hashing import digest_of
from harness.planning.contexts import Given
from harness.planning.dataset_artifacts import Parts
from harness.suite.recipes import Part
from harness.suite.roles import Role
from harness.suite.spec import Suite
from harness.values.records import StageCall


@dataclass(frozen=True)
class Work:
    """What a call is expected to do, for estimates: units of its stage, LLM calls, their tokens and what they cost.

    `role` is the one whose LLM is asked. `looks` are what a training does to look at dev, in units of the call that
    uses what it makes: passages indexed, pairs reranked.
    """

    units: int
    llm_calls: int = 0
    tokens: int = 0
    dollars: float = 0.0
    role: Role | None = None
    evaluations: int = 0


@dataclass
class PlannedCall:
    """A call with its key, what it is called in words, what it is expected to do, and who needs it."""

    key: str
    call: StageCall
    label: str
    work: Work
    systems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Serving:
    """What stands behind a system when it serves.

    `models` holds the keys of the parts that are tuned, `generator` is the plain form of a packed generator;
    `reranked` is the run whose lists a reranker orders anew, None if there is no reranker.
    """

    dense: str | None = None
    bm25: str | None = None
    models: Mapping[Part, str] = field(default_factory=dict)
    generator: str | None = None
    reranked: str | None = None
    prompt: Literal["run", "few-shot", "none", "relevant"] | None = None

    @property
    def keys(self) -> list[str]:
        """Keys of what must have been made before the system can serve."""
        return [key for key in (self.dense, self.bm25, self.generator, *self.models.values()) if key]


@dataclass(frozen=True)
class SystemPlan:
    """A system and the keys of its results; None where the system has no such result."""

    name: str
    seed: int
    role: Literal["baseline", "candidate"]
    tunes: tuple[Part, ...]
    run: str | None
    answers: str | None
    dev_run: str | None
    serving: Serving
    scores_run: bool = True
    context: int | None = None
    """Passages shown to the generator, where this is what sets the row apart."""

    @property
    def models(self) -> Mapping[Part, str]:
        """Keys of the parts that are tuned."""
        return self.serving.models

    @property
    def label(self) -> str:
        return self.name if self.role == "baseline" else f"{self.name} (seed {self.seed})"

    @property
    def slug(self) -> str:
        """The label as part of a file name."""
        return self.name if self.role == "baseline" else f"{self.name}-{self.seed}"

    @property
    def identity(self) -> str:
        """System identity: the keys of its results hold all that makes them what they are."""
        return digest_of([self.run, self.answers])

    @property
    def goals(self) -> list[str]:
        return [key for key in (self.run, self.answers, self.dev_run) if key]


@dataclass
class Plan:
    """All calls, in an order in which inputs come first, and the systems that they add up to."""

    suite: Suite
    parts: Parts
    given: Given
    calls: dict[str, PlannedCall]
    systems: list[SystemPlan]
    judge: str | None = None
    """The plain form of a judge that comes packed and runs in process."""

    @property
    def sample(self) -> list[str]:
        """The questions that generators are asked."""
        return self.given.sample

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
