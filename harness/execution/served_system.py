"""A system of a plan that answers questions which no dataset holds, one at a time.

It takes the steps that the latency probe times (see `Stage.serve`), each with what the steps before it made. So what it
finds and writes is what was measured. Must not know who asks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.errors import ConfigError, Problem
from harness.hashing import digest_of
from harness.llm import Reply
from harness.llm.services import Services, using
from harness.planning.graph import MAKES_QUERIES, Plan, SystemPlan
from harness.stages import Asked, Hits, Ranked, Step, load_stage
from harness.stages.shared import common
from harness.store import Store
from harness.values.passages import Span, span_of
from harness.values.records import Document, Turn

Part = Literal["rewrite", "search", "rerank", "answer"]
PARTS: tuple[Part, ...] = ("rewrite", "search", "rerank", "answer")
OF_QUERIES = ("queries", "history", "run", "contexts", "qrels", "references")
"""Inputs that belong to the queries of a dataset. Those of solved examples, such as `train_qrels`, are of none."""
RUN_AGAIN = "run the suite again"


class Found(NamedTuple):
    """A passage of the final ranking; `shown`: to the generator. `span` says what a chunk is a part of."""

    passage_id: str
    score: float
    title: str
    text: str
    shown: bool
    span: Span | None = None


class Served(NamedTuple):
    """What a system made of a question: passages, best first; a reply with the answer or with why there is none.

    `reply` is None if the system has no generator. `searched` is what was searched with, where earlier turns changed
    it, else the question. `milliseconds` has the parts that the system has.
    """

    passages: tuple[Found, ...]
    reply: Reply | None
    milliseconds: Mapping[Part, float]
    searched: str


class _Node(NamedTuple):
    """A call on the way of a query: its step, the calls that make its lists, and the one that makes its query."""

    key: str
    part: Part
    step: Step
    lists: Mapping[str, str]
    asked: str


@dataclass
class Opened:
    """Steps and corpora that are open, each once however many systems have it. `services` are what steps may ask."""

    store: Store
    services: Services | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    corpora: dict[str, dict[str, Document]] = field(default_factory=dict)

    def step(self, stage: str, spec: Mapping[str, Any], inputs: Mapping[str, str], names: Mapping[str, str]) -> Step:
        """Open a step. `inputs` are keys, `names` what they are called in words.

        Raises ConfigError if an artifact is not in the store, or if the step cannot be opened.
        """
        identity = digest_of([stage, spec, dict(inputs)])
        if identity not in self.steps:
            declared = load_stage(stage)
            if declared.serve is None:
                raise ConfigError(Problem("", f"the stage {stage} cannot serve single queries", "name another system"))
            folders = {name: self.folder(key, names.get(key, name)) for name, key in inputs.items()}
            try:
                with using(self.services):
                    self.steps[identity] = declared.serve(declared.spec.model_validate(spec), folders)
            except (ValueError, RuntimeError, OSError, ImportError) as error:
                raise ConfigError(Problem(stage, str(error))) from error
        return self.steps[identity]

    def corpus(self, key: str) -> Mapping[str, Document]:
        """Return the passages of a corpus."""
        if key not in self.corpora:
            self.corpora[key] = common.read_corpus(self.folder(key, "corpus"))
        return self.corpora[key]

    def folder(self, key: str, name: str) -> Path:
        """Return the folder of an artifact. Raises ConfigError if the store lacks it."""
        place = self.store.get(key)
        if place is None:
            raise ConfigError(Problem("", f"the artifact '{name}' is not in the store any more", RUN_AGAIN))
        return place


class ServedSystem:
    """A system whose models and indexes are loaded. One thread at a time may ask it."""

    def __init__(self, plan: Plan, system: SystemPlan, opened: Opened) -> None:
        """Raises ConfigError if it has no ranking, or if something cannot be opened; see `Opened.step`."""
        if system.serving.prompt in ("none", "relevant") or not system.serving.path:
            what = f"{system.label} searches nothing, so nobody would serve it"
            raise ConfigError(Problem("", what, "name a system that retrieves passages"))
        self.label, self._chunked = system.label, system.settings.chunking is not None
        self._plan, self._opened = plan, opened
        self._names = {key: name for name, key in plan.artifacts.keys.items()}
        self._names |= {key: planned.label for key, planned in plan.calls.items()}
        self._nodes = list(self._walked(system.serving.path[-1], {}))
        corpus = self._corpus_key()
        self._documents = opened.corpus(corpus)
        self._answer, self._context = self._answering(system, corpus)

    @property
    def answers(self) -> bool:
        """Whether it has a generator."""
        return self._answer is not None

    @property
    def passages(self) -> int:
        """How many passages it searches."""
        return len(self._documents)

    def ask(self, text: str, turns: Sequence[Turn] = (), most: int = 10) -> Served:
        """Answer a question after the turns before it; at least `most` passages are returned, if so many are found.

        Raises ValueError if a prompt is longer than a model reads, LlmStopped if an endpoint is no longer asked.
        """
        spent: dict[Part, float] = {}
        texts, lists = dict[str, str](), dict[str, Hits]()
        for node in self._nodes:
            asked = Asked(
                texts.get(node.asked, text), turns if node.part == "rewrite" else (),
                {name: lists[key] for name, key in node.lists.items()},
            )  # fmt: skip
            with _clock(spent, node.part):
                made = node.step(asked)
            if isinstance(made, Ranked):
                made = made.hits
            if isinstance(made, Reply):
                texts[node.key] = made.text
            else:
                lists[node.key] = made
        hits = lists[self._nodes[-1].key]
        reply = None
        if self._answer is not None:
            with _clock(spent, "answer"):
                answered = self._answer(Asked(text, turns, {"run": hits[: self._context]}))
            assert isinstance(answered, Reply)
            reply = answered
        passages = [self._found(rank, *hit) for rank, hit in enumerate(hits[: max(most, self._context)], start=1)]
        times = {part: spent[part] for part in PARTS if part in spent}
        return Served(tuple(passages), reply, times, next(iter(texts.values()), text))

    def _found(self, rank: int, passage_id: str, score: float) -> Found:
        document = self._documents[passage_id]
        shown = self._answer is not None and rank <= self._context
        span = span_of(passage_id) if self._chunked else None
        return Found(passage_id, float(score), document.title, document.text, shown, span)

    def _walked(self, key: str, known: dict[str, None]) -> Iterator[_Node]:
        """Yield the calls that a query goes through, the first stage first, each once."""
        if key in known:
            return
        known[key] = None
        call = self._plan.calls[key].call
        lists = {name: call.inputs[name] for name in load_stage(call.stage).runs_of(call.inputs)}
        asked = call.inputs.get("queries", "")
        made = self._plan.calls.get(asked)
        asked = asked if made is not None and made.call.stage in MAKES_QUERIES else ""
        for before in [*([asked] if asked else []), *lists.values()]:
            yield from self._walked(before, known)
        inputs = {name: item for name, item in call.inputs.items() if name not in (*lists, *OF_QUERIES)}
        step = self._opened.step(call.stage, call.spec, inputs, self._names)
        yield _Node(key, _part(call.stage, call.spec), step, lists, asked)

    def _corpus_key(self) -> str:
        """The key of the passages that are searched."""
        calls = self._plan.calls
        index = next(
            calls[calls[node.key].call.inputs["index"]].call for node in self._nodes
            if "index" in calls[node.key].call.inputs
        )  # fmt: skip
        return index.inputs["corpus"]

    def _answering(self, system: SystemPlan, corpus: str) -> tuple[Step | None, int]:
        """The step that answers, and how many passages it is shown; None and 0 without a generator."""
        if system.answers is None:
            return None, 0
        call = self._plan.calls[system.answers].call
        inputs = {name: key for name, key in call.inputs.items() if name not in OF_QUERIES} | {"corpus": corpus}
        spec = dict(call.spec)
        generator = self._plan.suite.generator_of(system.settings)
        if generator is not None:
            # Where no query of the dataset has earlier turns, the call does not say how many would be shown.
            spec["generator"] = {**spec["generator"], "history_tokens": generator.history_tokens}
        return self._opened.step(call.stage, spec, inputs, self._names), int(spec["context"])


def _part(stage: str, spec: Mapping[str, Any]) -> Part:
    if stage in MAKES_QUERIES:
        return "rewrite"
    return "rerank" if stage == "rerank" or (stage == "blend" and spec["pool"] == "first") else "search"


@contextmanager
def _clock(spent: dict[Part, float], part: Part) -> Iterator[None]:
    """Add the milliseconds that pass inside to a part."""
    started = time.perf_counter()
    yield
    spent[part] = spent.get(part, 0.0) + (time.perf_counter() - started) * 1000
