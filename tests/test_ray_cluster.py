"""A suite on a real Ray cluster: two nodes on this machine with one CPU each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster_runs import Runs, check_continued, check_retried, check_same, worker_of_ray
from ray_cluster import RayNodes

pytestmark = [pytest.mark.ray, pytest.mark.timeout(6000)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    pytest.importorskip("ray")
    folder = tmp_path_factory.mktemp("ray")
    with RayNodes(folder, {}) as nodes:
        # A cluster that is named comes before the variable.
        yield Runs(folder, {"RAY_ADDRESS": "127.0.0.1:1", **nodes.token}, {"ray": {"address": nodes.address}})


def test_a_suite_has_the_same_artifacts_and_scores(runs: Runs) -> None:
    assert "connect to the Ray cluster 127.0.0.1:" in check_same(runs, "ray", "ray")


def test_a_worker_that_is_killed_is_replaced(runs: Runs) -> None:
    check_retried(runs, "killed", "ray", worker_of_ray)


def test_a_run_that_is_killed_goes_on(runs: Runs) -> None:
    check_continued(runs, "continued", "ray")
