"""The probe: times one part of a pipeline on single queries, after a warm-up.

The latency of a system is the sum of its parts, query by query. It is a measurement of this machine, not a score. A
fixed reference is timed along with it: if that moved, a neighbour was busy, and the queries are timed again; times that
stay noisy say so. For a generator at an endpoint the probe times requests, once and without a reference. None of them
is answered from the cache, so they are paid for.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.execution.reference import MOVED, Reference
from harness.llm import Chat, Reply, Spent, services
from harness.models.generation import Sampling
from harness.stages import Inputs, Step, answer, load_stage
from harness.stages.shared import common, remote
from harness.suite.fields import Spec
from harness.suite.pipeline import Generator
from harness.values.records import Progress, Usage

PROBE_VERSION = 5
WARM_UP = 2
FEWEST, LONG_SECONDS, PRECISION = 10, 5.0, 0.05
"""A probe that has timed so many queries for so long ends when its median is known to this share of it."""
ATTEMPTS = 3
TIMES_FILE, REFERENCE_FILE = "times.json", "reference.json"
STEPS = "queries served"


class Probe(Spec):
    """The stage that is timed with its spec, and on how many queries. `machine` is its class: each has its own times.

    The stage is one that ranks (see `Stage.serve`), or ``answer``, whose spec is `reply`. With `every`, all queries are
    timed, however well the median is known: something is judged by the p95.
    """

    stage: str
    spec: dict[str, Any] = Field(default_factory=dict)
    queries: int
    machine: str
    every: bool = False
    reply: answer.AnswerSpec | None = None


def probe(spec: Probe, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write `times.json`: milliseconds of at most `queries` queries, which repeat if there are fewer.

    Of work that was done here, `reference.json` says by what share the reference moved meanwhile, after how many
    attempts.
    """
    texts = list(common.read_queries(inputs["queries"]).items())
    asked = [texts[number % len(texts)] for number in range(spec.queries)]
    if spec.reply is not None and spec.reply.endpoint is not None:
        chat = services.chat("generator")
        with _endpoint(spec, chat, inputs, seed) as step:
            times = _timed(step, asked, spec.every, progress)
        used = remote.usage(len(times), chat, {})
    else:
        paid = _Paid(_generator(spec, inputs, seed) if spec.reply is not None else _served(spec, inputs))
        times, reference = _quietly(paid, asked, spec.every, progress)
        (out / REFERENCE_FILE).write_text(json.dumps(reference), encoding="utf-8")
        used = paid.usage(len(times))
    (out / TIMES_FILE).write_text(json.dumps(times), encoding="utf-8")
    return used


class _Paid:
    """A step, and what it was paid for: one that ranks may ask an endpoint first, and then returns its replies."""

    def __init__(self, step: Step) -> None:
        self.step, self.steps, self.spent = step, 0, Spent()

    def __call__(self, query_id: str, text: str) -> None:
        reply = self.step(query_id, text)
        self.steps += 1
        if isinstance(reply, Reply):
            self.spent = self.spent.plus(reply)

    def usage(self, timed: int) -> Usage:
        """What all steps used; the notes say how many they were, if any asked an endpoint."""
        spent = self.spent
        notes = {STEPS: self.steps} if spent.requests else {}
        tokens = spent.prompt_tokens, spent.new_tokens
        return Usage(timed, spent.requests, *tokens, notes, dollars=spent.dollars)


def _quietly(
    step: _Paid, asked: Sequence[tuple[str, str]], every: bool, progress: Progress
) -> tuple[list[float], dict[str, float]]:
    """Return the times of the attempt during which the reference moved least, by how much, and how many there were.

    What asks an endpoint is not tried again.
    """
    tried: list[tuple[float, list[float]]] = []
    while len(tried) < ATTEMPTS and not any(share <= MOVED for share, _ in tried):
        reference = Reference()
        reference.at_end()
        times = _timed(step, asked, every, progress, reference)
        reference.at_end()
        tried.append((reference.moved, times))
        if step.spent.requests:
            break
    share, times = min(tried, key=lambda one: one[0])
    return times, {"moved": round(share, 4), "attempts": len(tried)}


def _timed(
    step: Step,
    asked: Sequence[tuple[str, str]],
    every: bool,
    progress: Progress,
    reference: Reference | None = None,
) -> list[float]:
    """Return the milliseconds of a step for each query, after a warm-up.

    Unless `every` query is wanted, it ends when those so far took long and determine the median well enough.
    """
    for query_id, text in asked[:WARM_UP]:
        step(query_id, text)
    times = []
    for number, (query_id, text) in enumerate(asked, start=1):
        started = time.perf_counter()
        step(query_id, text)
        times.append((time.perf_counter() - started) * 1000)
        progress(number, len(asked))
        if reference is not None:
            reference.between()
        if not every and number >= FEWEST and sum(times) >= 1000 * LONG_SECONDS and median_is_known(times):
            progress(len(asked), len(asked))
            break
    return times


def median_is_known(times: Sequence[float]) -> bool:
    """Return whether the 95 % interval of the median lies within `PRECISION` of it on both sides.

    Its bounds are order statistics (David and Nagaraja, Order Statistics, section 7.1), so the times may have any
    distribution.
    """
    ordered, count = sorted(times), len(times)
    rank, tail = 0, 0.5**count
    while tail <= 0.025:
        rank += 1
        tail += math.comb(count, rank) * 0.5**count
    if rank == 0:
        return False
    median = quantile(times, 0.5)
    low, high = ordered[rank - 1], ordered[count - rank]
    return max(median - low, high - median) <= PRECISION * median


def _served(spec: Probe, inputs: Inputs) -> Step:
    """Open a stage that ranks, to be asked one query at a time."""
    stage = load_stage(spec.stage)
    assert stage.serve is not None
    return stage.serve(stage.spec.model_validate(spec.spec), inputs)


def _generator(spec: Probe, inputs: Inputs, seed: int) -> Step:
    """Write one answer at a time. The common prompt prefix is cached, as a server would cache it."""
    assert spec.reply is not None
    rule: Generator = spec.reply.generator
    queries = common.read_queries(inputs["queries"])
    documents = common.read_corpus(inputs["corpus"])
    contexts = answer.choose_contexts(spec.reply, queries, inputs)
    chat, _ = answer.conversations(spec.reply, queries, documents, contexts, inputs, seed)
    places = {query_id: place for place, query_id in enumerate(queries)}
    sampling = Sampling(rule.max_new_tokens, 1)
    return lambda query_id, text: chat.write(sampling, places=[places[query_id]])


@contextmanager
def _endpoint(spec: Probe, chat: Chat, inputs: Inputs, seed: int) -> Iterator[Step]:
    """Send one request at a time to the endpoint, in one event loop, so that the connection is kept open.

    Every request has its own repeat number, taken from the clock, so none is in the cache. A request that fails ends
    the probe with ValueError.
    """
    assert spec.reply is not None
    queries = common.read_queries(inputs["queries"])
    contexts = answer.choose_contexts(spec.reply, queries, inputs)
    prompts = answer.EndpointPrompts(spec.reply, common.read_corpus(inputs["corpus"]), inputs, seed)
    with asyncio.Runner() as runner:

        def step(query_id: str, text: str) -> Any:
            # In microseconds, below 2**30, as it may become part of a seed of 32 bits.
            repeat = time.time_ns() // 1000 % 2**30
            reply = runner.run(chat.ask(prompts.ask(text, contexts[query_id], repeat, query_id)))
            if reply.failure:
                raise ValueError(f"the generator did not answer: {reply.failure}")

        yield step


def quantile(times: Sequence[float], share: float) -> float:
    """Return the quantile of times by nearest rank: the smallest that at least this share of them do not exceed."""
    import numpy as np

    return float(np.quantile(times, share, method="inverted_cdf"))


def quantile_range(times: Sequence[float], share: float) -> tuple[float, float | None] | None:
    """Return a 90 % interval of the quantile, whatever the distribution.

    Its upper bound is None if so few times cannot give one (fewer than 59 for the p95), all of it if they give neither.

    Its bounds are order statistics (David and Nagaraja, Order Statistics, section 7.1): the number of times below the
    true quantile is binomial.
    """
    from scipy.stats import binom

    ordered, count = sorted(times), len(times)
    low, high = int(binom.ppf(0.05, count, share)), int(binom.ppf(0.95, count, share)) + 1
    if low < 1:
        return None
    return ordered[low - 1], ordered[high - 1] if high <= count else None
