"""A suite on a real Slurm cluster of one node; see `slurm_cluster`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import slurm_cluster
from cluster_runs import Runs, check_continued, check_retried, check_same, ended, wait_for, worker_of_slurm
from slurm_cluster import SlurmNode

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(6000)]
SETTINGS = {"minutes": 30, "jobs": 2, "memory_mb": 4000}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmNode]:
    pytest.importorskip("submitit")
    if not slurm_cluster.installed():
        pytest.skip("needs root, and Debian's slurm-wlm and munge")
    with SlurmNode(tmp_path_factory.mktemp("slurm") / "node") as node:
        yield node


@pytest.fixture(scope="module")
def runs(node: SlurmNode, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    variables = {"SLURM_CONF": str(node.configuration)}
    return Runs(tmp_path_factory.mktemp("runs"), variables, {"slurm": SETTINGS})


def jobs(node: SlurmNode, states: str) -> dict[str, str]:
    """Names of the jobs in these states by number."""
    lines = node.command("squeue", "--noheader", f"--states={states}", "--format=%i %j").splitlines()
    return dict(line.split() for line in lines)


def test_a_suite_has_the_same_artifacts_and_scores(runs: Runs, node: SlurmNode) -> None:
    assert "ask the Slurm cluster" in check_same(runs, "slurm", "slurm")
    secret = runs.variables["OPENAI_API_KEY"].encode()
    kept = [path for path in node.folder.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert kept == []


def test_a_worker_that_is_killed_is_replaced(runs: Runs) -> None:
    check_retried(runs, "killed", "slurm", worker_of_slurm)


def test_a_run_that_is_killed_goes_on(runs: Runs) -> None:
    check_continued(runs, "continued", "slurm")


def test_a_run_that_starts_again_waits_for_the_jobs_of_the_one_before(runs: Runs, node: SlurmNode) -> None:
    run = runs.started("found", "slurm")
    wait_for(lambda: len(runs.facts("found")) >= 1, run)
    in_flight = wait_for(lambda: jobs(node, "RUNNING"), run)
    run.kill()
    run.communicate()
    ended(runs.started("found", "slurm"))
    assert in_flight.items() <= jobs(node, "COMPLETED").items()
    names = [*jobs(node, "all").values()]
    assert [names.count(name) for name in in_flight.values()] == [1] * len(in_flight)


def test_a_job_that_needs_too_long_is_one_sentence(runs: Runs, node: SlurmNode) -> None:
    node.command("scontrol", "update", "partitionname=main", "maxtime=10")
    run = runs.started("long", "slurm")
    out, _ = run.communicate(timeout=600)
    node.command("scontrol", "update", "partitionname=main", "maxtime=60")
    assert run.returncode == 2, out
    assert "would wait for ever (PartitionTimeLimit); see the section execution.slurm" in " ".join(out.split())
