"""Carrying out a plan with an executor that pretends: what is made, what is found, and what a failure takes along."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pocket
import pytest
from pocket import Pretender, failing

import harness.manifests
from harness.execution.executors import Cost, Request
from harness.execution.scheduler import Execution, carry_out
from harness.llm.services import Services
from harness.manifests import MANIFEST
from harness.planning.graph import Plan
from harness.planning.ledger import estimate
from harness.planning.plan import build_plan
from harness.store import FolderStore
from harness.values.records import Progress


@pytest.fixture
def plan() -> Plan:
    return build_plan(pocket.suite(), pocket.dataset())


@pytest.fixture
def store(tmp_path: Path, plan: Plan) -> FolderStore:
    store = FolderStore(tmp_path / "store")
    plan.artifacts.publish(store)
    return store


def go(plan: Plan, store: FolderStore, executor: Pretender) -> Execution:
    """Carry out as another process would, which has checked nothing of the store yet."""
    return carry_out(plan, FolderStore(store.root), executor, executor)


def lose(plan: Plan, store: FolderStore, label: str) -> None:
    (key,) = [key for key, planned in plan.calls.items() if planned.label == label]
    place = store.get(key)
    assert place is not None
    shutil.rmtree(place)


def test_everything_is_made_once_in_the_order_of_the_plan(plan: Plan, store: FolderStore) -> None:
    executor = Pretender()
    done = go(plan, store, executor)
    assert executor.asked == [planned.call.stage for planned in plan.calls.values()]
    assert list(done.rows) == list(plan.calls)
    assert done.made == len(plan.calls)
    assert done.failed == {}
    assert all((row.seconds, row.peak_memory_mb, row.units) == (2.0, 100.0, 1) for row in done.rows.values())
    assert all(row.bytes > 0 and not row.reused for row in done.rows.values())


def test_a_second_run_makes_nothing_and_tells_the_same_cost(plan: Plan, store: FolderStore) -> None:
    first = go(plan, store, Pretender())
    executor = Pretender()
    second = go(plan, store, executor)
    assert executor.asked == []
    assert second.made == 0
    assert {key: row.model_copy(update={"reused": False}) for key, row in second.rows.items()} == first.rows


def test_light_stages_go_to_the_light_executor(plan: Plan, store: FolderStore) -> None:
    heavy, light = Pretender(), Pretender()
    carry_out(plan, store, heavy, light)
    # The row hybrid, on test and on dev.
    assert light.asked == ["fuse", "fuse"]
    assert "fuse" not in heavy.asked


def test_each_step_is_watched_by_its_label(plan: Plan, store: FolderStore) -> None:
    opened: list[str] = []
    told: list[tuple[int, int]] = []
    rest: list[tuple[float, int, int]] = []

    class Shown:
        shows_rest = True

        def __call__(self, label: str) -> AbstractContextManager[Progress]:
            opened.append(label)
            return nullcontext(lambda done, total: told.append((done, total)))

        def rest(self, seconds: float, done: int, total: int) -> None:
            rest.append((seconds, done, total))

    carry_out(plan, store, Pretender(), Pretender(), Shown())
    total = len(plan.calls)
    assert [done for _, done, _ in rest] == [*range(total), total]
    assert all(seconds > 0 for seconds, done, _ in rest if done < total)
    assert rest[-1] == (0.0, total, total)
    assert opened == [planned.label for planned in plan.calls.values()]
    assert told == [(1, 1)] * len(opened)


def test_a_failed_call_takes_along_what_needs_it_and_nothing_else(plan: Plan, store: FolderStore) -> None:
    done = go(plan, store, Pretender(failing("sift")))
    failed = {plan.calls[key].label for key in done.failed}
    assert failed == {"sift", "mine (synthetic pairs)", *(p.label for p in plan.calls.values() if "written" in p.label)}
    assert set(done.rows) == set(plan.calls) - set(done.failed)
    assert set(done.failed.values()) == {"sift: sift: the machine may be out of memory"}


def test_a_failed_seed_leaves_the_other_seed_alone(tmp_path: Path) -> None:
    plan = build_plan(pocket.suite({"seeds": [3, 4]}), pocket.dataset())
    store = FolderStore(tmp_path / "store")
    plan.artifacts.publish(store)
    done = go(plan, store, Pretender(failing("tune_retriever", seed=3)))
    assert {plan.calls[key].label for key in done.failed} == {
        planned.label for planned in plan.calls.values() if "seed 3" in planned.label
    }


def test_what_failed_is_tried_again_and_only_that(plan: Plan, store: FolderStore) -> None:
    failed = go(plan, store, Pretender(failing("mine"))).failed
    executor = Pretender()
    done = go(plan, store, executor)
    assert executor.asked == [planned.call.stage for key, planned in plan.calls.items() if key in failed]
    assert done.failed == {}
    assert done.made == len(failed) > 0


@pytest.mark.parametrize("number", [0, 1, 7, 20])
def test_a_killed_run_continues_where_it_stopped(number: int, plan: Plan, store: FolderStore) -> None:
    def kill(stage: str, request: Request) -> None:
        if len(first.asked) == number:
            (request.out / "half.txt").write_text("half")
            raise KeyboardInterrupt

    first = Pretender(kill)
    with pytest.raises(KeyboardInterrupt):
        go(plan, store, first)
    second = Pretender()
    done = go(plan, store, second)
    assert len(first.asked) == number
    assert first.asked + second.asked == [planned.call.stage for planned in plan.calls.values()]
    assert done.made == len(plan.calls) - number
    assert not list(store.root.rglob("half.txt"))


def test_what_lies_upstream_of_present_goals_is_not_made_again(plan: Plan, store: FolderStore) -> None:
    go(plan, store, Pretender())
    for label in ("synthesize", "sift", "mine (judged pairs)"):
        lose(plan, store, label)
    executor = Pretender()
    done = go(plan, store, executor)
    assert executor.asked == []
    assert len(done.rows) == len(plan.calls) - 3
    assert done.failed == {}


def test_a_model_is_made_again_though_all_that_it_gave_is_there(plan: Plan, store: FolderStore) -> None:
    go(plan, store, Pretender())
    lose(plan, store, "tune retriever of judged, seed 0")
    executor = Pretender()
    go(plan, store, executor)
    assert executor.asked == ["tune_retriever"]


def test_a_lost_goal_is_made_again_with_what_is_lost_above_it(plan: Plan, store: FolderStore) -> None:
    go(plan, store, Pretender())
    tuned = ("tune retriever of judged, seed 0", "index with judged, seed 0", "retrieve dev with judged, seed 0")
    for label in ("synthesize", *tuned):
        lose(plan, store, label)
    executor = Pretender()
    go(plan, store, executor)
    assert executor.asked == ["tune_retriever", "index", "retrieve"]


def test_a_damaged_artifact_is_made_again(plan: Plan, store: FolderStore) -> None:
    go(plan, store, Pretender())
    untuned = next(system for system in plan.systems if system.name == "untuned")
    place = store.get(str(untuned.answers))
    assert place is not None
    (place / "answer.json").write_text("{}")
    executor = Pretender()
    assert go(plan, store, executor).made == 1
    assert executor.asked == ["answer"]


def test_what_was_changed_on_disk_is_made_again_before_anything_is_made_of_it(plan: Plan, store: FolderStore) -> None:
    go(plan, store, Pretender())
    (key,) = [key for key, planned in plan.calls.items() if planned.label == "tune retriever of judged, seed 0"]
    place = store.get(key)
    assert place is not None
    path = next(path for path in sorted(place.iterdir()) if path.name != MANIFEST and path.stat().st_size)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    lose(plan, store, "index with judged, seed 0")
    lose(plan, store, "retrieve test with judged, seed 0")
    executor = Pretender()
    done = go(plan, FolderStore(store.root), executor)
    assert executor.asked == ["tune_retriever", "index", "retrieve"]
    assert done.failed == {}


def test_a_plan_and_its_estimate_read_no_artifact(
    plan: Plan, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(plan, store, Pretender())
    for manifest in store.root.rglob(MANIFEST):
        # Files that were written just before their manifest are read once more; these were written long before.
        os.utime(manifest, (time.time() + 1, time.time() + 1))
    read: list[Path] = []
    monkeypatch.setattr(harness.manifests, "digest_file", lambda path: read.append(path) or "")
    assert all(guess.stored for guess in estimate(plan, FolderStore(store.root)).values())
    assert read == []


def test_requests_hold_the_environment_of_their_time_and_the_device_of_their_suite(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two suites in one process, the second prepared before the first is carried out."""
    monkeypatch.setenv("HARNESS_DEVICE", "cpu")
    found: dict[str, set[tuple[str | None, str | None]]] = {}
    plans = {device: build_plan(pocket.suite({"device": device}), pocket.dataset()) for device in ("auto", "cpu")}
    for number, (device, plan) in enumerate(plans.items()):
        monkeypatch.setenv("OPENAI_API_KEY", f"key {number}")
        root = store.root / device
        plan.artifacts.publish(FolderStore(root))

        def note(stage: str, request: Request, device: str = device) -> None:
            told = request.environment or {}
            found.setdefault(device, set()).add((told.get("HARNESS_DEVICE"), told.get("OPENAI_API_KEY")))

        executor = Pretender(note)
        assert carry_out(plan, FolderStore(root), executor, executor).failed == {}
    assert found == {"auto": {("auto", "key 0")}, "cpu": {("cpu", "key 1")}}
    for path in store.root.rglob("*"):
        if path.is_file():
            assert b"key 0" not in path.read_bytes()


def test_a_part_that_is_missing_fails_what_reads_it_with_advice(plan: Plan, store: FolderStore) -> None:
    place = store.get(plan.artifacts.keys["dev.queries"])
    assert place is not None
    shutil.rmtree(place)
    done = go(plan, store, Pretender())
    reasons = {plan.calls[key].label: reason for key, reason in done.failed.items()}
    assert reasons["retrieve dev with untuned"].endswith("its input queries is not in the store any more; run again")
    assert "retrieve test with untuned" not in reasons


def test_what_another_process_made_meanwhile_is_taken(plan: Plan, store: FolderStore) -> None:
    """The other one finishes between our look and our claim."""
    rival = Pretender()
    first = next(iter(plan.calls))

    class Late(FolderStore):
        def claim(self, key: str):  # type: ignore[no-untyped-def]
            if key == first and not rival.asked:
                carry_out(plan, FolderStore(store.root), rival, rival)
            return super().claim(key)

    executor = Pretender()
    done = carry_out(plan, Late(store.root), executor, executor)
    assert executor.asked == []
    assert len(rival.asked) == len(plan.calls)
    assert done.made == 0


def test_publishing_parts_twice_writes_them_once(plan: Plan, store: FolderStore) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.root.glob("??/*/*")}
    plan.artifacts.publish(store)
    assert {path: path.stat().st_mtime_ns for path in store.root.glob("??/*/*")} == before
    assert len(before) >= 2 * len(set(plan.artifacts.keys.values()))


def test_answers_that_another_run_works_with_are_completed_by_the_next_one(plan: Plan, store: FolderStore) -> None:
    class Partly(Pretender):
        def run(self, request: Request, progress: Progress) -> Cost:
            cost = super().run(request, progress)
            return cost._replace(usage=cost.usage._replace(failed=1))

    services = Services(roles={}, folder=store.root / "llm", run="now")
    carry_out(plan, FolderStore(store.root), Partly(), Partly(), services=services)
    answers = [key for key, planned in plan.calls.items() if planned.call.stage == "answer"]
    assert len(answers) > 1
    executor = Pretender()
    carry_out(plan, FolderStore(store.root), executor, executor, services=services, kept=answers[:1])
    assert executor.asked == ["answer"] * (len(answers) - 1)
