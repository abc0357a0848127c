"""What the calls of a plan need and take: memory by known peaks, time by shares of the cores, and how it is shown."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pocket
import pytest
from rich.console import Console

from harness.hashing import digest_of
from harness.models.loaders import weights_mb
from harness.planning.graph import Plan, PlannedCall
from harness.planning.ledger import dollars, row_of
from harness.planning.outlook import MARGIN, Outlook
from harness.planning.plan import build_plan
from harness.planning.resources import WAITS_MB, Resources
from harness.planning.speed import PARALLEL, rates, slowdown, speed_of
from harness.report.render.progress import WHOLE, Steps
from harness.stages import TRAINS_ALL, USES_MODELS
from harness.store import FolderStore

ENDPOINT = {"model": "large", "base_url": "http://localhost:1/v1"}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def planned(**changes: Any) -> Plan:
    return build_plan(pocket.suite(changes), pocket.dataset())


def named(plan: Plan, label: str) -> PlannedCall:
    return next(one for one in plan.calls.values() if one.label == label)


def facts(plan: Plan, label: str, **changes: Any) -> dict[str, Any]:
    one = named(plan, label).call
    known = {"stage": one.stage, "device": one.device, "speed": list(speed_of(one, plan.calls)), "units": 100}
    return {**known, "seconds": 10.0, **changes}


def plant(store: FolderStore, values: dict[str, Any]) -> None:
    key = digest_of(values)
    with store.claim(key) as folder:
        (folder / "made.json").write_text("{}", encoding="utf-8")
        store.commit(key, folder, values)


def test_memory_is_the_largest_peak_of_the_class_and_else_of_the_kind(store: FolderStore) -> None:
    recipe = {"tune": ["retriever"]}
    plan = planned(candidates={"a": recipe, "b": {**recipe, "retriever": {"max_length": 64}}})
    a, b = (named(plan, f"tune retriever of {name}, seed 0").key for name in "ab")
    size = weights_mb("embedded:all-minilm-l6-v2")
    assert size
    assert Outlook(plan, store).needs(a).memory_mb == pytest.approx(TRAINS_ALL.of(size, 0))
    plant(store, facts(plan, "tune retriever of a, seed 0", peak_memory_mb=1000.0))
    plant(store, facts(plan, "tune retriever of a, seed 0", peak_memory_mb=700.0))
    outlook = Outlook(plan, store)
    assert outlook.needs(a).memory_mb == outlook.needs(b).memory_mb == MARGIN * 1000
    assert outlook.needs(a).kind == outlook.needs(b).kind
    outlook.learn(facts(plan, "tune retriever of b, seed 0", peak_memory_mb=500.0))
    assert (outlook.needs(a).memory_mb, outlook.needs(b).memory_mb) == (MARGIN * 1000, MARGIN * 500)
    index = named(plan, "index with untuned")
    assert outlook.needs(index.key).memory_mb == pytest.approx(USES_MODELS.of(size, 0))
    outlook.was_short(index.key)
    outlook.was_short(a)
    assert (outlook.needs(index.key).memory_mb, outlook.needs(a).memory_mb) == (None, None)


def test_on_a_cluster_only_what_such_a_call_has_taken_is_asked_for(store: FolderStore) -> None:
    """A job that takes more than it has asked for is killed, and one of its kind may have a smaller model."""
    recipe = {"tune": ["retriever"]}
    plan = planned(candidates={"a": recipe, "b": {**recipe, "retriever": {"max_length": 64}}})
    a, b = (named(plan, f"tune retriever of {name}, seed 0").key for name in "ab")
    plant(store, facts(plan, "tune retriever of a, seed 0", peak_memory_mb=1000.0))
    outlook = Outlook(plan, store, one_machine=False)
    assert (outlook.needs(a).memory_mb, outlook.needs(b).memory_mb) == (MARGIN * 1000, 0.0)


def test_on_a_cluster_calls_have_the_same_cores_whatever_their_number(store: FolderStore) -> None:
    plan, label = planned(), "index with untuned"
    plant(store, facts(plan, label, seconds=1000.0, share=0.125))
    outlook, key = Outlook(plan, store, one_machine=False), named(plan, label).key
    of_such = outlook.estimates[key].seconds * 100 / plan.calls[key].work.units
    assert outlook.seconds(key, 16) == outlook.seconds(key, 1) == outlook.estimates[key].seconds
    assert of_such == pytest.approx(1000.0, rel=0.02)


def test_light_calls_need_nothing_and_those_at_endpoints_next_to_nothing(store: FolderStore) -> None:
    plan = planned(**{"llm.synthesizer": ENDPOINT})
    outlook = Outlook(plan, store)
    needs = {planned.call.stage: outlook.needs(key) for key, planned in plan.calls.items()}
    assert needs["fuse"].memory_mb == 0
    assert (needs["synthesize"].memory_mb, needs["synthesize"].endpoint) == (WAITS_MB, "http://localhost:1/v1 large")
    assert {stage for stage, one in needs.items() if one.endpoint} == {"synthesize"}
    assert not any(one.gpu for one in needs.values())


def test_a_call_that_had_a_share_of_the_cores_is_taken_to_be_faster_alone(store: FolderStore) -> None:
    plan, label = planned(), "index with untuned"
    plant(store, facts(plan, label, seconds=1000.0, share=0.5))
    alone = rates(store).of(named(plan, label).call, plan.calls).units
    slower = slowdown(0.5)
    assert slower == pytest.approx(1 - PARALLEL + 2 * PARALLEL)
    assert alone == pytest.approx(100 / (1000 / slower - 0.5))
    outlook = Outlook(plan, store)
    key = named(plan, label).key
    assert outlook.seconds(key, 2) == pytest.approx(slower * outlook.seconds(key, 1))
    assert outlook.seconds(key, 1) == outlook.estimates[key].seconds
    fuse = next(key for key, one in plan.calls.items() if one.call.stage == "fuse")
    assert outlook.seconds(fuse, 2) == outlook.seconds(fuse, 1)


def test_a_forecast_lies_between_the_longest_path_and_the_sum(store: FolderStore) -> None:
    plan = planned()
    outlook = Outlook(plan, store)
    one, four = (outlook.forecast(Resources(jobs)) for jobs in (1, 4))
    assert one.together == pytest.approx(one.alone) == pytest.approx(four.alone)
    assert four.path == one.path
    assert four.path_seconds == pytest.approx(sum(outlook.seconds(key, 1) for key in four.path))
    assert four.path_seconds < four.together
    stages = [plan.calls[key].call.stage for key in four.path]
    assert stages.index("synthesize") < stages.index("tune_retriever") < len(stages) - 1
    without = outlook.forecast(Resources(1), without=[*plan.calls])
    assert (without.alone, without.together, without.path) == (0, 0, ())


def test_machine_time_counts_by_its_share() -> None:
    plan = planned()
    one = named(plan, "index with untuned")
    kept = {"stage": "index", "seconds": 3600.0, "device": "cpu", "peak_memory_mb": 1.0}
    prices = plan.suite.prices
    whole, half = (row_of(one, {**kept, **share}, reused=False) for share in ({}, {"share": 0.5}))
    assert dollars(whole, prices) == prices.cpu_hour
    assert dollars(half, prices) == prices.cpu_hour / 2
    assert (whole.machine_seconds, half.machine_seconds) == (3600, 1800)


def shown(terminal: bool) -> str:
    console = Console(file=(file := io.StringIO()), width=100, force_terminal=terminal, color_system=None)
    with Steps(console) as steps:
        assert steps.shows_rest == terminal
        steps.rest(3723.0, 3, 9)
        with steps("tune one") as first, steps("tune two") as second:
            first(1, 4)
            second(2, 4)
            steps.rest(3723.0, 4, 9)
            if terminal:
                steps._bar.refresh()
        steps.rest(0.0, 9, 9)
        assert steps._bar.tasks == []
    return file.getvalue()


@pytest.mark.parametrize(("error", "said"), [(ValueError(), ["failed in"]), (KeyboardInterrupt(), ["stopped after"])])
def test_a_step_that_is_interrupted_did_not_fail(
    error: BaseException, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.report.render.progress.WORTH_A_LINE", 0.0)
    steps = Steps(Console(file=(file := io.StringIO()), width=100))
    with pytest.raises(type(error)), steps("tune one"):
        raise error
    assert re.findall(r"failed in|stopped after|done in", file.getvalue()) == said


def test_a_terminal_shows_all_that_runs_and_the_time_left_of_the_whole() -> None:
    drawn = shown(terminal=True)
    frame = drawn[: drawn.rindex("tune two")].rsplit(WHOLE, 1)[1]
    assert "4/9" in frame
    assert "left 1:02:0" in frame
    assert "tune one" in frame


def test_a_log_shows_no_bars() -> None:
    assert shown(terminal=False) == ""


def test_a_line_of_a_log_says_how_many_calls_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is none of the calls, such as a latency probe afterwards, has no number; an interrupted call is not done."""
    monkeypatch.setattr("harness.report.render.progress.WORTH_A_LINE", 0.0)
    steps = Steps(Console(file=(file := io.StringIO()), width=80))
    steps.rest(None, 8, 57)
    for label in ("index for bm25", "answer as bm25"):
        with steps(label):
            pass
    with pytest.raises(KeyboardInterrupt), steps("mine (judged pairs)"):
        raise KeyboardInterrupt
    steps.rest(0.0, 57, 57)
    with steps("probe dense"):
        pass
    lines = file.getvalue().splitlines()
    starts = [" 9/57 index for bm25", "10/57 answer as bm25", "10/57 mine (judged pairs)", "probe dense"]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 4
    assert max(map(len, lines)) <= 80
