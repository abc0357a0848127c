"""How long a probe lasts: until its median is known, and never for more queries than asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pocket
import pytest

from harness.execution import probe
from harness.execution.latency import Latencies
from harness.execution.making import no_display
from harness.execution.probe import FEWEST, Probe, median_is_known
from harness.planning.plan import build_plan
from harness.store import FolderStore


def timed(monkeypatch: pytest.MonkeyPatch, seconds: list[float], every: bool = False) -> int:
    """The number of queries that are timed if they take so long; the warm-up does not count."""
    clock = _clock(seconds)
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(clock))
    asked = [(f"q{number}", "text") for number in range(len(seconds))]
    done: list[tuple[int, int]] = []
    times = probe._timed(lambda *_: None, asked, every, lambda *at: done.append(at))
    assert done[-1] == (len(seconds), len(seconds))
    return len(times)


def _clock(seconds: list[float]) -> Iterator[float]:
    now = 0.0
    for number in count():
        yield now
        now += seconds[number // 2] if number % 2 == 0 else 0.0


def test_slow_and_alike_queries_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(monkeypatch, [1.0] * 30) == FEWEST


def test_every_query_is_timed_where_the_p95_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(monkeypatch, [1.0] * 30, every=True) == 30


def test_fast_queries_are_all_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(monkeypatch, [0.01] * 30) == 30


def test_queries_that_differ_are_all_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(monkeypatch, [1.0, 2.0] * 15) == 30


def test_fewer_queries_than_are_needed_are_all_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(monkeypatch, [9.0] * 4) == 4


def test_the_interval_holds_the_median_of_any_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a median that is said to be known to 5 %, the true one is within 5 % in nearly all cases."""
    rng = random.Random(0)
    samples = [[rng.lognormvariate(0, 0.08) for _ in range(25)] for _ in range(2000)]
    known = [sample for sample in samples if median_is_known(sample)]
    assert len(known) > 100
    assert sum(abs(sorted(sample)[12] - 1) <= 0.05 for sample in known) / len(known) > 0.95
    assert not median_is_known([1.0] * 5)


@pytest.mark.parametrize(
    ("changes", "every"),
    [
        ({}, False),
        ({"gates": [{"probe": "p50_ms", "relative": 0.5}]}, False),
        ({"gates": [{"probe": "p95_ms", "relative": 0.5}]}, True),
        ({"limits": {"max_p95_ms": 900}}, True),
    ],
)
def test_a_bound_on_the_p95_has_all_queries_timed(
    changes: dict[str, Any], every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    asked: list[bool] = []

    def time_nothing(self: Latencies, name: str, spec: dict[str, Any], inputs: Any) -> str:
        asked.append(Probe.model_validate(spec).every)
        self.times[name] = [1.0]
        return name

    monkeypatch.setattr(Latencies, "_time", time_nothing)
    latencies = Latencies(plan, FolderStore(tmp_path), pocket.Pretender(), no_display)
    for system in plan.systems:
        latencies.measure(system)
    assert asked
    assert set(asked) == {every}
