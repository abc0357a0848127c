"""The calls of a plan as tasks of a schedule: what each needs and takes, as far as a store knows.

Shared by `harness plan`, which simulates a run, and by the scheduler, which learns more with every call that ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from harness.manifests import Entry
from harness.models.loaders import weights_mb
from harness.planning.graph import Plan, PlannedCall
from harness.planning.ledger import CallEstimate, estimate
from harness.planning.resources import WAITS_MB, Needs, Resources
from harness.planning.schedule import Task, longest_path, makespan, simulate
from harness.planning.speed import MODEL_INPUTS, Peaks, Speed, is_slowed, peaks_of, rates_of, slowdown, speed_of
from harness.stages import load_stage
from harness.store import Store
from harness.values.records import StageCall

MARGIN = 1.2
"""How much more memory than the largest known peak is set aside for a call."""


class Forecast(NamedTuple):
    """How long the calls of a plan take that the store lacks, in seconds.

    `alone`: one after another, each with the whole machine; `together`: side by side within resources. `path` are the
    keys of the longest path, which takes `path_seconds` however many calls run side by side.
    """

    alone: float
    together: float
    path: tuple[str, ...]
    path_seconds: float


class Outlook:
    """What the calls of a plan need, and how long they take on one machine."""

    def __init__(self, plan: Plan, store: Store, one_machine: bool = True) -> None:
        """Unless calls share `one_machine`, each has its own cores, and takes as long as such ones did.

        Nothing is set aside then for one of unknown memory, as a cluster kills what takes more than it has asked for.
        """
        self.plan, self._store, self._one_machine = plan, store, one_machine
        self._speeds: dict[str, Speed] = {}
        self._guesses: dict[str, float | None] = {}
        self._alone: set[str] = set()

    def learn(self, facts: Mapping[str, Any]) -> None:
        """Take the facts of a call that has ended into account."""
        if "_facts" in self.__dict__:
            self._facts.append(dict(facts))
        for name in ("_peaks", "estimates"):
            self.__dict__.pop(name, None)

    def was_short(self, key: str) -> None:
        """Take into account that a call found too little memory beside others: it runs alone from now on."""
        self._alone.add(key)

    @cached_property
    def _entries(self) -> list[Entry]:
        """All that the store has, read when it is first needed."""
        return [*self._store.entries()]

    @cached_property
    def _facts(self) -> list[dict[str, Any]]:
        return [dict(entry.facts) for entry in self._entries]

    @cached_property
    def _sizes(self) -> dict[str, float]:
        """The sizes in MB of what the store had at first."""
        return {entry.key: entry.size / 2**20 for entry in self._entries}

    @cached_property
    def _peaks(self) -> Peaks:
        return peaks_of(self._facts)

    @cached_property
    def estimates(self) -> dict[str, CallEstimate]:
        """The estimated cost of each call, alone on the machine."""
        return estimate(self.plan, self._store, rates_of(self._facts, whole=self._one_machine))

    def needs(self, key: str) -> Needs:
        """Return what a call needs: memory by the largest peak that is known of its class.

        On one machine, where a call that finds too little runs again alone, that of its kind may stand for it, or else
        a guess by the sizes of its models and of its data.
        """
        planned = self.plan.calls[key]
        stage, call = load_stage(planned.call.stage), planned.call
        if not stage.heavy:
            # It runs in this process and is over at once.
            return Needs()
        speed = self._speed(key)
        peak = self._peaks.of(speed, alike=self._one_machine)
        waits = stage.is_remote(call.spec)
        return Needs(
            memory_mb=self._memory(key, peak, WAITS_MB if waits else None),
            gpu=call.device not in ("cpu", "any"),
            endpoint=self._endpoint(planned),
            kind=speed.kind,
        )

    def _memory(self, key: str, peak: float | None, usual: float | None) -> float | None:
        """The memory in MB to set aside for a call; None if it has to run alone."""
        if key in self._alone:
            return None
        if peak is not None:
            return MARGIN * peak
        if usual is not None:
            return usual
        if not self._one_machine:
            return 0.0
        if key not in self._guesses:
            self._guesses[key] = self._guess(self.plan.calls[key].call)
        return self._guesses[key]

    def _guess(self, call: StageCall) -> float | None:
        """A guess at the peak of a call; None if the size of one of its models is not known."""
        makers = [self.plan.calls[key].call for name, key in call.inputs.items()
                  if name in MODEL_INPUTS and key in self.plan.calls]  # fmt: skip
        sizes = [weights_mb(name) for name in {name for one in (call, *makers) for name in one.models}]
        data = [self._sizes.get(key, 0.0) for name, key in call.inputs.items() if name not in MODEL_INPUTS]
        if None in sizes:
            return None
        return load_stage(call.stage).memory.of(sum(size or 0.0 for size in sizes), sum(data))

    def _speed(self, key: str) -> Speed:
        if key not in self._speeds:
            self._speeds[key] = speed_of(self.plan.calls[key].call, self.plan.calls)
        return self._speeds[key]

    def _endpoint(self, planned: PlannedCall) -> str:
        """The address and the model that a call asks, or a part of a pipeline and its model; empty if it asks none."""
        stage, roles = load_stage(planned.call.stage), self.plan.suite.llm.roles
        if not stage.asks_endpoint(planned.call.spec):
            return ""
        asked = planned.call.spec["endpoint"]["model"]
        llm = roles.get(planned.work.role or stage.role) if stage.role else None
        return f"{llm.base_url} {llm.model}" if llm else f"{stage.role} {asked}"

    def tasks(self, keys: Collection[str], jobs: int) -> dict[str, Task]:
        """Return these calls as tasks, in the order of the plan; each has its share of the cores of `jobs` calls."""
        return {
            key: Task(self.seconds(key, jobs), self.needs(key), tuple(self.plan.calls[key].call.inputs.values()))
            for key in self.plan.calls
            if key in keys
        }

    def seconds(self, key: str, jobs: int) -> float:
        """Return how long a call takes that has its share of the cores of `jobs` calls."""
        shares = self._one_machine and is_slowed(self.plan.calls[key].call)
        slower = slowdown(1 / jobs) if shares else 1.0
        return self.estimates[key].seconds * slower

    def forecast(self, resources: Resources, without: Collection[str] = ()) -> Forecast:
        """Return how long the calls take that the store lacks, those left out that another plan will have made."""
        missing = [key for key, guess in self.estimates.items() if not guess.stored and key not in without]
        alone, together = self.tasks(missing, 1), self.tasks(missing, resources.jobs)
        path = longest_path(alone)
        return Forecast(
            alone=sum(task.seconds for task in alone.values()),
            together=makespan(simulate(together, resources)),
            path=tuple(path),
            path_seconds=sum(alone[key].seconds for key in path),
        )
