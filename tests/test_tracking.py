"""What trackers are told of a result, and that nothing which a tracker does reaches the result.

Trackers are modules that misbehave, in the real child process; for MLflow itself see test_mlflow.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import outcomes as invented
import pytest

from harness.errors import ConfigError, Incomplete
from harness.suite.tracking import Mlflow, Tracking, Trackio
from harness.tracking.of_outcome import of_outcome
from harness.tracking.records import Metric, Tracked, TrackedRun, flat, metrics
from harness.tracking.results import send_outcome
from harness.values.findings import Outcome

MODULE = """
import os, subprocess, sys, time
def act(what):
    {body}
class MlflowClient:
    def __init__(self, **options):
        act("client")
"""


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a module `mlflow` before all others, whose client runs this code instead of asking a server."""

    def with_body(body: str) -> Path:
        folder = tmp_path / "modules"
        folder.mkdir(exist_ok=True)
        (folder / "mlflow.py").write_text(MODULE.format(body=body), encoding="utf-8")
        before = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *([before] if before else [])]))
        return folder

    return with_body


def sent(tmp_path: Path, **settings: Any) -> str:
    """The warning of one outcome that is sent to MLflow."""
    tracking = Tracking(mlflow=Mlflow(address="http://127.0.0.1:9"), **settings)
    (done,) = send_outcome(invented.normal(), tmp_path, tracking)
    assert "\n" not in done.warning
    return done.warning


# ---- what is told


def test_an_outcome_is_a_run_with_one_run_a_system(tmp_path: Path) -> None:
    outcome = invented.normal()
    tracked = of_outcome(outcome, tmp_path)
    assert [run.name for run in tracked.runs] == [system.label for system in outcome.systems]
    assert len({run.key for run in tracked.runs}) == len(outcome.systems)
    assert tracked.parent.params["measures"] == ", ".join(outcome.measures)
    assert "candidates.retriever.pairs" not in tracked.parent.params
    (tuned,) = [run for run in tracked.runs if run.key == "retriever/0"]
    told = {metric.name: metric.value for metric in tuned.metrics}
    assert (told["ndcg@10"], told["gain/ndcg@10"], told["gain_low/ndcg@10"]) == (0.6014, 0.0411, 0.0124)
    assert (told["retrieval_p95_ms"], told["build_seconds"]) == (22.81, 845.2)
    assert tuned.tags["verdict.ndcg@10"] == "improved"
    assert tuned.params["tunes"] == "retriever"


def test_the_files_are_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    for name in ("outcome.json", "report.md", "charts/forest.svg", "scores.parquet"):
        (tmp_path / name).write_text("x")
    assert of_outcome(invented.normal(), tmp_path).files == ("outcome.json", "report.md", "charts/forest.svg")
    assert of_outcome(invented.normal(), tmp_path, artifacts=False).files == ()


@pytest.mark.parametrize("changes", [{"created": "2026-01-01T00:00:00Z"}, {"seconds": 1.0}, {"provenance": {}}])
def test_the_same_result_made_again_has_the_same_identity(changes: dict[str, Any], tmp_path: Path) -> None:
    before = of_outcome(invented.normal(), tmp_path)
    assert of_outcome(invented.normal(**changes), tmp_path / "elsewhere").identity == before.identity


def test_costs_and_latencies_are_no_part_of_the_identity(tmp_path: Path) -> None:
    outcome = invented.normal()
    slower = tuple(
        system.model_copy(update={"build_seconds": 9.0, "serving": None}) for system in outcome.systems
    )  # fmt: skip
    other = outcome.model_copy(update={"systems": slower})
    assert of_outcome(other, tmp_path).identity == of_outcome(outcome, tmp_path).identity


def _with_mean(outcome: Outcome, mean: float | None) -> Outcome:
    first, *others = outcome.summaries
    return outcome.model_copy(update={"summaries": (first.model_copy(update={"mean": mean}), *others)})


def test_another_score_is_another_result(tmp_path: Path) -> None:
    outcome = invented.normal()
    identities = {of_outcome(_with_mean(outcome, mean), tmp_path).identity for mean in (0.1, 0.2, None)}
    assert len(identities) == 3


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_metric(unknown: float | None) -> None:
    assert list(metrics({"a": unknown, "b": 0, "c": 1.5})) == [Metric(name="b", value=0), Metric(name="c", value=1.5)]


def test_settings_are_flat() -> None:
    section = {"a": {"b": 1, "none": None}, "empty": [], "list": [1, 2e-05], "flag": True, "rows": [{"x": 1}], "t": ""}
    assert dict(flat(section)) == {"a.b": "1", "list": "1, 2e-05", "flag": "true", "rows": '[{"x":1}]'}


def test_a_record_survives_the_pipe(tmp_path: Path) -> None:
    tracked = of_outcome(invented.normal(title="Größe \N{SNOWMAN}"), tmp_path)
    again = Tracked.model_validate_json(tracked.model_dump_json())
    assert (again, again.identity) == (tracked, tracked.identity)


# ---- trackers that misbehave


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ConnectionError('refused\\nmore')", "ConnectionError: refused"),
        ("raise SystemExit(3)", "its client ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "its client ended with exit code -9"),
        ("raise ModuleNotFoundError('x', name='mlflow.tracking')", "pip install 'rag-tuning-harness[mlflow]'"),
        ("raise ModuleNotFoundError('no alembic', name='alembic')", "ModuleNotFoundError: no alembic"),
        ("sys.stdout.write('x' * 10**7); raise ValueError('after much output')", "ValueError: after much output"),
        ("raise ValueError('no ' + 'http://' + 'user:pass' + '@host/x')", "ValueError: no http://***@host/x"),
        ("raise ValueError()", "(ValueError)"),
    ],
)
def test_a_tracker_that_fails_is_one_warning(
    body: str, said: str, faulty: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faulty(body)
    with caplog.at_level(logging.WARNING):
        warning = sent(tmp_path)
    assert said in warning
    assert warning.startswith("mlflow at http://127.0.0.1:9: the outcome was not sent in full (")
    assert warning.endswith("'harness report covidqa --track mlflow' sends it again")
    assert [record.getMessage() for record in caplog.records] == [warning]


def test_a_tracker_that_hangs_is_ended_with_what_it_started(faulty: Callable[[str], Path], tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    faulty(
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"    open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    started = time.monotonic()
    warning = sent(tmp_path, timeout=3.0)
    assert time.monotonic() - started < 20
    assert "it did not answer within 3 s, see track.timeout" in warning
    pid = int(note.read_text())
    for _ in range(100):
        if not _runs(pid):
            return
        time.sleep(0.05)
    raise AssertionError("what the tracker started still runs")


def _runs(pid: int) -> bool:
    """Whether a process runs; one that has ended, and that nobody has waited for, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_interruption_ends_the_sending_and_not_the_run(
    faulty: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty("time.sleep(60)")
    real, calls = __import__("subprocess").Popen.wait, list[object]()

    def wait(self: Any, timeout: float | None = None) -> int:
        calls.append(timeout)
        if len(calls) == 1:
            raise KeyboardInterrupt
        code: int = real(self, timeout)
        return code

    monkeypatch.setattr("subprocess.Popen.wait", wait)
    assert "(interrupted)" in sent(tmp_path)


def test_no_telemetry_and_short_patience(faulty: Callable[[str], Path], tmp_path: Path) -> None:
    told = tmp_path / "environment"
    names = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    faulty(f"open({str(told)!r}, 'w').write(' '.join(os.environ[name] for name in {names!r})); raise ValueError('x')")
    sent(tmp_path)
    assert told.read_text() == "true true 1 2"


def test_a_module_in_the_current_folder_is_no_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.py").write_text("raise ValueError('taken from the current folder')")
    monkeypatch.chdir(tmp_path)
    assert "current folder" not in sent(tmp_path)


def test_a_mistake_of_ours_costs_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("what is told")

    monkeypatch.setattr("harness.tracking.results.of_outcome", broken)
    assert send_outcome(invented.normal(), tmp_path, Tracking(mlflow=Mlflow())) == []
    assert "nothing was sent to mlflow (ZeroDivisionError: what is told)" in caplog.text


def test_without_trackers_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.Popen", started)
    assert send_outcome(invented.normal(), tmp_path, Tracking()) == []


# ---- the section of a suite


def suite_with(text: str) -> Tracking:
    import pocket

    from harness.suite.files import parse_suite

    return parse_suite(f"{pocket.suite_text()}\n{text}\n", Path("suite.yaml")).track


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("track: mlflow", ["mlflow"]),
        ("track: [mlflow, trackio]", ["mlflow", "trackio"]),
        ("track: {trackio: {project: p}}", ["trackio"]),
        ("track: {mlflow: null}", []),
        ("", []),
    ],
)
def test_trackers_are_named_in_short_or_with_settings(text: str, names: list[str]) -> None:
    assert list(suite_with(text).named) == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("track: mlfow", r"track.mlfow: unknown key; did you mean 'mlflow'\?"),
        ("track: [mlflow, mlflow]", "'mlflow' is named twice"),
        ("track: {mlflow: {address: 'http://u:p" + "@h'}}", "user or a password"),
        ("track: {timeout: 0}", "track.timeout"),
    ],
)
def test_a_wrong_section_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        suite_with(text)


def test_one_tracker_may_be_asked_for_that_the_suite_does_not_name() -> None:
    tracking = Tracking(mlflow=Mlflow(experiment="e"), timeout=5.0)
    assert tracking.with_only("trackio") == Tracking(trackio=Trackio(), timeout=5.0)
    assert tracking.with_only("mlflow") == tracking


def test_a_suite_with_trackers_makes_the_same_plan() -> None:
    """Where results are sent is part of no key."""
    import pocket

    from harness.planning.plan import build_plan

    plans = [build_plan(pocket.suite(changes), pocket.dataset()) for changes in ({}, {"track": "mlflow"})]
    assert plans[0].calls.keys() == plans[1].calls.keys()


# ---- the page


PAGE = Path(__file__).resolve().parent.parent / "docs" / "trackers.md"


def test_the_page_names_every_metric_and_tag(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    tracked = of_outcome(invented.normal(), tmp_path)
    runs: list[TrackedRun] = [tracked.parent, *tracked.runs]
    told = {metric.name for run in runs for metric in run.metrics if "@" not in metric.name or "/" in metric.name}
    # Of what there is for each measure, the page shows the beginning.
    told = {name.partition("/")[0] + "/" if "/" in name else name for name in told} - set(invented.MEASURES)
    told |= {name.partition(".")[0] for run in runs for name in run.tags} | set(tracked.origin)
    assert len(told) > 20
    shown = re.findall(r"`([\w./@]+)`", page)
    assert told <= {name.partition("/")[0] + "/" if "/" in name else name.partition(".")[0] for name in shown}


def test_the_examples_of_the_page_are_sections_of_a_suite() -> None:
    import textwrap

    blocks = re.findall(r"^    track:.*(?:\n    .*)*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(blocks) >= 2
    for block in blocks:
        assert suite_with(textwrap.dedent(block)).named


def test_a_reply_that_is_damaged_is_a_problem(faulty: Callable[[str], Path], tmp_path: Path) -> None:
    faulty("open(sys.argv[-1], 'w').write('{'); os._exit(0)")
    assert "its client ended with exit code 0" in sent(tmp_path)


# ---- the command that sends later


def test_an_unknown_tracker_is_refused() -> None:
    from harness.cli import report

    with pytest.raises(ConfigError, match=r"--track: no tracker 'mlfow'; did you mean 'mlflow'\?"):
        report._trackers(["trackio", "mlfow"])
    assert report._trackers(["trackio", "mlflow"]) == ["mlflow", "trackio"]


def test_the_command_fails_if_a_tracker_still_takes_nothing(
    faulty: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli import report

    monkeypatch.chdir(tmp_path)
    faulty("raise ConnectionError('down')")
    with pytest.raises(Incomplete, match="the outcome was not sent in full to mlflow"):
        report._send(invented.normal(), tmp_path, "no-such-suite", ["mlflow"])


def test_the_command_has_the_settings_of_the_outcome_where_the_suite_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli import report

    asked: list[Tracking] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "send_outcome", lambda outcome, folder, tracking: asked.append(tracking) or [])
    outcome = invented.normal()
    outcome = outcome.model_copy(update={"spec": {**outcome.spec, "track": {"mlflow": {"experiment": "e"}}}})
    report._send(outcome, tmp_path, "no-such-suite", ["mlflow"])
    assert asked == [Tracking(mlflow=Mlflow(experiment="e"))]
