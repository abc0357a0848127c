"""A session: where one suite is worked on, and the way from a plan to its scores.

It holds the folder of the store, the executor, the display of progress and the LLM services of a suite. Experiments
build plans; a session checks endpoints, makes what a plan needs, and scores it. Another store or another executor is
plugged in here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from harness import provenance
from harness.data.datasets import Dataset, load_dataset
from harness.errors import HarnessError
from harness.execution import endpoints
from harness.execution.ahead import Ahead
from harness.execution.executors import (
    DEFAULT_EXECUTOR,
    Executor,
    OneAtATime,
    SynchronousExecutor,
    executor_named,
)
from harness.execution.latency import Latencies
from harness.execution.machine import Jobs, jobs_of
from harness.execution.making import Display, make, no_display
from harness.execution.measurements import Measurements
from harness.execution.remote import RemoteExecutor
from harness.execution.scheduler import Execution, carry_out
from harness.execution.score_cache import Known, ScoreCache
from harness.llm import shared_answers
from harness.planning import requirements
from harness.planning.graph import Plan, PlannedCall
from harness.remote.places import root_of, store_in
from harness.results import outcomes, running
from harness.suite.roles import Role
from harness.suite.served_uses import ServedUse
from harness.suite.sources import ReadingRule
from harness.suite.spec import Suite
from harness.suite.uses import reading_of
from harness.values.findings import RolePayment
from harness.values.measures import Measure
from harness.values.records import Score

log = logging.getLogger(__name__)

STORE = Path(".harness")
"""The default root: the store, LLM responses, outcomes and diagnoses lie below it."""


class Options(TypedDict, total=False):
    """How an experiment is run, as far as that is no part of its result; see `Session`."""

    display: Display
    executor: Executor | str
    replay: bool
    jobs: Jobs | None


def connect(executor: Executor, suite: Suite, root: Path, display: Display = no_display) -> None:
    """Reach the machines of an executor; what is planned from now on is planned for them. See `RemoteExecutor`."""
    if not isinstance(executor, RemoteExecutor):
        provenance.stages_run_on(None)
        return
    with display(executor.where(suite)):
        provenance.stages_run_on(executor.connect(suite, root))


class Executed(NamedTuple):
    """What came of a plan: score rows by the label of the system, the execution, and what scored it."""

    rows: Mapping[str, list[Score]]
    execution: Execution
    scores: ScoreCache


class Session:
    """Work on one suite in one place.

    `written` is the suite as its file has it; `suite` is the same with each role adapted to what its server is known to
    refuse. Plans are built from `suite`.
    """

    def __init__(
        self,
        suite: Suite,
        root: str | Path = STORE,
        display: Display = no_display,
        executor: Executor | str = DEFAULT_EXECUTOR,
        replay: bool = False,
        jobs: Jobs | None = None,
    ) -> None:
        """`root` is a folder or an address. `executor` is one, or the name of one that runs `jobs` calls side by side.

        See `jobs_of` for these. With `replay`, LLM responses come from the cache alone.
        """
        root = root_of(root)
        self.written, self.root, self.display = suite, root, display
        side_by_side = None if jobs is None else jobs_of(jobs)
        self.executor = executor_named(executor, side_by_side) if isinstance(executor, str) else executor
        self.store = store_in(root)
        self.suite = endpoints.spoken(suite, root)
        self.services = endpoints.services_of(self.suite, root, replay)
        self._checked: set[Role] = set()
        self._planned: set[str] = set()
        self._checked_served: set[str] = set()
        self.share()
        connect(self.executor, self.suite, root, display)

    @staticmethod
    def load(suite: Suite, reading: ReadingRule | None = None) -> Dataset:
        """Check that this machine can run a suite, and load its dataset.

        Raises ConfigError, ModelMissing or DataError with all that is wrong.
        """
        requirements.apply_device(suite)
        requirements.check(suite)
        return load_dataset(suite.dataset, suite.evaluate.split, reading or reading_of(suite))

    def measurements(self, plan: Plan, dataset: Dataset, measures: Sequence[Measure] | None = None) -> Measurements:
        """What the systems of a plan are measured by; `measures` replaces those of its suite."""
        return Measurements(plan, dataset, self.store, self.root, measures)

    def check(self, *planned: Measurements) -> bool:
        """Check the endpoints that these plans need, before any work; see `check_roles`."""
        self.check_served(use for measured in planned for use in endpoints.served_needed(measured.plan, self.store))
        return self.check_roles(
            role
            for measured in planned
            for role in endpoints.roles_needed(measured.plan, self.store, measured.lacks_judgements())
        )

    def check_served(self, uses: Iterable[ServedUse]) -> None:
        """Ask each encoder, reranker and system at an endpoint about one text, once in a session.

        Raises ConfigError if an endpoint cannot be used.
        """
        unchecked = [use for use in uses if use.endpoint.digest not in self._checked_served]
        endpoints.check_served({use.endpoint.digest: use for use in unchecked}.values(), self.services, self.suite)
        self._checked_served.update(use.endpoint.digest for use in unchecked)

    def check_roles(self, roles: Iterable[Role]) -> bool:
        """Ask the endpoint of each role one small question, once in a session.

        Return whether a server refused something that it can do without. Then `suite` has changed, and plans that were
        built from it have to be built again. Raises ConfigError if an endpoint cannot be used.
        """
        unchecked = [role for role in dict.fromkeys(roles) if role not in self._checked]
        endpoints.check(unchecked, self.services, self.suite)
        self._checked.update(unchecked)
        adapted = endpoints.spoken(self.written, self.root)
        if adapted == self.suite:
            return False
        self.suite, self.services = adapted, endpoints.adapted(self.services, adapted)
        return True

    def execute(self, plan: Plan, dataset: Dataset, measures: Sequence[Measure] | None = None) -> Executed:
        """Check the endpoints of a plan, make what it needs, score its systems, and return the rows.

        A call that fails is part of the result. Raises HarnessError if an endpoint cannot be used, or if the plan has
        to be built again (see `check_roles`).
        """
        measurements = self.measurements(plan, dataset, measures)
        if self.check(measurements):
            raise HarnessError("an endpoint refuses a setting that the plan relies on; build the plan again")
        # Stages in this process use torch's global generators, and leave no time to score in.
        if isinstance(self.executor, SynchronousExecutor):
            return self.score(measurements, self.make(plan))
        with Ahead(measurements, self.services) as ahead:
            execution = self.make(plan, ahead.watch)
        return self.score(measurements, execution, ahead.known)

    def make(self, plan: Plan, watch: Callable[[Execution], None] = lambda execution: None) -> Execution:
        """Put the dataset of a plan into the store, and make every artifact that the plan needs; see `carry_out`."""
        self._hold(plan)
        plan.artifacts.publish(self.store)
        try:
            return carry_out(
                plan, self.store, self.executor, display=self.display, services=self.services, watch=watch,
                kept=running.held(self.root, by_others=True),
            )  # fmt: skip
        finally:
            self.share()

    def time(self, plan: Plan) -> Execution:
        """Make every artifact of a plan as `make` does, but one after another: their times tell how fast each is."""
        self._hold(plan)
        plan.artifacts.publish(self.store)
        executor = OneAtATime(self.executor)
        try:
            kept = running.held(self.root, by_others=True)
            return carry_out(plan, self.store, executor, display=self.display, services=self.services, kept=kept)
        finally:
            self.share()

    def _hold(self, plan: Plan) -> None:
        """Keep what a plan needs from being collected while this process lives."""
        keys = {*plan.calls, *plan.artifacts.keys.values()}
        self._planned |= keys
        running.hold(self.root, keys)

    def note_keys(self, folder: Path) -> None:
        """Write the keys of all artifacts that this session used into the folder of its result."""
        outcomes.note_keys(folder, self._planned | self.store.used())

    def make_one(self, planned: PlannedCall) -> Path | None:
        """Return the folder of an artifact that belongs to no plan; it is made if the store lacks it."""
        if not self.store.has(planned.key):
            make(planned, self.store, self.executor)
        return self.store.get(planned.key)

    def score(self, measurements: Measurements, execution: Execution, known: Known | None = None) -> Executed:
        """Score the systems of a plan that was carried out; `known` are scores that were computed in this run."""
        scores = ScoreCache(measurements, execution, self.services, self.display, known)
        try:
            rows = {system.label: scores.rows(system) for system in measurements.plan.systems}
        finally:
            self.share()
        return Executed(rows, execution, scores)

    def share(self) -> None:
        """Exchange LLM answers with other machines, if the root is at an address and an endpoint is configured.

        Raises HarnessError if that fails, unless another error is on its way, which says more.
        """
        if not self.services.served and all(llm.in_process for llm in self.services.roles.values()):
            return
        error = sys.exception()
        try:
            shared_answers.exchange(self.services.folder)
        except HarnessError as failed:
            if error is None:
                raise
            log.warning("answers of LLMs were not exchanged with other machines: %s", failed)

    def latencies(self, plan: Plan) -> Latencies:
        """The probes of a plan."""
        return Latencies(plan, self.store, self.executor, self.display, self.services)

    def paid(self) -> tuple[RolePayment, ...]:
        """What this session paid its endpoints, by role."""
        return endpoints.paid(self.services)
