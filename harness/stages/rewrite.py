"""rewrite: queries, the turns before them and an LLM in, queries out that are understood alone.

The LLM runs in process, where it continues a few examples, or at an endpoint, where it is asked by the prompt
`rewrite`. A query without earlier turns is never given to it. A rewrite that is of no use is dropped, and the query
stays as the user wrote it: both are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.data.formats import write_jsonl
from harness.llm import Ask, Reply, services
from harness.llm.prompt_templates import messages, rough_tokens, shorten
from harness.models import generation
from harness.models.language_models import load_generator
from harness.stages import Asked, Inputs, SpeedRule, Stage, Step, Takes
from harness.stages.retrieve import silent
from harness.stages.shared import common, remote
from harness.stages.shared.rewriting import LONG, cleaned, fault, head, is_same, tail
from harness.stages.shared.turns import recent, written
from harness.suite.fields import Positive
from harness.suite.local_models import LocalModel
from harness.text import ENGLISH
from harness.values.records import Histories, Progress, Turn, Usage

REWRITES_FILE = "rewrites.jsonl"
ASKED, USED, SAME, DROPPED = "rewrites asked for", "rewritten", "left as they are", "rewrites dropped"
Answered = tuple[str, str | None]
"""What a model wrote of a query, and why there is nothing; None if there is."""


class RewriteSpec(remote.MayAskEndpoint):
    """`history_tokens` bounds the turns that a prompt shows, the oldest are dropped first.

    `max_new_tokens` and `local` are for a model in process. `language` says what the words of a query are.
    """

    model: str
    history_tokens: Positive = 512
    max_new_tokens: Positive = 64
    language: str = ENGLISH
    local: LocalModel = LocalModel()


class _Written(NamedTuple):
    """What was written of each query, by its id."""

    texts: Mapping[str, Answered]
    used: Usage
    failed: int = 0


def rewrite(spec: RewriteSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the queries, and beside them what was written of each that has earlier turns."""
    queries, histories = common.read_queries(inputs["queries"]), common.read_histories(inputs["history"])
    asked = {key: text for key, text in queries.items() if key in histories}
    ask = _in_process if spec.endpoint is None else _at_endpoint
    done = ask(spec, asked, histories, inputs, progress) if asked else _Written({}, Usage())
    rows, alone = [], dict(queries)
    for key, answered in done.texts.items():
        judged = _judged(answered, histories[key], asked[key], spec.language)
        alone[key] = judged.query
        rows.append({"query_id": key, "query": asked[key], "rewrite": judged.rewrite, "dropped": judged.dropped})
    common.write_queries(out, alone)
    write_jsonl(out / REWRITES_FILE, rows)
    dropped = Counter(row["dropped"] for row in rows if row["dropped"])
    same = sum(not row["dropped"] and is_same(row["rewrite"], row["query"]) for row in rows)
    notes = {ASKED: len(rows), USED: len(rows) - same - dropped.total(), SAME: same, DROPPED: dropped.total()}
    notes |= remote.reasons(DROPPED, dropped)
    used = done.used
    return used._replace(units=len(asked), notes={**notes, **used.notes}, failed=done.failed)


class _Judged(NamedTuple):
    """The query to search with, what a model wrote of it, and why that was dropped; empty if it was not."""

    query: str
    rewrite: str
    dropped: str


def _judged(answered: Answered, turns: Sequence[Turn], query: str, language: str) -> _Judged:
    """Judge what a model wrote of a query: one that is of no use, or says the same, leaves it as it is."""
    text, failure = answered
    found = cleaned(text)
    why = failure or fault(found, turns, query, language)
    return _Judged(query if why or is_same(found, query) else found, found, why or "")


def _in_process(
    spec: RewriteSpec, asked: Mapping[str, str], histories: Histories, inputs: Inputs, progress: Progress
) -> _Written:
    """Rewrites of a model that runs here: plain text that continues a few examples."""
    model = _LocalRewriter(spec, inputs)
    texts = model.write([(histories[key], text) for key, text in asked.items()], progress)
    found = {key: model.checked(one) for key, one in zip(asked, texts, strict=True)}
    tokens = sum(one.prompt_tokens for one in texts), sum(one.new_tokens for one in texts)
    return _Written(found, Usage(len(texts), len(texts), *tokens))


class _LocalRewriter:
    """A model that runs here, with the examples that it continues."""

    def __init__(self, spec: RewriteSpec, inputs: Inputs) -> None:
        self.spec = spec
        model, self.tokenizer = load_generator(common.model_folder(spec.model, inputs), local=spec.local)
        self._head = generation.PromptPrefix(model, self.tokenizer, head())
        window = generation.window_of(model)
        self._room = None if window is None else window - len(self._head.tokens) - spec.max_new_tokens

    def write(self, asked: Sequence[tuple[Sequence[Turn], str]], progress: Progress) -> list[generation.GeneratedText]:
        """Return what the model writes of each query with its turns: nothing where it has no room for the query."""
        tails = [self._tail(turns, text) for turns, text in asked]
        limit = self.spec.local.max_tokens_per_batch
        sampling = generation.Sampling(self.spec.max_new_tokens, one_line=True, max_tokens_per_batch=limit)
        texts = iter(generation.write(self._head, [text for text in tails if text], sampling, progress))
        return [next(texts) if text else generation.GeneratedText("", 0, 0) for text in tails]

    def _tail(self, turns: Sequence[Turn], query: str) -> str:
        """The end of a prompt, with as many turns as the window of the model has room for; empty without any room."""
        count, cut = generation.token_count(self.tokenizer), generation.token_cut(self.tokenizer)
        kept = recent(turns, self.spec.history_tokens, count, cut)
        while self._room is not None and count(tail(kept, query)) > self._room:
            if not kept:
                return ""
            kept = kept[1:]
        return tail(kept, query)

    def checked(self, one: generation.GeneratedText) -> Answered:
        """What was written; a text that the model did not end is too long."""
        return one.text, LONG if one.new_tokens >= self.spec.max_new_tokens else None


def _at_endpoint(
    spec: RewriteSpec, asked: Mapping[str, str], histories: Histories, inputs: Inputs, progress: Progress
) -> _Written:
    """Rewrites of an endpoint. Raises ValueError if more than half of the requests failed."""
    chat = services.chat("rewriter")
    asks = [_question(spec, histories[key], text) for key, text in asked.items()]
    replies = dict(zip(asked, chat.ask_all(asks, progress), strict=True))
    failed = Counter(reply.failure for reply in replies.values() if reply.failure)
    remote.check_failures("rewrites", failed, len(asks))
    texts = {key: (remote.sound(reply.text), reply.failure or None) for key, reply in replies.items()}
    return _Written(texts, remote.usage(len(asks), chat, {}), failed.total())


def _question(spec: RewriteSpec, turns: Sequence[Turn], text: str, repeat: int = 0) -> Ask:
    assert spec.endpoint is not None
    shown = written(recent(turns, spec.history_tokens, rough_tokens, shorten))
    return Ask(messages(spec.endpoint.prompts["rewrite"], question=text, conversation=shown), repeat=repeat)


def serve(spec: RewriteSpec, inputs: Inputs) -> Step:
    """Rewrite one query, as the stage does; one without earlier turns takes no time.

    At an endpoint every request is sent, none is answered from the cache. The text of the reply is the query to search
    with: as it was, where the rewrite is of no use or failed.
    """
    ask = _sent(spec) if spec.endpoint is not None else _written_here(spec, inputs)

    def step(asked: Asked) -> Reply:
        if not asked.turns:
            return Reply(asked.text)
        reply = ask(asked)
        answered = reply.text, reply.failure or None
        return reply._replace(text=_judged(answered, asked.turns, asked.text, spec.language).query)

    return step


def _sent(spec: RewriteSpec) -> Callable[[Asked], Reply]:
    chat = services.chat("rewriter")

    def ask(asked: Asked) -> Reply:
        (reply,) = chat.ask_all([_question(spec, asked.turns, asked.text, remote.fresh())], silent)
        return reply._replace(text=remote.sound(reply.text))

    return ask


def _written_here(spec: RewriteSpec, inputs: Inputs) -> Callable[[Asked], Reply]:
    model = _LocalRewriter(spec, inputs)

    def ask(asked: Asked) -> Reply:
        (one,) = model.write([(asked.turns, asked.text)], silent)
        text, failure = model.checked(one)
        return Reply(text, failure=failure or "", prompt_tokens=one.prompt_tokens, new_tokens=one.new_tokens)

    return ask


STAGE = Stage(
    run=rewrite,
    spec=RewriteSpec,
    version=1,
    takes=Takes(("queries", "history"), ("model",)),
    heavy=True,
    packages=("transformers", "torch"),
    rate=2.0,
    unit="queries",
    speed=SpeedRule(size=("history_tokens", "max_new_tokens")),
    role="rewriter",
    all_at_endpoint=True,
    serve=serve,
)
