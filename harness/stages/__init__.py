"""The stages, in the order of the pipeline, and how one is declared.

A stage is a plain function ``stage(spec, inputs, out, seed, progress) -> Usage``: it reads the input artifacts (folders
by name), writes into the folder `out`, and says what it used. It does no caching, chooses no paths and sets up no
logging. Beside it, its module declares in ``STAGE`` all that plans, estimates and the ledger have to know of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.llm.protocol import Reply
from harness.suite.fields import Spec
from harness.suite.roles import Role
from harness.values.records import Progress, Turn, Usage

Inputs = Mapping[str, Path]
StageFunction = Callable[[Any, Inputs, Path, int, Progress], Usage]
Hits = list[tuple[str, float]]


class Asked(NamedTuple):
    """One query as a step is asked it: its text, the turns before it, and the lists that the step reads.

    `lists` has one for each input that is a run of the same queries, by the name of the input. The list `run` of a step
    that answers holds the passages of the prompt.
    """

    text: str
    turns: Sequence[Turn] = ()
    lists: Mapping[str, Hits] = {}


class Ranked(NamedTuple):
    """A list that an endpoint took part in, and a reply without a text that says what it was paid."""

    hits: Hits
    reply: Reply


Step = Callable[[Asked], Hits | Reply | Ranked]
"""What is done for one query: a step that ranks makes a list, one that writes a text a reply."""
Serve = Callable[[Any, Inputs], Step]
ENCODING = ("sentence-transformers", "transformers", "torch")
TRAINING = (*ENCODING, "accelerate", "datasets")


ENCODED = 9_000
"""Tokens a second that an encoder of the size of the embedded one reads on two cores, up to its limit for each text."""


def setting(spec: Mapping[str, Any], dotted: str, default: Any = None) -> Any:
    """Return what a spec says under a dotted key; the default if it says nothing."""
    value: Any = spec
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return default if value is None else value


def encoding(spec: Mapping[str, Any]) -> float:
    """Guess how many passages an encoder reads a second, for a spec with its settings as ``retriever``."""
    return float(ENCODED / setting(spec, "retriever.max_length", 256))


class Takes(NamedTuple):
    """Names of the input artifacts of a stage; `numbered` is the stem of any number of them: run0, run1, ..."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    numbered: str = ""

    def problem(self, names: Collection[str]) -> str:
        """Return what is wrong with the names of inputs; an empty text if nothing is."""
        stem = self.numbered
        several = {name for name in names if stem and name.startswith(stem) and name.removeprefix(stem).isdecimal()}
        if unknown := sorted({*names} - {*self.required, *self.optional, *several}):
            known = [*self.required, *self.optional, *([f"{stem}0", f"{stem}1", "..."] if stem else [])]
            return f"takes no input {unknown[0]!r}; it takes {', '.join(known) or 'none'}"
        missing = [name for name in self.required if name not in names]
        missing += [f"{stem}0"] if stem and not several else []
        return f"needs the input {missing[0]!r}" if missing else ""


class SpeedRule(NamedTuple):
    """What the time of a call depends on beside its device and its models: dotted keys of its spec.

    Calls that differ in one of `kind` do another kind of work, and say nothing of each other's time. `size` says how
    large a unit of work is. `inputs` names, for an input, keys of the spec of the call that makes it. A stage that is
    `like_dev_evaluation` uses a tuned model as its dev evaluations do.
    """

    kind: tuple[str, ...] = ()
    size: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[str, ...]] = {}
    like_dev_evaluation: bool = False


ANY_SPEED = SpeedRule()


class MemoryGuess(NamedTuple):
    """A first guess at the peak memory of a call on a CPU, used until a store knows the peak of one like it.

    `libraries` is what it takes with the smallest model, in MB. Each byte of its models costs `models` bytes: weights
    in 32 bits, gradients, the state of the optimiser, activations. Each byte of its other inputs costs `data`. It is
    meant to be too high rather than too low: it is 1.2 to 4.1 times the peaks that calls with the embedded models had.
    """

    libraries: float = 1500.0
    models: float = 8.0
    data: float = 10.0

    def of(self, models_mb: float, data_mb: float) -> float:
        """Return the guess in MB, by the sizes of its models and of its other inputs on disk in MB."""
        return self.libraries + self.models * models_mb + self.data * data_mb


USES_MODELS, TRAINS_ADAPTER, TRAINS_ALL = MemoryGuess(), MemoryGuess(models=16.0), MemoryGuess(models=40.0)


def _no_more_packages(spec: Any, inputs: Collection[str]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The declaration of a stage. Raise `version` whenever a result may change, or a default of its spec.

    `packages` are distributions whose version enters the key; `more_packages` gives those that only some calls need, by
    their spec and the names of their inputs. `rate` is a first guess at units a second of the embedded models on two
    cores, a number or by the spec, used until the store knows better; `unit` says what is counted. `memory` is a guess
    of that kind at its memory. A `heavy` stage runs in a process of its own, and its result depends on the device.
    `role` is the one whose endpoint the stage may ask: it does where its spec has an `endpoint`. If it then does
    `all_at_endpoint`, neither device nor packages matter.

    A stage that takes part in serving declares how it does its work for one query at a time: `serve` opens what it
    needs and returns a step, which the latency probe times and a served system runs. It reads no input that belongs to
    queries: their texts, turns and lists come with each query. `runs` names the inputs that are runs of the same
    queries.
    """

    run: StageFunction
    spec: type[Spec]
    version: int
    takes: Takes
    heavy: bool
    packages: tuple[str, ...] = ()
    rate: float | Callable[[Mapping[str, Any]], float]
    unit: str
    memory: MemoryGuess = USES_MODELS
    speed: SpeedRule = ANY_SPEED
    role: Role | None = None
    all_at_endpoint: bool = False
    more_packages: Callable[[Any, Collection[str]], tuple[str, ...]] = _no_more_packages
    serve: Serve | None = None
    runs: tuple[str, ...] = ()

    def runs_of(self, inputs: Collection[str]) -> list[str]:
        """Return those of a call's inputs that are runs of the queries that it ranks."""
        return [name for name in inputs if name in self.runs or name.rstrip("0123456789") in self.runs]

    @property
    def function_path(self) -> str:
        """The function as ``module:name``, for another process."""
        return f"{self.run.__module__}:{self.run.__name__}"

    @property
    def spec_path(self) -> str:
        """The spec class as ``module:name``, for another process."""
        return f"{self.spec.__module__}:{self.spec.__name__}"

    def first_guess(self, spec: Mapping[str, Any]) -> float:
        """Return the guess at units a second for a call with this spec."""
        return self.rate(spec) if callable(self.rate) else self.rate

    def asks_endpoint(self, spec: Mapping[str, Any]) -> bool:
        """Whether a call with this spec asks a model that runs elsewhere."""
        return self.role is not None and bool(spec.get("endpoint"))

    def is_remote(self, spec: Mapping[str, Any]) -> bool:
        """Whether all work of a call with this spec is done elsewhere."""
        return self.all_at_endpoint and self.asks_endpoint(spec)


STAGES: dict[str, str] = {
    "convert": "harness.stages.convert",
    "chunk": "harness.stages.chunk",
    "locate": "harness.stages.locate",
    "pool": "harness.stages.pool",
    "synthesize": "harness.stages.synthesize",
    "extract": "harness.stages.extract",
    "sift": "harness.stages.sift",
    "mine": "harness.stages.mine",
    "label": "harness.stages.label",
    "instruct": "harness.stages.instruct",
    "tune_retriever": "harness.stages.tune_retriever",
    "tune_reranker": "harness.stages.tune_reranker",
    "tune_generator": "harness.stages.tune_generator",
    "concatenate": "harness.stages.concatenate",
    "rewrite": "harness.stages.rewrite",
    "index": "harness.stages.index",
    "build_index": "harness.stages.build_index",
    "retrieve": "harness.stages.retrieve",
    "fuse": "harness.stages.fuse",
    "rerank": "harness.stages.rerank",
    "weigh": "harness.stages.weigh",
    "blend": "harness.stages.blend",
    "substitute": "harness.stages.substitute",
    "project": "harness.stages.project",
    "answer": "harness.stages.answer",
    "external": "harness.stages.external",
}
"""The module of each stage, which is imported when it is needed."""


def load_stage(name: str) -> Stage:
    """Import the module of a stage and return what it declares."""
    stage: Stage = importlib.import_module(STAGES[name]).STAGE
    return stage
