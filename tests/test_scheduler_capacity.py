"""Several calls in flight, whose results come in another order: the same artifacts, ledger and failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pocket
import pytest
from pocket import Pretender, failing

from harness.errors import ConfigError, StageFailed
from harness.execution import executors
from harness.execution.executors import Cost, InlineExecutor, Request, executor_named
from harness.execution.scheduler import Execution, carry_out
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.planning.resources import Resources
from harness.store import FolderStore
from harness.values.records import Progress


class Threads(Pretender):
    """Three calls at a time, each in a thread. Of those in flight, the one that was submitted last ends first."""

    def __init__(self, trouble: Callable[[str, Request], None] = lambda stage, request: None) -> None:
        super().__init__(trouble)
        self.flying = self.most = 0
        self.ended: list[Path] = []
        self.submitted: list[Path] = []
        self.cancelled = False
        self.lock = threading.Lock()

    def resources(self) -> Resources:
        return Resources(jobs=3)

    def submit(self, request: Request, progress: Progress) -> Future[Cost]:
        with self.lock:
            self.submitted.append(request.out)
            self.flying += 1
            self.most = max(self.most, self.flying)
            place = self.flying

        def work() -> Cost:
            # The first of three waits longest; by then the others are in flight.
            time.sleep(0.004 * (4 - place))
            with self.lock:
                try:
                    return self.run(request, progress)
                finally:
                    self.ended.append(request.out)
                    self.flying -= 1

        return pocket.later(work)

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def plan() -> Plan:
    return build_plan(pocket.suite({"seeds": [3, 4]}), pocket.dataset())


def go(plan: Plan, root: Path, executor: Pretender) -> Execution:
    store = FolderStore(root)
    plan.artifacts.publish(store)
    return carry_out(plan, store, executor, executor)


def contents(plan: Plan, root: Path) -> dict[str, str]:
    """The digest of every artifact that is there, by key."""
    store = FolderStore(root)
    return {key: store.content_digest(key) for key in plan.calls if store.has(key)}


def test_any_order_of_results_makes_the_same(plan: Plan, tmp_path: Path) -> None:
    one, several = Pretender(), Threads()
    alone, together = go(plan, tmp_path / "one", one), go(plan, tmp_path / "several", several)
    assert several.most == 3
    assert several.ended != several.submitted
    assert list(together.rows) == list(alone.rows) == list(plan.calls)
    assert together == alone
    assert contents(plan, tmp_path / "several") == contents(plan, tmp_path / "one")
    assert len(contents(plan, tmp_path / "one")) == len(plan.calls)


@pytest.mark.parametrize("trouble", [("sift", None), ("tune_retriever", 3), ("mine", None), ("index", None)])
def test_a_failure_takes_along_what_needs_it_in_any_order(
    trouble: tuple[str, int | None], plan: Plan, tmp_path: Path
) -> None:
    alone = go(plan, tmp_path / "one", Pretender(failing(*trouble)))
    together = go(plan, tmp_path / "several", Threads(failing(*trouble)))
    assert together == alone
    assert list(together.failed) == list(alone.failed)
    assert 0 < len(together.failed) < len(plan.calls)
    needing = {key for key in plan.calls if set(plan.upstream([key])) & set(together.failed)}
    assert needing == set(together.failed)
    assert contents(plan, tmp_path / "several").keys() == set(plan.calls) - needing


@pytest.mark.parametrize("number", [1, 5, 12])
def test_an_interrupt_loses_nothing_that_was_committed(number: int, plan: Plan, tmp_path: Path) -> None:
    def interrupt(stage: str, request: Request) -> None:
        if len(first.asked) >= number:
            raise KeyboardInterrupt

    first = Threads(interrupt)
    with pytest.raises(KeyboardInterrupt):
        go(plan, tmp_path, first)
    assert first.cancelled
    committed = contents(plan, tmp_path)
    # What ended at the same moment as the interrupt may be lost with it, at most what was in flight.
    assert number - 2 <= len(committed) <= number
    second = Threads()
    done = go(plan, tmp_path, second)
    assert len(second.asked) == len(plan.calls) - len(committed)
    assert done.made == len(second.asked)
    assert done.failed == {}


def test_a_call_that_another_process_makes_is_left_for_later(plan: Plan, tmp_path: Path) -> None:
    """Waiting for its lock with calls in flight, two processes could wait for each other."""
    refused = list[str]()

    class Shared(FolderStore):
        def try_claim(self, key: str) -> AbstractContextManager[Path | None]:
            if len(refused) < 4:
                refused.append(key)
                return nullcontext(None)
            return super().try_claim(key)

    store, executor = Shared(tmp_path), Threads()
    plan.artifacts.publish(store)
    done = carry_out(plan, store, executor, executor)
    assert refused
    assert list(done.rows) == list(plan.calls)


def test_two_runs_that_share_a_store_make_each_call_once(tmp_path: Path) -> None:
    """Neither waits for ever for what the other makes, and neither ends without it."""
    plans = [build_plan(pocket.suite({"seeds": [3, 4]}), pocket.dataset()) for _ in range(2)]
    runs, done = [Threads(), Threads()], dict[int, Execution]()

    def work(number: int) -> None:
        done[number] = carry_out(plans[number], FolderStore(tmp_path), runs[number], runs[number])

    plans[0].artifacts.publish(FolderStore(tmp_path))
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert done.keys() == {0, 1}
    assert all(list(one.rows) == list(plans[0].calls) and not one.failed for one in done.values())
    assert sum(len(run.asked) for run in runs) == len(plans[0].calls)


def test_executors_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(executor_named("inline"), InlineExecutor)
    monkeypatch.setitem(executors.EXECUTORS, "threads", f"{__name__}:Threads")
    assert executor_named("threads").resources().jobs == 3
    with pytest.raises(ConfigError, match="unknown executor 'inlin'; did you mean 'inline'"):
        executor_named("inlin")


def test_an_executor_in_this_process_answers_with_a_future(tmp_path: Path) -> None:
    from toy_stages import request

    future = InlineExecutor().submit(request("refuse", tmp_path, text="no pairs"), lambda done, total: None)
    assert future.done()
    with pytest.raises(StageFailed, match="refuse: no pairs"):
        future.result()
