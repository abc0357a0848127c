"""A suite on real clusters of this machine whose machines share a store on a server of S3, and no folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slurm_cluster
from cluster_runs import (
    Runs,
    check_continued,
    check_retried,
    check_same,
    ended,
    wait_for,
    worker_of_ray,
    worker_of_slurm,
)
from moto_server import Moto
from ray_cluster import RayNodes
from slurm_cluster import SlurmNode

pytestmark = [pytest.mark.timeout(6000), pytest.mark.filterwarnings("ignore::DeprecationWarning")]
OUTAGE = 20.0


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    pytest.importorskip("moto")
    with Moto() as moto, pytest.MonkeyPatch.context() as patch:
        # This process looks at what is there, as one more machine.
        for name, value in {**moto.variables, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("looks"))}.items():
            patch.setenv(name, value)
        yield moto


@pytest.fixture(scope="module")
def ray(moto: Moto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    pytest.importorskip("ray")
    folder = tmp_path_factory.mktemp("ray")
    with RayNodes(folder, moto.variables) as nodes:
        variables = {**moto.variables, **nodes.token}
        yield Runs(folder, variables, {"ray": {"address": nodes.address}}, moto.bucket(), nodes.caches)


@pytest.fixture(scope="module")
def node(moto: Moto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmNode]:
    pytest.importorskip("submitit")
    if not slurm_cluster.installed():
        pytest.skip("needs root, and Debian's slurm-wlm and munge")
    with SlurmNode(tmp_path_factory.mktemp("slurm") / "node") as node:
        yield node


def slurm_runs(node: SlurmNode, moto: Moto, folder: Path, *setup: str) -> Runs:
    """Runs whose jobs have a cache of their own. They get credentials by `setup` alone."""
    settings: dict[str, Any] = {"minutes": 30, "jobs": 2, "memory_mb": 4000, "folder": str(folder / "jobs")}
    cache = folder / "cache of the nodes"
    settings["setup"] = [f"export XDG_CACHE_HOME='{cache}'", *setup]
    variables = {"SLURM_CONF": str(node.configuration), **moto.variables}
    return Runs(folder, variables, {"slurm": settings}, moto.bucket(), [cache])


@pytest.fixture(scope="module")
def slurm(node: SlurmNode, moto: Moto, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    given = {name: moto.variables[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    (folder / "credentials").write_text("".join(f"export {name}={value}\n" for name, value in given.items()))
    return slurm_runs(node, moto, folder, f". '{folder / 'credentials'}'")


@pytest.mark.ray
def test_ray_has_the_same_artifacts_and_scores(ray: Runs) -> None:
    assert "connect to the Ray cluster 127.0.0.1:" in check_same(ray, "ray", "ray")
    # Both nodes made something, each with copies of its own.
    assert all(any(cache.rglob("manifest.json")) for cache in ray.caches)


@pytest.mark.ray
def test_a_worker_of_ray_that_is_killed_is_replaced(ray: Runs) -> None:
    began = time.monotonic()
    check_retried(ray, "killed", "ray", worker_of_ray)
    # Its lease is not waited for.
    assert time.monotonic() - began < 280


@pytest.mark.ray
def test_a_run_on_ray_that_is_killed_goes_on(ray: Runs) -> None:
    check_continued(ray, "continued", "ray")


@pytest.mark.ray
def test_a_server_that_is_away_for_a_while_is_waited_for(ray: Runs, moto: Moto) -> None:
    run = ray.started("away", "ray")
    wait_for(lambda: len(ray.facts("away")) >= 1, run)
    moto.stop()
    time.sleep(OUTAGE)
    moto.start()
    ended(run)
    assert ray.artifacts("away") == ray.artifacts(ray.here)
    assert ray.scores("away") == ray.scores(ray.here)


@pytest.mark.slurm
def test_slurm_has_the_same_artifacts_and_scores(slurm: Runs, node: SlurmNode) -> None:
    check_same(slurm, "slurm", "slurm")
    secrets = [slurm.variables[name].encode() for name in ("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY")]
    kept = [path for path in node.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept for secret in secrets if secret in path.read_bytes()]


@pytest.mark.slurm
def test_a_job_of_slurm_that_is_killed_is_replaced(slurm: Runs) -> None:
    check_retried(slurm, "killed", "slurm", worker_of_slurm)


@pytest.mark.slurm
def test_a_worker_without_credentials_is_one_sentence(node: SlurmNode, moto: Moto, tmp_path: Path) -> None:
    run = slurm_runs(node, moto, tmp_path, f"export HOME='{tmp_path}'").started("none", "slurm")
    out, _ = run.communicate(timeout=600)
    told = " ".join(out.split())
    assert run.returncode == 2, out
    assert "no usable credentials" in told
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (on " in told
    assert "Traceback" not in out
