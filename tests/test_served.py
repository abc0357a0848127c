"""A real model behind a real OpenAI-compatible server: `transformers serve` on the embedded language model.

Some ten minutes on two cores; `tox -e llm`. docs/endpoints.md says how to start such a server by hand.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.data import formats
from harness.experiments import benchmark
from harness.models.loaders import convert_gguf, locate

MODEL = "smollm2-135m-instruct"
STARTUP = 180.0

pytestmark = [pytest.mark.llm, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that knows the model by the name of its folder."""
    folder = tmp_path_factory.mktemp("served")
    convert_gguf(locate(f"embedded:{MODEL}"), folder / MODEL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", MODEL]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--device", "cpu"], cwd=folder, stdout=log, stderr=log,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        try:
            _wait_for(f"http://localhost:{port}/health", server, folder / "server.log")
            yield f"http://localhost:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + STARTUP
    while time.monotonic() < ends and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")


def test_a_suite_synthesizes_labels_answers_and_judges_over_http(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = benchmark.run("pocket-served", store=tmp_path)
    rows = {row.stage: row for row in done.outcome.ledger}
    for stage in ("synthesize", "label", "answer"):
        assert rows[stage].llm_calls, f"{stage} asked nobody"
    assert rows["synthesize"].notes["queries written"] > 0
    roles = {row.role: row for row in done.outcome.paid}
    assert set(roles) == {"synthesizer", "labeler", "generator", "judge"}
    scores = formats.read_parquet(done.folder / "scores.parquet")
    answered = [row for row in scores if row["measure"] == "exact_match" and row["status"] == "ok"]
    assert answered
    # So small a model often writes no valid JSON; every judgement is a score or a reason all the same.
    judged = [row for row in scores if row["measure"] == "faithfulness"]
    assert judged
    assert all((row["status"] == "ok") == (row["value"] is not None) for row in judged)
    assert all(row["reason"] for row in judged if row["status"] != "ok")
    again = benchmark.run("pocket-served", store=tmp_path, replay=True)
    assert not again.outcome.paid
