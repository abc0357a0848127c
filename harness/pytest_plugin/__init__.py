"""The pytest plugin: `pytest suites/quickstart` runs a suite and turns each of its gates into a test.

A suite file (with the schema marker) is collected as one item for each system and gate, and one for accepted systems
that are missing. A suite runs once a session, also under xdist, before its first item; if it cannot run, its items are
errors and are not skipped. The harness is imported when the first suite file is collected.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.pytest_plugin.session import HarnessSession, run_of

if TYPE_CHECKING:
    from harness.statistics.verdicts import Gated, Gating
    from harness.suite.spec import Suite
    from harness.values.findings import Outcome

MARKER = re.compile(r"^schema:\s*[\"']?harness/suite-\d", re.MULTILINE)
READ_FOR_MARKER = 4096
GONE = "accepted systems"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("harness", "benchmarks of RAG tuning")
    group.addoption(
        "--harness-store",
        metavar="PLACE",
        default=".harness",
        type=_given,
        help="folder or address of artifacts and outcomes",
    )
    group.addoption(
        "--harness-compare",
        metavar="PLACE",
        default=None,
        type=_given,
        help="folder or address of accepted scores (default: beside the suite)",
    )
    group.addoption(
        "--harness-save",
        metavar="REASON",
        default=None,
        type=_given,
        help="accept the outcomes of this session, if all gates passed",
    )
    group.addoption(
        "--harness-executor",
        metavar="NAME",
        default="child",
        type=_given,
        help="where stage calls run: child (processes on this machine), ray or slurm",
    )
    group.addoption(
        "--harness-jobs",
        metavar="N",
        default=None,
        type=_jobs,
        help="stage calls that run side by side: 1 by default, on a cluster as many as it has room for; 'auto' is one "
        "per two cores",
    )
    group.addoption("--harness-replay", action="store_true", help="use cached LLM responses only; fail on a cache miss")
    group.addoption("--harness-latest", action="store_true", help="judge the latest outcome without running the suite")
    group.addoption("--harness-require-baseline", action="store_true", help="fail for a suite without accepted scores")
    parser.addini("harness_require_baseline", "the same, for all sessions", type="bool", default=False)


def _given(text: str) -> str:
    """The value of an option; refused where it is empty, as a variable that is not set leaves it."""
    if not text.strip():
        raise argparse.ArgumentTypeError("empty; give a value (is a variable of the shell not set?)")
    return text


def _jobs(text: str) -> int:
    """How many stage calls run side by side."""
    from harness.errors import ConfigError
    from harness.execution.machine import jobs_of

    try:
        return jobs_of(text)
    except ConfigError as error:
        problem = error.problems[0]
        raise argparse.ArgumentTypeError(f"{problem.what}; {problem.hint}") from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix not in (".yaml", ".yml") or not _is_suite(file_path):
        return None
    suite: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
    return suite


def _is_suite(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return MARKER.search(file.read(READ_FOR_MARKER)) is not None
    except OSError:
        return False


class SuiteFile(pytest.File):
    """A suite: items for every system and gate."""

    def collect(self) -> Iterator[GateItem]:
        from harness.errors import HarnessError
        from harness.suite.files import load_suite

        try:
            suite, _ = load_suite(self.path, with_data=not self.config.getoption("--harness-latest"))
        except HarnessError as error:
            raise self.CollectError(str(error)) from error
        if not suite.gates:
            raise self.CollectError(f"{self.path}: nothing is gated, so there is nothing to test; add gates")
        for system in systems_of(suite):
            for gate in suite.gates:
                drifts = gate.served is None or gate.served.candidate == system.name
                if drifts and _can_have(system, gate.measure):
                    yield GateItem.from_parent(self, name=f"{system.label}-{gate.name}", tested=(system, gate.name))
        yield GateItem.from_parent(self, name=GONE, tested=None)


class GatedSystem(NamedTuple):
    """A system that has items: one that trains nothing, or a trained candidate with a seed."""

    name: str
    seed: int | None = None

    @property
    def label(self) -> str:
        return self.name if self.seed is None else f"{self.name} (seed {self.seed})"

    def has(self, verdict: Gated) -> bool:
        """Whether a verdict belongs to it: a verdict on a recipe belongs to each of its seeds."""
        if verdict.system != self.name:
            return False
        return verdict.about == "system" if self.seed is None else self.seed in verdict.seeds


def systems_of(suite: Suite) -> list[GatedSystem]:
    """The systems of a suite that gates can judge: what could be served, trained candidates with a seed each."""
    from harness.values.systems import BOUNDS

    rows = [GatedSystem(name) for name in suite.baseline_rows if name not in BOUNDS]
    for name, candidate in suite.all_candidates.items():
        rows += [GatedSystem(name, seed) for seed in (suite.seeds if candidate.tune else (None,))]
    return rows


def _can_have(system: GatedSystem, measure: Any) -> bool:
    """Whether there can be a verdict: examples in the prompt change no run, so `few-shot` has no rank measure."""
    return not (system.name == "few-shot" and measure is not None and measure.is_rank)


class GateFailed(Exception):
    """A gate failed; the message is the sentence of its verdict."""


class GateItem(pytest.Item):
    """One system under one gate. `tested` is None for the item of all failing verdicts that have no item."""

    def __init__(self, *, tested: tuple[GatedSystem, str] | None, **options: Any) -> None:
        super().__init__(**options)
        self.tested = tested

    def setup(self) -> None:
        """Run the suite, once a session. What is raised here is an error of the test, not a failure."""
        from harness.errors import HarnessError

        try:
            self.judged = _session(self.config).judged(self.path)
        except HarnessError as error:
            # pytest asks `repr_failure` for failures of the call alone.
            pytest.fail(str(error), pytrace=False)

    def runtest(self) -> None:
        from harness.report.content.gates import sentence

        verdicts = self._verdicts(self.judged.gating)
        for verdict in verdicts:
            self.add_report_section("call", "harness", sentence(verdict))
        failing = [verdict for verdict in verdicts if verdict.fails]
        if failing:
            raise GateFailed("\n".join(map(sentence, failing)))
        if not verdicts and self.tested is not None:
            system, gate = self.tested
            why = self.judged.outcome.not_run.get(system.label, "this dataset gives it no such score")
            pytest.skip(f"{system.label} has no {gate}: {why}")

    def _verdicts(self, gating: Gating) -> list[Gated]:
        """The verdicts that this item stands for."""
        if self.tested is not None:
            return [verdict for verdict in gating.verdicts if _belongs(verdict, self.tested)]
        items = [item for item in self.session.items if isinstance(item, GateItem) and item.path == self.path]
        tested = [item.tested for item in items if item.tested is not None]
        return [
            verdict
            for verdict in gating.verdicts
            if verdict.fails and not any(_belongs(verdict, pair) for pair in tested)
        ]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | Any:
        from harness.errors import HarnessError

        if isinstance(excinfo.value, GateFailed | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.path.parent.name}: {self.name}"


def _belongs(verdict: Gated, tested: tuple[GatedSystem, str]) -> bool:
    system, gate = tested
    return verdict.gate == gate and system.has(verdict)


_KEY = pytest.StashKey[HarnessSession]()


def _session(config: pytest.Config) -> HarnessSession:
    if _KEY not in config.stash:
        config.stash[_KEY] = HarnessSession(config)
    return config.stash[_KEY]


@pytest.fixture(scope="session")
def harness_outcome(request: pytest.FixtureRequest) -> Callable[[str | Path], Outcome]:
    """Return the outcome of a suite (a shipped name, a file or a folder), which is run once a session."""

    def outcome_of(suite: str | Path) -> Outcome:
        return _session(request.config).judged(suite).outcome

    return outcome_of


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With --harness-save, accept the outcomes of a session that passed, if all gates pass, deselected ones too."""
    config = session.config
    if hasattr(config, "workerinput"):
        return
    pointers = _session(config).pointers() if _ran(config) else []
    reason = config.getoption("--harness-save")
    if reason:
        saved = _save(config, pointers, reason, exitstatus)
        config.stash[_SAVED] = [line for line, _ in saved]
        if exitstatus == 0 and not all(done for _, done in saved):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    for path in pointers:
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)


_SAVED = pytest.StashKey[list[str]]()


def _ran(config: pytest.Config) -> bool:
    return _KEY in config.stash or bool(run_of(config))


def _save(config: pytest.Config, pointers: list[Path], reason: str, exitstatus: int) -> list[tuple[str, bool]]:
    """Accept the outcome of every suite that was run; return a line for each, and whether it was accepted."""
    if exitstatus != 0:
        return [("Nothing was accepted: the session did not pass.", False)]
    if not pointers:
        return [("Nothing was accepted: this session ran no suite.", False)]
    return [_session(config).accept(json.loads(path.read_text(encoding="utf-8")), reason) for path in pointers]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash.get(_SAVED, []):
        terminalreporter.write_line(line)
