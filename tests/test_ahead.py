"""Scores that are computed while stages run are those that are computed afterwards, and failures are told as before."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import planted
import pytest

from harness import scoring
from harness.data.datasets import load_dataset
from harness.errors import StageFailed
from harness.execution import score_cache
from harness.execution.executors import Cost, Request
from harness.execution.session import Executed, Session
from harness.planning.plan import build_plan
from harness.planning.resources import Resources
from harness.suite.files import load_suite
from harness.values.records import Progress


class Elsewhere:
    """Runs calls in another thread, as if it were another process; those of a stage may fail."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.pool = fails, ThreadPoolExecutor(1)

    def resources(self) -> Resources:
        return Resources()

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        return self.pool.submit(self._run, request, progress)

    def _run(self, request: Request, progress: Progress) -> Cost:
        if request.stage == self.fails:
            raise StageFailed(f"{request.stage}: no room")
        return planted.Planted().run(request, progress)

    def cancel(self) -> None:
        self.pool.shutdown()


def executed(folder: Path, executor: Any) -> Executed:
    folder.mkdir()
    planted.write_dataset(folder / "data")
    suite, _ = load_suite(planted.write_suite(folder))
    session = Session(suite, folder / "root", executor=executor)
    dataset = load_dataset(suite.dataset, suite.evaluate.split)
    return session.execute(build_plan(suite, dataset), dataset)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of the thread of each set of scores that is computed."""
    names: list[str] = []
    plain = score_cache.ScoreCache._computed

    def noted(self: Any, *args: Any) -> Any:
        names.append(threading.current_thread().name)
        return plain(self, *args)

    monkeypatch.setattr(score_cache.ScoreCache, "_computed", noted)
    return names


def test_scores_are_those_of_a_run_without_a_thread(tmp_path: Path, threads: list[str]) -> None:
    expected = executed(tmp_path / "plain", planted.Planted())
    assert set(threads) == {"MainThread"}
    count = len(threads)
    ahead = executed(tmp_path / "ahead", Elsewhere())
    assert ahead.rows == expected.rows
    assert ahead.scores.computed == expected.scores.computed
    assert len(threads) == 2 * count, "nothing is scored twice"
    assert all(name.startswith("scores") for name in threads[count:])


@pytest.mark.parametrize("stage", ["answer", "retrieve"])
def test_what_failed_is_told_afterwards(stage: str, tmp_path: Path, threads: list[str]) -> None:
    done = executed(tmp_path / "suite", Elsewhere(stage))
    failed = [row for rows in done.rows.values() for row in rows if row.status == "failed"]
    assert failed
    assert all("no room" in row.reason for row in failed)


def test_an_error_of_the_thread_is_raised_by_the_scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(scoring, "prepare", broken)
    monkeypatch.setattr(scoring, "score_run", broken)
    with pytest.raises(RuntimeError, match="no kernel"):
        executed(tmp_path / "suite", Elsewhere())


def test_an_error_of_a_run_is_not_kept_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Any, request: Request, progress: Progress) -> Future[Cost]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Elsewhere, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        executed(tmp_path / "suite", Elsewhere())
