"""A neighbour that keeps the machine busy during a probe is noticed, and its times are not gated."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import outcomes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.execution import probe, reference
from harness.execution.reference import AT_ENDS, MOVED, WAITED, CoreUse, Disturbance, moved
from harness.gates.probe_gates import NOISY, judge_probe
from harness.report.content import costs
from harness.report.render.markdown import render_markdown
from harness.report.view import view
from harness.stages import Asked
from harness.suite.bounds import Gate

BLOCK = st.lists(st.floats(0.99, 1.01), min_size=10, max_size=40)


@given(quiet=BLOCK, busy=BLOCK, slower=st.floats(1.2, 4))
def test_a_neighbour_during_a_part_of_a_probe_is_noticed(quiet: list[float], busy: list[float], slower: float) -> None:
    assert moved(quiet + busy) < MOVED
    loaded = [one * slower for one in busy]
    if len(busy) >= len(quiet):
        assert moved(quiet + loaded) > MOVED
        assert moved(loaded + quiet) > MOVED


@given(times=BLOCK, slow=st.integers(0, 9))
def test_one_slow_reference_moves_nothing(times: list[float], slow: int) -> None:
    times[slow] *= 20
    assert moved(times) < MOVED


def test_nothing_is_known_of_no_reference() -> None:
    assert moved([]) == 0.0


class Scripted:
    """A reference whose disturbance is told beforehand."""

    def __init__(self, shares: list[Disturbance]) -> None:
        self.shares, self.made = shares, 0

    def __call__(self) -> Any:
        share = self.shares[self.made]
        self.made += 1

        class One:
            disturbance = share

            def at_end(self) -> None: ...

            def between(self) -> None: ...

        return One()


@pytest.mark.parametrize(
    ("shares", "attempts", "kept"),
    [
        ([(0.01, 0.0)], 1, (0.01, 0.0)),
        ([(0.5, 0.0), (0.02, 0.0)], 2, (0.02, 0.0)),
        ([(0.02, 0.2), (0.03, 0.04)], 2, (0.03, 0.04)),
        ([(0.5, 0.0), (0.3, 0.0), (0.4, 0.1)], 3, (0.3, 0.0)),
    ],
)
def test_a_noisy_probe_is_tried_again_and_the_quietest_counts(
    shares: list[tuple[float, float]], attempts: int, kept: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = Scripted([Disturbance(*one) for one in shares])
    monkeypatch.setattr(probe, "Reference", scripted)
    step = probe._Paid(lambda asked: [], None)
    times, told = probe._quietly(step, [Asked("text")] * 12, True, lambda done, total: None)
    assert told == {"moved": kept[0], "waited": kept[1], "attempts": attempts}
    assert scripted.made == attempts
    assert len(times) == 12


def test_the_reference_is_timed_at_both_ends_and_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "EVERY_SECONDS", 0.0)
    timed = reference.Reference()
    timed.at_end()
    timed.between()
    timed.at_end()
    assert len(timed.times) == 2 * AT_ENDS + 1
    assert all(one > 0 for one in timed.times)
    monkeypatch.setattr(reference, "EVERY_SECONDS", 60.0)
    timed.between()
    assert len(timed.times) == 2 * AT_ENDS + 1


def test_the_reference_works_in_the_threads_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of torch look for work for a while after a step, and would compete with those of numpy."""
    import numpy as np
    import torch

    assert isinstance(reference.Reference()._matrix, torch.Tensor)
    monkeypatch.delitem(sys.modules, "torch")
    assert isinstance(reference.Reference()._matrix, np.ndarray)


def test_the_reference_at_the_ends_is_timed_after_the_warm_up() -> None:
    """The first steps of a process set up libraries that the reference uses, too."""
    done: list[str] = []

    class Noted:
        def at_end(self) -> None:
            done.append("end")

        def between(self) -> None:
            done.append("between")

    probe._timed(lambda asked: done.append("step"), [Asked("text")] * 3, True, lambda *at: None, Noted())  # type: ignore[arg-type]
    assert done == ["step"] * probe.WARM_UP + ["end"] + ["step", "between"] * 3 + ["end"]


def test_a_probe_without_a_reference_is_not_called_noisy(tmp_path: Path) -> None:
    assert not probe.is_noisy(tmp_path)
    for shares, noisy in (((MOVED, WAITED), False), ((0.5, 0.0), True), ((0.0, 0.2), True)):
        told = {**Disturbance(*shares)._asdict(), "attempts": 1}
        (tmp_path / probe.REFERENCE_FILE).write_text(json.dumps(told))
        assert probe.is_noisy(tmp_path) is noisy


def test_only_waiting_for_others_disturbs() -> None:
    before = CoreUse(100.0, 50.0, 20.0, {"main": 1.0, "worker": 1.0})
    # Ten seconds later: others used four seconds of the cores, this process six, and a thread waited three.
    later = CoreUse(110.0, 60.0, 26.0, {"main": 1.5, "worker": 4.0, "new": 0.2})
    assert later.waited_since(before) == pytest.approx(0.3)
    # Threads of this process that waited for one another alone.
    assert later._replace(own=30.0).waited_since(before) == 0
    assert later._replace(own=29.0).waited_since(before) == pytest.approx(0.1)
    # Nothing is known of the threads.
    assert later._replace(waited={}).waited_since(before) == 0
    assert before.waited_since(before) == 0


def test_the_use_of_cores_is_read_where_the_kernel_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = CoreUse.now()
    started = time.process_time()
    while time.process_time() - started < 0.1:
        pass
    now = CoreUse.now()
    assert now.own - before.own >= 0.1
    # The kernel counts the use of cores in hundredths of a second.
    assert now.all - before.all >= 0.05
    assert 0 <= now.waited_since(before) <= 1
    monkeypatch.setattr(reference, "THREADS", tmp_path / "absent")
    assert CoreUse.now().waited == {}


def noisy_outcome() -> Any:
    outcome = outcomes.normal()
    systems = []
    for info in outcome.systems:
        if info.serving is not None and info.serving.total is not None:
            total = info.serving.total.model_copy(update={"noisy": True})
            info = info.model_copy(update={"serving": info.serving.model_copy(update={"total": total})})
        systems.append(info)
    timings = tuple(timing.model_copy(update={"noisy": True}) for timing in outcome.timings)
    return outcome.model_copy(update={"systems": tuple(systems), "timings": timings})


@pytest.mark.parametrize("bound", [{"ceiling": 1e-6}, {"relative": 0.1}])
def test_noisy_times_are_not_gated(bound: dict[str, float]) -> None:
    quiet, noisy = outcomes.normal(), noisy_outcome()
    gate = Gate.model_validate({"probe": "p95_ms", **bound})
    machine = quiet.provenance.get("machine")
    accepted = {(info.name, info.seed): info for info in quiet.systems}
    now = [row for row in judge_probe(gate, noisy, accepted, machine) if row.verdict != "failed"]
    assert now
    assert {(row.verdict, row.reason) for row in now} == {("not compared", NOISY)}
    if "relative" in bound:
        noisy_before = {(info.name, info.seed): info for info in noisy.systems}
        before = [row for row in judge_probe(gate, quiet, noisy_before, machine) if row.verdict != "failed"]
        assert {(row.verdict, row.reason) for row in before} == {("not compared", f"accepted {NOISY}")}


def test_reports_say_noisy() -> None:
    quiet, noisy = (render_markdown(outcome) for outcome in (outcomes.normal(), noisy_outcome()))
    assert "a query then takes" in quiet
    assert "(p95), with untuned" in quiet
    assert "(p95, noisy), with untuned" in noisy
    table = costs.latency(view(noisy_outcome()))
    assert table is not None
    assert costs.NOISY in table.caption
    assert all(cell.text == " noisy" for row in table.rows for cell in row if cell.unit == "ms")
