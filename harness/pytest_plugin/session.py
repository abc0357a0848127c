"""The suites that one session of pytest has run and judged, each once, also where xdist's workers share the session.

The harness is imported when the first suite is run.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.files import write_atomically

if TYPE_CHECKING:
    from harness.statistics.verdicts import Gating
    from harness.values.findings import Outcome

POINTERS = "pytest"
"""Below the store: which outcome a session's run of a suite made, so that xdist's workers share it."""


class JudgedSuite(NamedTuple):
    """The outcome of a suite, the verdicts of its gates, and the folder of the outcome."""

    outcome: Outcome
    gating: Gating
    folder: Path


class HarnessSession:
    """The suites that this session has run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config, self._own = config, f"alone-{uuid.uuid4().hex}"
        self.store = _place(config, config.getoption("--harness-store"))
        compare = config.getoption("--harness-compare")
        self.baselines = _place(config, compare) if compare else None
        self._known: dict[str, JudgedSuite | Exception] = {}

    def judged(self, suite: str | Path) -> JudgedSuite:
        """Run a suite once a session, and return it judged. An error is raised again on each call."""
        key = str(suite)
        if key not in self._known:
            try:
                self._known[key] = self._judge(suite)
            except Exception as error:
                self._known[key] = error
        judged = self._known[key]
        if isinstance(judged, Exception):
            raise judged
        return judged

    def _judge(self, suite: str | Path) -> JudgedSuite:
        from harness.results import outcomes, sharing
        from harness.suite.files import load_suite

        latest = self.config.getoption("--harness-latest")
        spec, _ = load_suite(suite, with_data=not latest)
        if latest:
            folder = self.store / "outcomes" / spec.name / "latest"
            sharing.refresh(self.store, spec.name)
            outcomes.check_latest(folder.parent)
        else:
            folder = self._once(suite, spec.name)
        return JudgedSuite(outcomes.read(folder), self.gating(suite, folder), folder)

    def gating(self, suite: str | Path, folder: Path) -> Gating:
        """All gates of a suite on an outcome, whichever of their items are chosen. Raises HarnessError if none judges.

        A baseline that is to be saved cannot be required, and its folder may be new.
        """
        from harness.errors import ConfigError
        from harness.gates import commands

        config, saving = self.config, bool(self.config.getoption("--harness-save"))
        required = config.getoption("--harness-require-baseline") or config.getini("harness_require_baseline")
        if saving and self.baselines is not None:
            self.baselines.mkdir(parents=True, exist_ok=True)
        judged = commands.gate(suite, self.store, self.baselines, folder, bool(required) and not saving)
        if not judged.verdicts or not judged.measured:
            raise ConfigError(f"{suite}: nothing was judged: no score of the outcome in {folder} has a value")
        return judged

    def _once(self, suite: str | Path, name: str) -> Path:
        """Run a suite in the first of xdist's workers that asks for it; the others wait for its outcome."""
        from filelock import FileLock

        pointer = self.store / POINTERS / f"{self._id()}-{name}.json"
        pointer.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(pointer.with_suffix(".lock")):
            if not pointer.exists():
                write_atomically(pointer, json.dumps({"suite": str(suite), **self._run(suite)}))
        ran = json.loads(pointer.read_text(encoding="utf-8"))
        if "error" in ran:
            from harness.errors import HarnessError

            raise HarnessError(ran["error"])
        return Path(ran["folder"])

    def _run(self, suite: str | Path) -> dict[str, str]:
        from harness.errors import HarnessError
        from harness.experiments import benchmark

        asked = self.config.getoption
        try:
            done = benchmark.run(
                suite,
                self.store,
                replay=asked("--harness-replay"),
                executor=asked("--harness-executor"),
                jobs=asked("--harness-jobs"),
            )
        except HarnessError as error:
            return {"error": str(error)}
        return {"folder": str(done.folder.resolve())}

    def pointers(self) -> list[Path]:
        """What this session ran; the controller of xdist's workers sees theirs."""
        return sorted((self.store / POINTERS).glob(f"{self._id()}-*.json"))

    def _id(self) -> str:
        """The same in a controller and its workers. The environment may be that of a session around this one."""
        uid = getattr(self.config, "workerinput", {}).get("testrunuid") or run_of(self.config)
        return uid or self._own

    def accept(self, ran: dict[str, str], reason: str) -> tuple[str, bool]:
        """Accept an outcome that every gate lets through; return a sentence, and whether it was accepted."""
        from harness.errors import HarnessError
        from harness.gates import commands
        from harness.report.content.gates import heading

        suite = ran["suite"]
        if "folder" not in ran:
            return f"Not accepted, {suite}: {ran.get('error', 'it was not run to its end')}", False
        try:
            judged = self.gating(suite, Path(ran["folder"]))
            if judged.exit_code:
                return f"Not accepted, {suite}: {heading(judged)}", False
            done = commands.accept(suite, reason, self.store, self.baselines, Path(ran["folder"]))
        except (HarnessError, OSError) as error:
            return f"Not accepted, {suite}: {error}", False
        return commands.what_changed(done)[0], True


def _place(config: pytest.Config, place: str) -> Path:
    """The folder that an option names, relative to the root of the session; the mirror of an address."""
    if "://" not in place:
        return config.rootpath / place
    from harness.remote.places import root_of

    return root_of(place)


def run_of(config: pytest.Config) -> str:
    """The id of a run whose workers are xdist's, seen from their controller."""
    distributing = config.pluginmanager.getplugin("dsession")
    manager = getattr(distributing, "nodemanager", None)
    return str(getattr(manager, "testrunuid", "") or "")
