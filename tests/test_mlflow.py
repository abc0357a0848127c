"""Outcomes, curves and diagnoses in a real server of MLflow, which is there, down, slow, refuses or breaks off."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diagnosed
import mlflow_server
import outcomes as invented
import pytest

from harness.report import write_reports
from harness.suite.tracking import Mlflow, Tracking
from harness.tracking.results import send_curve, send_diagnosis, send_outcome
from harness.values.findings import Outcome
from harness.values.insights import CurvePoint, LearningCurve

pytestmark = [pytest.mark.mlflow, pytest.mark.filterwarnings("ignore")]
WITHOUT_FILES = 1 + 3 * 8 + 2
"""Changes that a server sees are at least so many: an experiment, and some for each run."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server.server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def proxy(address: str) -> Iterator[mlflow_server.Proxy]:
    with mlflow_server.proxy(address) as running:
        yield running


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    """An experiment of the test's own, whose name is not one of a file."""
    return f"Größe/{request.node.name}"


def runs(address: str, experiment: str) -> dict[str, Any]:
    """The runs of an experiment by their keys; none may be there twice."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address)
    there = client.get_experiment_by_name(experiment)
    found = client.search_runs([there.experiment_id], max_results=500) if there else []
    by_key = {run.data.tags["harness.key"]: run for run in found}
    assert len(by_key) == len(found)
    return by_key


def settings(address: str, experiment: str, **more: Any) -> Tracking:
    return Tracking(mlflow=Mlflow(address=address, experiment=experiment), **more)


def written(folder: Path, **changes: Any) -> Outcome:
    """An outcome with its files in a folder."""
    outcome = invented.normal(**changes)
    write_reports(outcome, folder)
    (folder / "outcome.json").write_text(outcome.model_dump_json(), encoding="utf-8")
    return outcome


def test_one_run_a_system_under_a_parent(address: str, experiment: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    outcome = written(tmp_path)
    (done,) = send_outcome(outcome, tmp_path, settings(address, experiment))
    assert done.warning == ""
    assert done.made == len(outcome.systems) + 1
    found = runs(address, experiment)
    parent = found.pop("outcome")
    assert done.place == f"{address}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}"
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    tuned = found["retriever/0"].data
    assert tuned.metrics["ndcg_at_10"] == pytest.approx(0.6014)
    assert tuned.metrics["gain/ndcg_at_10"] == pytest.approx(0.0411)
    assert tuned.metrics["total_p95_ms"] == pytest.approx(1334.6)
    assert tuned.tags["harness.verdict.ndcg_at_10"] == "improved"
    assert tuned.params["tunes"] == "retriever"
    assert parent.data.params["evaluate.split"] == "test"
    assert parent.data.tags["harness.dataset"] == "covidqa"
    client = MlflowClient(tracking_uri=address)
    assert {item.path for item in client.list_artifacts(parent.info.run_id)} == {
        "charts", "outcome.json", "report.html", "report.md"
    }  # fmt: skip
    assert client.list_artifacts(parent.info.run_id, "charts")


def test_the_same_result_again_adds_nothing(address: str, experiment: str, tmp_path: Path) -> None:
    outcome = written(tmp_path)
    tracking = settings(address, experiment)
    send_outcome(outcome, tmp_path, tracking)
    before = runs(address, experiment)
    (again,) = send_outcome(outcome.model_copy(update={"created": "2026-01-01T00:00:00Z"}), tmp_path, tracking)
    assert (again.made, again.warning) == (0, "")
    after = runs(address, experiment)
    assert {run.info.run_id for run in after.values()} == {run.info.run_id for run in before.values()}
    other = outcome.model_copy(update={"split": "dev"})
    (new,) = send_outcome(other, tmp_path, tracking)
    assert new.made == len(outcome.systems) + 1


def test_a_run_that_a_person_deleted_is_written_again(address: str, experiment: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    outcome, tracking = invented.normal(), settings(address, experiment)
    send_outcome(outcome, tmp_path, tracking)
    MlflowClient(tracking_uri=address).delete_run(runs(address, experiment)["outcome"].info.run_id)
    (again,) = send_outcome(outcome, tmp_path, tracking)
    assert again.warning == ""
    found = runs(address, experiment)
    parent = found.pop("outcome").info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent}


@pytest.mark.parametrize(
    ("left", "status"),
    [(0, 403), (1, 0), (2, 500), (5, 0), (9, 403), (17, 0), (WITHOUT_FILES, 0), (WITHOUT_FILES, 500)],
)
def test_a_server_that_breaks_off_is_completed_later(
    left: int, status: int, address: str, proxy: mlflow_server.Proxy, experiment: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    outcome = written(tmp_path)
    proxy.left, proxy.status = left, status
    (broken,) = send_outcome(outcome, tmp_path, settings(proxy.url, experiment))
    assert broken.warning.startswith(f"mlflow at {proxy.url}: the outcome was not sent in full (")
    assert "\n" not in broken.warning
    proxy.left = -1
    (done,) = send_outcome(outcome, tmp_path, settings(proxy.url, experiment))
    assert done.warning == ""
    found = runs(address, experiment)
    assert len(found) == len(outcome.systems) + 1
    assert {run.data.tags["harness.state"] for run in found.values()} == {"complete"}
    assert found["retriever/0"].data.metrics["ndcg_at_10"] == pytest.approx(0.6014)


def test_a_server_that_is_down(experiment: str, tmp_path: Path) -> None:
    closed = f"http://127.0.0.1:{mlflow_server.free_port()}"
    started = time.monotonic()
    (done,) = send_outcome(invented.normal(), tmp_path, settings(closed, experiment))
    assert time.monotonic() - started < 30
    assert "not sent in full" in done.warning


def test_a_server_that_never_answers(experiment: str, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        silent = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = time.monotonic()
        (done,) = send_outcome(invented.normal(), tmp_path, settings(silent, experiment, timeout=6.0))
    assert time.monotonic() - started < 25
    assert "it did not answer within 6 s" in done.warning


def test_a_name_that_no_server_has(experiment: str, tmp_path: Path) -> None:
    (done,) = send_outcome(invented.normal(), tmp_path, settings("http://no-such-host.invalid", experiment, timeout=20))
    assert "not sent in full" in done.warning


def test_a_deleted_experiment_is_named(address: str, experiment: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address)
    client.delete_experiment(client.create_experiment(experiment))
    (done,) = send_outcome(invented.normal(), tmp_path, settings(address, experiment))
    assert "was deleted; restore it, or name another as track.mlflow.experiment" in done.warning


def test_odd_names_long_values_and_failures(address: str, experiment: str, tmp_path: Path) -> None:
    outcome = invented.normal(title="Größe \N{SNOWMAN} " * 40)
    spec = {**outcome.spec, "rubric": "x" * 9000, "dataset": {"columns": {"Frage: wie?": "日本", "Frage! wie?": "a"}}}
    first, *others = outcome.systems
    broken = first.model_copy(update={"failed": "tune_retriever: no memory\nmore " + "y" * 7000})
    nan = outcome.summaries[0].model_copy(update={"mean": None, "n": 0})
    outcome = outcome.model_copy(
        update={"spec": spec, "systems": (broken, *others), "summaries": (nan, *outcome.summaries[1:])}
    )
    (done,) = send_outcome(outcome, tmp_path, settings(address, experiment))
    assert done.warning == ""
    found = runs(address, experiment)
    params = found["outcome"].data.params
    assert len(params["rubric"]) == 500
    columns = {name: value for name, value in params.items() if name.startswith("dataset.columns")}
    assert sorted(columns.values()) == ["a", "日本"]
    assert found[f"{broken.name}/{broken.seed}"].info.status == "FAILED"


def test_more_parameters_than_one_request_takes(address: str, experiment: str, tmp_path: Path) -> None:
    outcome = invented.normal()
    spec = {**outcome.spec, "pipeline": {f"setting{number}": number for number in range(350)}}
    (done,) = send_outcome(outcome.model_copy(update={"spec": spec}), tmp_path, settings(address, experiment))
    assert done.warning == ""
    assert len(runs(address, experiment)["outcome"].data.params) > 350


def test_a_learning_curve_has_steps(address: str, experiment: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    points = tuple(
        CurvePoint(share=share, examples=round(400 * share), system="r", measure="ndcg@10", mean=0.4 + share / 10)
        for share in (0.25, 0.5, 1.0)
    )
    curve = LearningCurve(
        suite="s", candidate="r", split="dev", created="2025-11-23T16:40:12Z", points=points, said={"ndcg@10": "Yes."}
    )
    for made in (1, 0):
        (done,) = send_curve(curve, tmp_path, settings(address, experiment))
        assert (done.made, done.warning) == (made, "")
    run = runs(address, experiment)["curve"]
    history = MlflowClient(tracking_uri=address).get_metric_history(run.info.run_id, "ndcg_at_10")
    assert [(point.step, round(point.value, 3)) for point in history] == [(100, 0.425), (200, 0.45), (400, 0.5)]
    assert run.data.tags["harness.said.ndcg_at_10"] == "Yes."


def test_a_diagnosis_is_one_run(address: str, experiment: str, tmp_path: Path) -> None:
    (done,) = send_diagnosis(diagnosed.diagnosis(), tmp_path, settings(address, experiment))
    assert (done.made, done.warning) == (1, "")
    metrics = runs(address, experiment)["diagnosis"].data.metrics
    assert any(name.startswith("retrieval/answerable/") for name in metrics)


def test_the_address_may_come_from_the_environment(
    address: str, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", experiment)
    (done,) = send_outcome(invented.normal(), tmp_path, Tracking(mlflow=Mlflow()))
    assert done.warning == ""
    assert "outcome" in runs(address, experiment)


def test_a_run_of_the_command_is_tracked_and_sent_again(
    address: str, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way: a suite with tiny models, a server that is down, and the command that sends it later."""
    import sys

    import smallsuite

    from harness.cli import main as cli
    from harness.experiments import benchmark

    monkeypatch.chdir(tmp_path)
    closed = f"http://127.0.0.1:{mlflow_server.free_port()}"
    model = smallsuite.bi_encoder(tmp_path / "model")
    track = {"track": {"mlflow": {"address": closed, "experiment": experiment}}}
    file = smallsuite.write(tmp_path / "suite", model, track)
    done = benchmark.run(file, tmp_path / "store", executor=smallsuite.Here())
    assert done.outcome.notes == tuple(note for note in done.outcome.notes if "mlflow" not in note)
    file.write_text(file.read_text(encoding="utf-8").replace(closed, address), encoding="utf-8")
    for said in ("mlflow: wrote 4 runs; see http://", "mlflow: the outcome was there already"):
        arguments = ["report", str(file), "--store", str(tmp_path / "store"), "--track", "mlflow"]
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
        assert said in capsys.readouterr().err
    assert len(runs(address, experiment)) == 4
