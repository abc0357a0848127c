"""The probe: times one part of a pipeline on single queries, after a warm-up.

It times the step that a served system takes (see `Stage.serve`, `served_system`). The latency of a system is the sum of
its parts, query by query. It is a measurement of this machine, not a score. A fixed reference is timed along with it:
if that moved, a neighbour was busy, and the queries are timed again; times that stay noisy say so. For a generator at
an endpoint the probe times requests, once and without a reference. None of them is answered from the cache, so they are
paid for.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.data.formats import read_run
from harness.execution.reference import Disturbance, Reference
from harness.llm import Reply, Spent
from harness.stages import Asked, Inputs, Ranked, Stage, Step, answer, load_stage
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.suite.fields import Spec
from harness.values.records import Progress, Usage

PROBE_VERSION = 7
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

    Of work that was done here, `reference.json` says how much it was disturbed (see `Disturbance`), after how many
    attempts.
    """
    stage = load_stage(spec.stage)
    assert stage.serve is not None
    settings = stage.spec.model_validate(spec.spec) if spec.reply is None else spec.reply
    queries = _asked(spec, stage, inputs)
    asks = stage.role if getattr(settings, "endpoint", None) is not None else None
    paid = _Paid(stage.serve(settings, inputs), asks)
    asked = [queries[number % len(queries)] for number in range(spec.queries)]
    if asks:
        times = _timed(paid, asked, spec.every, progress)
    else:
        times, reference = _quietly(paid, asked, spec.every, progress)
        (out / REFERENCE_FILE).write_text(json.dumps(reference), encoding="utf-8")
    (out / TIMES_FILE).write_text(json.dumps(times), encoding="utf-8")
    return paid.usage(len(times))


def is_noisy(folder: Path) -> bool:
    """Return whether a probe whose files lie in a folder was disturbed; of requests to an endpoint nothing is known."""
    path = folder / REFERENCE_FILE
    if not path.is_file():
        return False
    told = json.loads(path.read_text(encoding="utf-8"))
    return Disturbance(told["moved"], told["waited"]).level > 1


def _asked(spec: Probe, stage: Stage, inputs: Inputs) -> list[Asked]:
    """The queries as the step is asked them, with the lists that the stages before it made, or the passages to show."""
    queries = common.read_queries(inputs["queries"])
    histories = common.read_histories(inputs["history"]) if "history" in inputs else {}
    if spec.reply is None:
        runs = {name: read_run(inputs[name] / RUN_FILE, escaped=True) for name in stage.runs_of(inputs)}
    else:
        contexts = answer.choose_contexts(spec.reply, queries, inputs)
        runs = {"run": {key: [(doc_id, 0.0) for doc_id in context] for key, context in contexts.items()}}
    return [
        Asked(text, histories.get(key, ()), {name: run.get(key, []) for name, run in runs.items()})
        for key, text in queries.items()
    ]


class _Paid:
    """A step, and what it was paid for: one that asks an endpoint returns its replies.

    `asks` is the role whose endpoint is asked, if one is. Raises ValueError if that does not answer.
    """

    def __init__(self, step: Step, asks: str | None) -> None:
        self.step, self.asks, self.steps, self.spent = step, asks, 0, Spent()

    def __call__(self, asked: Asked) -> None:
        made = self.step(asked)
        reply = made.reply if isinstance(made, Ranked) else made
        self.steps += 1
        if self.asks and isinstance(reply, Reply):
            if reply.failure:
                raise ValueError(f"the {self.asks} did not answer: {reply.failure}")
            self.spent = self.spent.plus(reply)

    def usage(self, timed: int) -> Usage:
        """What all steps used; the notes say how many they were, if any asked an endpoint."""
        spent = self.spent
        notes = {STEPS: self.steps} if spent.requests else {}
        tokens = spent.prompt_tokens, spent.new_tokens
        return Usage(timed, spent.requests, *tokens, notes, dollars=spent.dollars)


def _quietly(
    step: _Paid, asked: Sequence[Asked], every: bool, progress: Progress
) -> tuple[list[float], dict[str, float]]:
    """Return the times of the attempt that was disturbed least, how much it was, and how many attempts there were.

    What asks an endpoint is not tried again.
    """
    tried: list[tuple[Disturbance, list[float]]] = []
    while len(tried) < ATTEMPTS and not any(one.level <= 1 for one, _ in tried):
        reference = Reference()
        times = _timed(step, asked, every, progress, reference)
        tried.append((reference.disturbance, times))
        if step.spent.requests:
            break
    quietest, times = min(tried, key=lambda one: one[0].level)
    shares = {name: round(share, 4) for name, share in quietest._asdict().items()}
    return times, {**shares, "attempts": len(tried)}


def _timed(
    step: Callable[[Asked], object],
    asked: Sequence[Asked],
    every: bool,
    progress: Progress,
    reference: Reference | None = None,
) -> list[float]:
    """Return the milliseconds of a step for each query, after a warm-up.

    Unless `every` query is wanted, it ends when those so far took long and determine the median well enough.
    """
    for query in asked[:WARM_UP]:
        step(query)
    if reference is not None:
        # Not earlier: the first steps of a process set up libraries that the reference uses, too.
        reference.at_end()
    times = []
    for number, query in enumerate(asked, start=1):
        started = time.perf_counter()
        step(query)
        times.append((time.perf_counter() - started) * 1000)
        progress(number, len(asked))
        if reference is not None:
            reference.between()
        if not every and number >= FEWEST and sum(times) >= 1000 * LONG_SECONDS and median_is_known(times):
            progress(len(asked), len(asked))
            break
    if reference is not None:
        reference.at_end()
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
