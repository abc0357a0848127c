"""Stage calls on a Ray cluster: one task for each call.

The cluster is always named: by the suite, by RAY_ADDRESS, or as ``local``, which starts one here. Left to itself, Ray
joins whatever cluster it finds on the machine. Ray's own retries are off, since it would not say how often it tried;
`remote` sends a call again whose worker died. Ray must be imported in this module only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import ConfigError, ModelMissing, Problem, StageFailed
from harness.execution import machine
from harness.execution.remote import RemoteExecutor, Task, WorkerLost
from harness.execution.worker import INSTALL_THERE, Result
from harness.planning.resources import Resources
from harness.suite.execution import RayCluster
from harness.suite.spec import Suite

ADDRESS = "RAY_ADDRESS"
LOCAL = "local"
OBJECTS_BYTES = 100 * 2**20
"""Memory for objects of a cluster that is started here: calls are sent without data."""
MEGABYTE = 2**20
PATIENCE, LOOKS_EVERY = 600.0, 10.0
"""Seconds that a task waits for a machine that has what it asks for, as some clusters start machines when they are
asked, and seconds between two looks at the machines."""
log = logging.getLogger(__name__)


class RayExecutor(RemoteExecutor):
    """Sends calls to the workers of a Ray cluster."""

    kind = "ray"
    _ray: Any
    _settings = RayCluster()
    _known: Mapping[str, float] = {}
    """What the cluster had when it last answered."""

    @property
    def cpus(self) -> int:
        return self._settings.cpus

    def where(self, suite: Suite) -> str:
        address = _address(suite)
        return "start a Ray cluster on this machine" if address == LOCAL else f"connect to the Ray cluster {address}"

    def reach(self, suite: Suite) -> bool:
        self._settings = suite.execution.ray
        self._ray = _imported()
        _join(self._ray, _address(suite))
        nodes = _machines(self._ray)
        most = max((node.get("CPU", 0) for node in nodes), default=0)
        # A cluster elsewhere may start machines when they are asked for: a task waits for one (see `_Shortage`).
        if self.cpus > most > 0 and _address(suite) == LOCAL:
            what = f"a call asks for {self.cpus} CPUs, and no machine of the cluster has more than {most:.0f}"
            raise ConfigError(Problem("execution.ray.cpus", what, f"give at most {most:.0f}"))
        if any(node.get("GPU", 0) >= 1 for node in nodes) or (suite.device == "cuda" and _address(suite) != LOCAL):
            return True
        if suite.device == "auto" and _address(suite) != LOCAL:
            log.warning("no machine of the Ray cluster has a GPU now; planned for CPUs (device: cuda waits for a GPU)")
        return False

    @property
    def _gone(self) -> tuple[type[Exception], ...]:
        """What Ray raises where its head does not answer."""
        return self._ray.exceptions.RayError, ConnectionError, RuntimeError

    def capacity(self) -> Resources:
        with contextlib.suppress(*self._gone):
            self._known = self._ray.cluster_resources()
        offered = self._known
        # Memory is for Ray to keep: a task waits until a machine has what it asks for.
        return Resources(max(1, int(offered.get("CPU", 0) // self.cpus)), int(offered.get("GPU", 0)))

    def run_task(self, task: Task, attempt: int, watch: Callable[[], None]) -> Result:
        try:
            return self._run_task(task, attempt, watch)
        except self._gone as error:
            what = f"the Ray cluster does not answer any more ({_last_line(error)})"
            raise StageFailed(f"{what}; see whether its head is up, and run again") from None

    def _run_task(self, task: Task, attempt: int, watch: Callable[[], None]) -> Result:
        ray, errors = self._ray, self._ray.exceptions
        lost = (errors.WorkerCrashedError, errors.NodeDiedError, errors.LocalRayletDiedError, errors.OutOfMemoryError)
        asked = self._asked(task)
        sent = ray.remote(task.function).options(name=f"harness {task.name[:12]}", **asked)
        reference, shortage = sent.remote(task.argument, task.place, attempt), _Shortage(asked)
        while True:
            if task.cancelled.is_set():
                with contextlib.suppress(errors.RayError):
                    ray.cancel(reference, force=True)
                raise StageFailed("cancelled")
            try:
                result: Result = ray.get(reference, timeout=self.polls)
            except errors.GetTimeoutError:
                watch()
                if told := shortage.over(ray):
                    with contextlib.suppress(errors.RayError):
                        ray.cancel(reference, force=True)
                    raise StageFailed(told) from None
            except errors.OutOfMemoryError:
                hint = "the machine was out of memory: use smaller batches, or fewer CPUs a machine"
                raise WorkerLost(f"Ray stopped its worker; {hint}") from None
            except lost:
                raise WorkerLost("its Ray worker died; see the logs of the cluster") from None
            except errors.RayError as error:
                raise StageFailed(f"its Ray task failed: {_last_line(error)}; {INSTALL_THERE}") from None
            else:
                return result

    def _asked(self, task: Task) -> dict[str, Any]:
        """What a task asks of the cluster; never more memory than a machine has, as it would wait for ever."""
        asked: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": int(task.needs.gpu), "max_retries": 0}
        if self._settings.resources:
            asked["resources"] = dict(self._settings.resources)
        if task.needs.memory_mb:
            nodes = _machines(self._ray)
            able = [node for node in nodes if _offers(node, _by_name(asked))]
            most = max((node.get("memory", 0) for node in able or nodes), default=0)
            asked["memory"] = int(min(task.needs.memory_mb * MEGABYTE, most)) or None
        return asked


class _Shortage:
    """How long no machine of the cluster has had all that a task asks for; Ray lets it wait without a word."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._needs = _by_name(asked)
        self._looked, self._since = time.monotonic(), float("inf")

    def over(self, ray: Any) -> str:
        """Return why the task will not run; empty while it runs, may run, or a machine for it may still come."""
        now = time.monotonic()
        if now - self._looked < LOOKS_EVERY:
            return ""
        self._looked = now
        if any(_offers(node, self._needs) for node in _machines(ray)):
            self._since = float("inf")
            return ""
        wanted = " and ".join(f"{amount:g} {name}" for name, amount in self._needs.items() if name != "memory")
        what = f"no machine of the Ray cluster has {wanted}"
        if self._since == float("inf"):
            self._since = now
            log.warning("%s; waiting for one", what)
        if now - self._since < PATIENCE:
            return ""
        hint = "correct execution.ray.cpus or execution.ray.resources, or start such a machine"
        return f"{what}, and none came in {PATIENCE / 60:.0f} minutes; {hint}"


def _machines(ray: Any) -> list[Mapping[str, float]]:
    """What each machine of the cluster has in all, by the names of Ray."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _by_name(asked: Mapping[str, Any]) -> dict[str, float]:
    """What the options of a task ask for, by the names that machines give it."""
    options = {"CPU": asked.get("num_cpus"), "GPU": asked.get("num_gpus"), "memory": asked.get("memory")}
    return {name: float(amount) for name, amount in {**options, **asked.get("resources", {})}.items() if amount}


def _offers(node: Mapping[str, float], needs: Mapping[str, float]) -> bool:
    return all(node.get(name, 0) >= amount for name, amount in needs.items())


def _address(suite: Suite) -> str:
    return suite.execution.ray.address or os.environ.get(ADDRESS) or LOCAL


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        what = "needs the package ray, which is not installed"
        raise ModelMissing(Problem("--executor ray", what, "run: pip install 'rag-tuning-harness[ray]'")) from None
    return ray


def _join(ray: Any, address: str) -> None:
    """Connect to the cluster, or start one. Raises ConfigError if that fails."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    here: dict[str, Any] = {}
    if address == LOCAL:
        # Otherwise Ray leaves a token in the home folder, and clusters that are started later would ask for it.
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        here = {"num_cpus": machine.cores(), "include_dashboard": False, "object_store_memory": OBJECTS_BYTES}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **here)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = "execution.ray.address or RAY_ADDRESS"
        hint = "start one with `ray start --head`, or name none to start one here"
        hint += "; if it asks for a token, set RAY_AUTH_MODE"
        raise ConfigError(Problem(where, f"no Ray cluster at {address!r}: {_last_line(error)}", hint)) from None


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
