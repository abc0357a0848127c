"""The graph as a value: planned calls, the systems they make up, and what a goal needs. No key is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from harness.hashing import digest_of
from harness.planning.contexts import GenerationSample
from harness.planning.dataset_artifacts import DatasetArtifacts
from harness.stages import load_stage
from harness.stages.shared.dev_evaluation import DEV_INPUTS
from harness.suite.pipeline import Pipeline
from harness.suite.recipes import Part
from harness.suite.roles import Role
from harness.suite.spec import Suite
from harness.values.records import StageCall
from harness.values.systems import System

Prompt = Literal["run", "few-shot", "none", "relevant"]
"""What a generator is shown: passages of a run, those and solved examples, none, or the relevant passages."""


MAKES_QUERIES = ("rewrite", "concatenate")
"""Stages whose output is searched with in the place of the queries of the dataset."""


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
    """Keys of what a system needs when it serves queries; empty where it has no such part.

    `path` are the calls that a query goes through, the first stage first, and `artifacts` what these read beside runs:
    indexes and weights. `pool` is the run that a reranker orders, `models` are the tuned parts, and `generator` is the
    plain form of a GGUF generator.
    """

    path: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    pool: str | None = None
    models: Mapping[Part, str] = field(default_factory=dict)
    generator: str | None = None
    prompt: Prompt | None = None

    @property
    def keys(self) -> list[str]:
        """Keys of the artifacts that must exist before the system can serve."""
        generator = [self.generator] if self.generator else []
        return list(dict.fromkeys([*self.artifacts, *generator, *self.models.values()]))


class IndexRuns(NamedTuple):
    """Keys of the runs that show what an index loses: exact in float32, exact in the stored precision, by the index.

    `passages` are runs of what is indexed, `scored` what is scored of each; `built` is the index.
    """

    passages: tuple[str, ...]
    scored: tuple[str, ...]
    built: str


def serving_path(calls: Mapping[str, PlannedCall], run: str | None) -> tuple[list[str], list[str], str | None]:
    """Return the calls that make a run out of a query, the first stage first; what they read; what a reranker orders.

    Each stage declares which of its inputs are runs of the same queries. A rewrite comes before the first stage. What
    joins turns is no part of the path, as it takes no time.
    """
    path, artifacts, pools = list[str](), list[str](), list[str]()

    def walk(key: str) -> None:
        call = calls[key].call
        runs = load_stage(call.stage).runs_of(call.inputs)
        asked = call.inputs.get("queries", "")
        made = asked in calls and calls[asked].call.stage in MAKES_QUERIES
        for name in ["queries"] * made + runs:
            if call.inputs[name] in calls:
                walk(call.inputs[name])
        if key not in path and call.stage != "concatenate":
            path.append(key)
        passed = {*runs, *(["queries"] if made else [])}
        artifacts.extend(item for name, item in call.inputs.items() if name not in passed and item in calls)
        pools.extend(call.inputs["run"] for _ in runs if call.stage == "rerank")

    if run is not None and run in calls:
        walk(run)
    return path, list(dict.fromkeys(artifacts)), pools[-1] if pools else None


@dataclass(frozen=True)
class SystemPlan(System):
    """A system and the keys of its results; None where the system has no such result."""

    tunes: tuple[Part, ...]
    run: str | None
    answers: str | None
    dev_run: str | None
    serving: ServingKeys
    settings: Pipeline
    scores_run: bool = True
    index_runs: IndexRuns | None = None

    @property
    def compared(self) -> list[str]:
        """Keys of runs that are compared with those of the system; it does not fail with them."""
        return [*self.index_runs.passages, *self.index_runs.scored] if self.index_runs else []

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
