"""List scheduling: which ready call starts next, and when each would start and end if its estimate were right.

The scheduler and the simulation follow the same two rules. The call with the longest path ahead of it comes first. If
the first of the ready calls finds no room, its share is set aside: what comes later may start only where it would also
fit beside that call. So a large call is not overtaken for ever, and what it has no use for is not left idle.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from harness.planning.resources import Needs, Resources, fits


class Task(NamedTuple):
    """A call to be scheduled: its estimated seconds, what it needs, and the keys of what has to end before it."""

    seconds: float
    needs: Needs = Needs()
    inputs: tuple[str, ...] = ()


class Span(NamedTuple):
    """When a call starts and ends, in seconds from the start of the schedule."""

    start: float
    end: float


def paths_ahead(tasks: Mapping[str, Task]) -> dict[str, float]:
    """Return the seconds of the longest path from the start of each call on; inputs come first in `tasks`."""
    ahead = dict.fromkeys(tasks, 0.0)
    for key in reversed([*tasks]):
        task = tasks[key]
        ahead[key] += task.seconds
        for name in task.inputs:
            if name in ahead:
                ahead[name] = max(ahead[name], ahead[key])
    return ahead


def longest_path(tasks: Mapping[str, Task]) -> list[str]:
    """Return the keys of the path that takes longest, its first call first; empty without tasks."""
    ahead, path = paths_ahead(tasks), list[str]()
    readers: dict[str, list[str]] = {}
    for key, task in tasks.items():
        for name in task.inputs:
            readers.setdefault(name, []).append(key)
    following = list(tasks)
    while following:
        path.append(max(following, key=lambda key: ahead[key]))
        following = readers.get(path[-1], [])
    return path


def in_order(tasks: Mapping[str, Task], jobs: int) -> list[str]:
    """Return the keys in the order in which calls are considered: longest path ahead first, then as in the plan.

    With one call at a time no order is faster than another, and that of the plan is kept.
    """
    if jobs == 1:
        return list(tasks)
    ahead = paths_ahead(tasks)
    return sorted(tasks, key=lambda key: -ahead[key])


def startable(
    ready: Iterable[str], needs_of: Callable[[str], Needs], running: Sequence[Needs], resources: Resources
) -> Iterator[str]:
    """Yield the ready calls that may start now, in their order; one of them may.

    Each is meant for a caller that could not start the one before, as another process is making it.
    """
    if len(running) >= resources.jobs:
        return
    set_aside: list[Needs] = []
    for key in ready:
        needs = needs_of(key)
        if fits(needs, [*running, *set_aside], resources):
            yield key
        elif not set_aside:
            set_aside.append(needs)


def simulate(tasks: Mapping[str, Task], resources: Resources, running: Collection[str] = ()) -> dict[str, Span]:
    """Return when each call would start and end; those that are `running` start first, whatever they need.

    Inputs that are no tasks are there. The first call of a kind of unknown memory runs alone, and then the others are
    taken to fit.
    """
    order = in_order(tasks, resources.jobs)
    missing = {key: {name for name in task.inputs if name in tasks} for key, task in tasks.items()}
    readers: dict[str, list[str]] = {}
    for key, inputs in missing.items():
        for name in inputs:
            readers.setdefault(name, []).append(key)
    learned, spans = set[str](), dict[str, Span]()
    flying: dict[str, Needs] = {}
    ends: list[tuple[float, int, str]] = []
    place = {key: number for number, key in enumerate(order)}
    now = 0.0

    def needs_of(key: str) -> Needs:
        needs = tasks[key].needs
        return needs._replace(memory_mb=1.0) if needs.memory_mb is None and needs.kind in learned else needs

    def start(key: str) -> None:
        flying[key] = needs_of(key)
        spans[key] = Span(now, now + tasks[key].seconds)
        heapq.heappush(ends, (spans[key].end, place[key], key))

    for key in running:
        start(key)
    ready = {key for key in order if not missing[key] and key not in flying}
    while ready or flying:
        candidates = sorted(ready, key=place.__getitem__)
        while chosen := next(startable(candidates, needs_of, [*flying.values()], resources), None):
            start(chosen)
            candidates.remove(chosen)
        ready = set(candidates)
        now, _, ended = heapq.heappop(ends)
        del flying[ended]
        learned.add(tasks[ended].needs.kind)
        for reader in readers.get(ended, ()):
            missing[reader].discard(ended)
            if not missing[reader]:
                ready.add(reader)
    return spans


def makespan(spans: Mapping[str, Span]) -> float:
    """Return the seconds until the last call of a schedule has ended."""
    return max((span.end for span in spans.values()), default=0.0)
