"""Small values that pass between modules by the thousand: documents, queries, answers, scores, stage calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Run = dict[str, list[tuple[str, float]]]
"""Ranked lists: query_id -> [(doc_id, score)], best first."""
Qrels = dict[str, dict[str, int]]
"""Judgements: query_id -> {doc_id: relevance}."""

ScoreColumn = Mapping[str, float | None]
"""Values of one measure by query, over the measure's population; None is a failure."""
SystemKey = tuple[str, int]
"""Name and seed of a system."""

Progress = Callable[[int, int], None]
"""Called with the number of units that are done and the number of all."""

Status = Literal["ok", "failed", "not_applicable"]


class Document(NamedTuple):
    doc_id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        """Title and text, as every retriever and generator sees the document; the title alone if that is all."""
        if not self.text.strip():
            return self.title
        return f"{self.title}\n{self.text}" if self.title else self.text


class Turn(NamedTuple):
    """What somebody said in a conversation before the query."""

    role: Literal["user", "assistant"]
    content: str


class Query(NamedTuple):
    """A query; `history` are the turns before it, the oldest first."""

    query_id: str
    text: str
    group: str
    metadata: Mapping[str, Any] = {}
    history: tuple[Turn, ...] = ()


Histories = Mapping[str, Sequence[Turn]]
"""The turns before each query that has some, by query_id, the oldest first."""


class Reference(NamedTuple):
    """Reference answers. `answers` is empty for a question that the corpus does not answer."""

    query_id: str
    answers: tuple[str, ...]
    answerable: bool = True
    source_passages: tuple[str, ...] = ()


class Pair(NamedTuple):
    """A training query and its positive document; `origin` is ``synthetic``, ``judged`` or ``structure``.

    `passage` is what training shows instead of the document's content; empty for the content itself.
    """

    query: str
    doc_id: str
    kind: str
    origin: str
    query_id: str = ""
    passage: str = ""


class Answer(NamedTuple):
    """The answer of a generator to one query from the documents `context`; `new_tokens` includes removed thoughts.

    `cut`: it reached the limit of tokens. `thought`: a thought was removed from it.
    """

    query_id: str
    text: str
    prompt_tokens: int
    new_tokens: int
    context: tuple[str, ...] = ()
    cut: bool = False
    thought: bool = False


class Score(NamedTuple):
    """The score of one query on one measure, or the reason why there is none.

    `spread` is the standard deviation between repeated judgements, where an LLM judged more than once.
    """

    system: str
    seed: int
    split: str
    query_id: str
    group: str
    measure: str
    value: float | None
    status: Status = "ok"
    reason: str = ""
    spread: float | None = None


class ScoreTable(NamedTuple):
    """Scores of one system on one split: a column for each measure, and the group of each query that any column has."""

    values: Mapping[str, ScoreColumn]
    groups: Mapping[str, str]

    def column(self, measure: object) -> ScoreColumn:
        """The values of a measure by query; empty if the system has none."""
        return self.values.get(str(measure), {})


def table_of(rows: Iterable[Score], split: str) -> ScoreTable:
    """The rows of one system on one split as a table; queries that a measure does not apply to are left out."""
    values: dict[str, dict[str, float | None]] = {}
    groups: dict[str, str] = {}
    for row in rows:
        if row.split == split and row.status != "not_applicable":
            values.setdefault(row.measure, {})[row.query_id] = row.value
            groups[row.query_id] = row.group
    return ScoreTable(values, groups)


DEV_EVALUATION_SECONDS = "seconds of dev evaluation"
FOUND = "found on the server"
"""The note on an index that its server had already; without units if nobody knows what it took."""
"""The note of a training on how long it evaluated on dev instead of training."""


class Usage(NamedTuple):
    """What a stage call used, counted by the stage itself. `units` is its own measure of work (texts, steps).

    `dollars` is the price of requests to an endpoint; machine time is priced elsewhere. `failed` counts what is missing
    from the artifact and may succeed if it is requested again. `before` counts the seconds that earlier attempts have
    spent on work which is in the artifact. `known` is the share of answers that a cache held: they took no time, but
    their tokens and dollars are counted.
    """

    units: int = 0
    llm_calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    notes: Mapping[str, Any] = {}
    dollars: float = 0.0
    failed: int = 0
    before: float = 0.0
    known: float = 0.0


class CallFacts(NamedTuple):
    """What a stage call or a set of judgements cost, as it is kept in the manifest of its artifact.

    `speed` is the speed class of a stage call, `bytes` the size of its artifact on disk, `role` that of the LLM asked.
    `share` is that of the machine which the call had while others ran beside it, 1 if it had all of it. `call` is the
    call itself as far as it is no default: what the key was made of.
    """

    stage: str
    label: str
    seconds: float
    device: str
    usage: Usage
    peak_memory_mb: float = 0.0
    bytes: int = 0
    role: str = ""
    speed: tuple[str | bool, ...] = ()
    share: float = 1.0
    call: Mapping[str, Any] = {}

    def as_facts(self) -> dict[str, Any]:
        """The facts as one flat object of JSON values: with the fields of `usage`, its dollars as `llm_dollars`."""
        facts = {**self._asdict(), **self.usage._asdict(), "llm_dollars": self.usage.dollars}
        facts |= {"notes": dict(self.usage.notes), "speed": list(self.speed)}
        optional = ("speed", "role", "call", "before", "known")
        without = {"usage", "dollars"} | {name for name in optional if not facts[name]}
        without |= {"share"} if self.share == 1.0 else set()
        return {name: value for name, value in facts.items() if name not in without}


@dataclass(frozen=True)
class StageCall:
    """A step to be done: everything that can change its result, and nothing else.

    `inputs` maps the name of an input to the key of the artifact; `models` maps a model name in the spec to the digest
    of its content; `packages` maps the distributions that the stage declares to their versions.
    """

    stage: str
    version: int
    spec: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"
    models: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
