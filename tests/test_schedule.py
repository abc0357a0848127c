"""Laws of list scheduling, on random graphs of calls: never too much at once, nobody waits without a reason."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.planning.resources import Needs, Resources, fits
from harness.planning.schedule import (
    Span,
    Task,
    in_order,
    longest_path,
    makespan,
    paths_ahead,
    simulate,
    startable,
)

UNKNOWN = Needs(memory_mb=None, kind="new")
NEEDS = st.builds(
    Needs,
    memory_mb=st.sampled_from([0.0, 10.0, 30.0, 60.0, 200.0, None]),
    gpu=st.booleans(),
    endpoint=st.sampled_from(["", "", "here", "there"]),
    kind=st.sampled_from(["index", "tune"]),
)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Task]:
    """Calls whose inputs come first; some take no time."""
    tasks: dict[str, Task] = {}
    for number in range(draw(st.integers(1, 12))):
        inputs = draw(st.lists(st.sampled_from([*tasks]), max_size=3, unique=True)) if tasks else []
        seconds = draw(st.sampled_from([0.0, 1.0, 2.0, 5.0, 0.25]))
        tasks[f"call {number}"] = Task(seconds, draw(NEEDS), tuple(inputs))
    return tasks


RESOURCES = st.builds(
    Resources, jobs=st.integers(1, 4), gpus=st.integers(0, 2), memory_mb=st.sampled_from([50.0, 100.0, math.inf])
)


def known(tasks: dict[str, Task]) -> dict[str, Task]:
    """The same calls, all of known memory."""
    return {
        key: task._replace(needs=task.needs._replace(memory_mb=task.needs.memory_mb or 0.0))
        for key, task in tasks.items()
    }


def moments(spans: dict[str, Span]) -> list[float]:
    """The middles between two events: what runs changes at events alone."""
    times = sorted({time for span in spans.values() for time in span})
    return [(first + second) / 2 for first, second in pairwise(times)]


def at(moment: float, spans: dict[str, Span]) -> list[str]:
    return [key for key, span in spans.items() if span.start < moment < span.end]


@given(graphs(), RESOURCES)
def test_every_call_runs_once_after_its_inputs(tasks: dict[str, Task], resources: Resources) -> None:
    spans = simulate(tasks, resources)
    assert spans.keys() == tasks.keys()
    for key, task in tasks.items():
        assert spans[key].end - spans[key].start == pytest.approx(task.seconds)
        assert all(spans[name].end <= spans[key].start for name in task.inputs)


@given(graphs(), RESOURCES)
def test_nothing_is_used_twice_at_any_moment(tasks: dict[str, Task], resources: Resources) -> None:
    tasks = known(tasks)
    spans = simulate(tasks, resources)
    for moment in moments(spans):
        together = [tasks[key].needs for key in at(moment, spans)]
        assert len(together) <= resources.jobs
        if len(together) > 1:
            assert sum(needs.gpu for needs in together) <= max(1, resources.gpus)
            assert sum(needs.memory_mb or 0.0 for needs in together) <= resources.memory_mb
            asked = [needs.endpoint for needs in together if needs.endpoint]
            assert len(asked) == len(set(asked))


@given(graphs(), RESOURCES)
def test_a_call_of_unknown_memory_runs_beside_those_that_wait_for_endpoints_alone(
    tasks: dict[str, Task], resources: Resources
) -> None:
    tasks = {key: task._replace(needs=task.needs._replace(kind=key)) for key, task in tasks.items()}
    spans = simulate(tasks, resources)
    for moment in moments(spans):
        together = [tasks[key].needs for key in at(moment, spans)]
        if any(needs.memory_mb is None for needs in together):
            heavy = [needs for needs in together if needs.memory_mb is None or (needs.memory_mb and not needs.endpoint)]
            assert len(heavy) == 1


@given(graphs(), RESOURCES)
def test_no_place_is_idle_while_a_call_fits_except_behind_one_that_has_its_share_set_aside(
    tasks: dict[str, Task], resources: Resources
) -> None:
    tasks = known(tasks)
    spans, order = simulate(tasks, resources), in_order(tasks, resources.jobs)
    for moment in moments(spans):
        running = [tasks[key].needs for key in at(moment, spans)]
        assert running, "something always runs"
        ready = [
            key
            for key in order
            if spans[key].start > moment and all(spans[name].end < moment for name in tasks[key].inputs)
        ]
        if len(running) < resources.jobs and ready:
            assert not fits(tasks[ready[0]].needs, running, resources), "the first in the order is not kept waiting"
            for key in ready[1:]:
                assert not fits(tasks[key].needs, [*running, tasks[ready[0]].needs], resources)


@given(graphs(), RESOURCES)
def test_a_schedule_takes_between_the_longest_path_and_the_sum(tasks: dict[str, Task], resources: Resources) -> None:
    total, path = math.fsum(task.seconds for task in tasks.values()), longest_path(tasks)
    longest = math.fsum(tasks[key].seconds for key in path)
    assert longest == pytest.approx(max(paths_ahead(tasks).values()))
    assert all(first in tasks[second].inputs for first, second in pairwise(path))
    assert longest - 1e-9 <= makespan(simulate(tasks, resources)) <= total + 1e-9
    assert makespan(simulate(tasks, resources._replace(jobs=1))) == pytest.approx(total)


@given(graphs(), RESOURCES)
def test_with_one_call_at_a_time_the_order_is_that_of_the_plan(tasks: dict[str, Task], resources: Resources) -> None:
    spans = simulate({key: task._replace(seconds=1.0) for key, task in tasks.items()}, resources._replace(jobs=1))
    assert sorted(spans, key=lambda key: spans[key].start) == list(tasks)


@given(graphs(), RESOURCES, st.data())
def test_a_schedule_goes_on_from_what_runs(tasks: dict[str, Task], resources: Resources, data: st.DataObject) -> None:
    first = [key for key, task in tasks.items() if not task.inputs]
    running = data.draw(st.lists(st.sampled_from(first), max_size=resources.jobs, unique=True))
    spans = simulate(tasks, resources, running)
    assert spans.keys() == tasks.keys()
    assert all(spans[key].start == 0.0 for key in running)


def test_the_longest_path_ahead_comes_first_and_ties_are_as_in_the_plan() -> None:
    tasks = {"a": Task(1), "b": Task(1), "c": Task(9, inputs=("b",)), "d": Task(1)}
    assert in_order(tasks, 2) == ["b", "c", "a", "d"]
    assert longest_path(tasks) == ["b", "c"]
    # In the order of the plan it would take 11.
    assert makespan(simulate(tasks, Resources(jobs=2))) == 10


def test_an_empty_schedule_takes_no_time() -> None:
    assert makespan(simulate({}, Resources())) == 0
    assert longest_path({}) == []


def startable_of(ready: dict[str, Needs], running: list[Needs], resources: Resources) -> list[str]:
    return list(startable(ready, lambda key: ready[key], running, resources))


def test_small_calls_do_not_overtake_a_large_one_for_ever() -> None:
    large, small = Needs(memory_mb=90.0), Needs(memory_mb=20.0)
    four = Resources(jobs=4, memory_mb=100.0)
    assert startable_of({"large": large, "small": small}, [small], four) == []
    assert startable_of({"small": small, "large": large}, [small], four) == ["small"]
    tasks = {"first": Task(1.0, small), "large": Task(50.0, large)} | {
        f"small {number}": Task(1.0, small) for number in range(8)
    }
    spans = simulate(tasks, four)
    assert spans["large"].start == 0.0
    tasks |= {"first": Task(60.0, small)}
    assert simulate(tasks, four)["large"].start == 60.0
    assert all(simulate(tasks, four)[f"small {number}"].start >= 60.0 for number in range(8))


def test_what_a_waiting_call_has_no_use_for_is_not_left_idle() -> None:
    gpu, cpu = Needs(memory_mb=30.0, gpu=True), Needs(memory_mb=30.0)
    ready = {"gpu": gpu, "cpu": cpu, "other gpu": gpu}
    assert startable_of(ready, [gpu], Resources(jobs=3, gpus=1)) == ["cpu"]
    assert startable_of(ready, [gpu], Resources(jobs=3, gpus=1, memory_mb=80.0)) == []
    assert startable_of(ready, [gpu], Resources(jobs=3, gpus=2)) == ["gpu", "cpu", "other gpu"]
    assert startable_of(ready, [gpu], Resources(jobs=1, gpus=2)) == []


def test_calls_that_wait_for_an_endpoint_run_beside_one_of_unknown_memory() -> None:
    asks = Needs(memory_mb=1000.0, endpoint="here")
    three = Resources(jobs=3, memory_mb=4000.0)
    assert startable_of({"asks": asks, "unknown": UNKNOWN}, [UNKNOWN], three) == ["asks"]
    assert startable_of({"unknown": UNKNOWN}, [asks], three) == ["unknown"]
    # One endpoint is asked by one call at a time.
    assert startable_of({"asks": asks}, [asks], three) == []
    assert startable_of({"asks": asks._replace(endpoint="there")}, [asks], three) == ["asks"]
    assert startable_of({"unknown": UNKNOWN}, [Needs(memory_mb=10.0)], three) == []


def test_the_first_of_a_kind_tells_what_the_others_need() -> None:
    tasks = {name: Task(10.0, UNKNOWN) for name in ("a", "b", "c")}
    spans = simulate(tasks, Resources(jobs=3))
    assert [span.start for span in spans.values()] == [0.0, 10.0, 10.0]
