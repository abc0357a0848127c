"""A suite on a real Ray cluster: two nodes on this machine with one CPU each."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_runs import PATHS, Runs, check_continued, check_retried, check_same, processes, wait_for
from slurm_cluster import free_ports

pytestmark = [pytest.mark.ray, pytest.mark.timeout(6000)]
RAY = Path(sys.executable).parent / "ray"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    pytest.importorskip("ray")
    folder, (port,) = tmp_path_factory.mktemp("ray"), free_ports(1)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    variables = {**os.environ, "PYTHONPATH": PATHS, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", **token}
    common = ["--block", "--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats"]
    head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    nodes = []
    try:
        for words in (head, [f"--address=127.0.0.1:{port}"]):
            nodes.append(node := subprocess.Popen([RAY, "start", *words, *common], env=variables))
            wait_for(lambda: listens(port), node)
        # A cluster that is named comes before the variable.
        yield Runs(folder, {"RAY_ADDRESS": "127.0.0.1:1", **token}, {"ray": {"address": f"127.0.0.1:{port}"}})
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait(120)


def listens(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_suite_has_the_same_artifacts_and_scores(runs: Runs) -> None:
    assert "connect to the Ray cluster 127.0.0.1:" in check_same(runs, "ray", "ray")


def test_a_worker_that_is_killed_is_replaced(runs: Runs) -> None:
    check_retried(runs, "killed", "ray", lambda key: next(iter(processes(f"ray::harness {key[:12]}")), None))


def test_a_run_that_is_killed_goes_on(runs: Runs) -> None:
    check_continued(runs, "continued", "ray")
