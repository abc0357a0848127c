"""A cluster that is this process: what is sent is pickled, and workers do what the test says."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pocket import Pretender

from harness.execution import worker
from harness.execution.executors import Cost, InlineExecutor, Request, SynchronousExecutor
from harness.execution.remote import RemoteExecutor, Task, WorkerLost
from harness.execution.worker import Result
from harness.planning.resources import Resources
from harness.suite.spec import Suite
from harness.values.records import Progress


class Worker(Pretender):
    """Runs the requests of a worker: looks for real, and pretends to do all else, or leaves it to another executor.

    `environments` are those that requests had, `stages` what they were for.
    """

    def __init__(self, other: SynchronousExecutor | None = None) -> None:
        super().__init__()
        self.other = other
        self.environments: list[dict[str, str]] = []
        self.stages: list[str] = []

    def run(self, request: Request, progress: Progress) -> Cost:
        assert request.environment is not None
        self.environments.append(dict(request.environment))
        self.stages.append(request.stage)
        if request.stage == "look":
            return InlineExecutor().run(request, progress)
        return self.other.run(request, progress) if self.other else super().run(request, progress)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """What runs the requests of workers instead of children."""
    child = Worker()
    monkeypatch.setattr(worker, "_children", lambda one_call: child)
    return child


class Cluster(RemoteExecutor):
    """Has `jobs` workers. `dying` says of a task and an attempt whether its worker dies; `sent` are pickles."""

    kind = "fake"
    polls = 0.01
    cpus = 1  # type: ignore[assignment]

    def __init__(
        self, jobs: int = 2, dying: Callable[[Task, int], bool] = lambda task, attempt: False, gpus: bool = False
    ) -> None:
        super().__init__()
        self.places, self.dying, self.gpus = jobs, dying, gpus
        self.sent: list[bytes] = []
        self.needs: list[Any] = []

    def where(self, suite: Suite) -> str:
        return "reach a fake"

    def reach(self, suite: Suite) -> bool:
        return self.gpus

    def capacity(self) -> Resources:
        return Resources(self.places)

    def run_task(self, task: Task, attempt: int, watch: Callable[[], None]) -> Result:
        self.sent.append(pickle.dumps((task.function, task.argument, task.place, attempt)))
        self.needs.append(task.needs)
        if self.dying(task, attempt):
            raise WorkerLost("its worker died")
        function, argument, place, number = pickle.loads(self.sent[-1])
        answer: Result = pickle.loads(pickle.dumps(function(argument, place, number)))
        watch()
        return answer
