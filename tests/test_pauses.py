"""The time of a call does not count what its process was stopped; what only looks so does."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage_inputs import silent
from toy_stages import request

from harness.execution import executors, pauses
from harness.execution.pauses import EVERY_SECONDS, Moment, Pauses, stopped

STOPPED = "seconds in which the process was stopped"


def test_a_stopped_process_tells_how_long() -> None:
    """It stops itself; this process wakes it."""
    code = (
        "import os, signal, time\n"
        "from harness.execution.pauses import Pauses\n"
        "with Pauses(late=0.3) as pauses:\n"
        "    print('ready', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "print(pauses.seconds, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        os.waitpid(child.pid, os.WUNTRACED)
        began = time.perf_counter()
        time.sleep(1)
        os.kill(child.pid, signal.SIGCONT)
        seconds = float(child.stdout.readline())
    assert child.returncode == 0
    assert 1 - EVERY_SECONDS <= seconds <= time.perf_counter() - began


@given(clock=st.floats(0, 1e4), computed=st.floats(0, 1e4), slept=st.integers(0, 10**6), late=st.floats(0.1, 10))
def test_only_a_delay_without_work_counts(clock: float, computed: float, slept: int, late: float) -> None:
    seconds = stopped(Moment(0.0, 0.0, 0), Moment(clock, computed, slept), late)
    assert 0 <= seconds <= clock
    if clock < late or computed > clock or slept > pauses.SWITCHES * clock:
        assert seconds == 0
    if clock >= late + EVERY_SECONDS and not computed and not slept:
        assert seconds == pytest.approx(clock - EVERY_SECONDS)


@pytest.mark.skipif(pauses.OF_THREAD is None, reason="the system counts nothing by thread")
def test_a_library_that_keeps_the_interpreter_did_not_stop_the_process() -> None:
    with Pauses(late=0.2) as watch:
        ctypes.PyDLL(None).usleep(900_000)
    assert watch.seconds == 0


class Interrupted(Pauses):
    """A watch over a call that was stopped for a tenth of a second."""

    def _watch(self) -> None:
        self.seconds = 0.1


def test_the_cost_of_a_call_counts_what_earlier_attempts_left_in_its_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, load = executors.perform(request("copy", tmp_path), silent), executors.load

    def resumed(reference: str) -> Any:
        found = load(reference)
        if reference != request("copy", tmp_path).function:
            return found
        return lambda *given: found(*given)._replace(before=100.0)

    monkeypatch.setattr(executors, "load", resumed)
    assert plain.seconds < 50 < 100 <= executors.perform(request("copy", tmp_path), silent).seconds


def test_the_cost_of_a_call_leaves_it_out_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = executors.perform(request("copy", tmp_path), silent)
    assert STOPPED not in plain.usage.notes
    monkeypatch.setattr(executors, "Pauses", Interrupted)
    cost = executors.perform(request("copy", tmp_path), silent)
    assert cost.seconds < plain.seconds
    assert cost.usage.notes.keys() == {*plain.usage.notes, STOPPED}
