"""Where stages run that do not run on this machine: a suite's section `execution`. It is part of no key."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.suite.fields import Above0, Place, Positive, Spec

SbatchOption = Annotated[str, Field(pattern=r"^[a-z]+([-_][a-z]+)*$", description="an option of sbatch without '--'")]


class RayCluster(Spec):
    """A Ray cluster: its `address`, and what each call asks of it.

    Without an address, the variable RAY_ADDRESS names one; without both, a cluster is started on this machine. A call
    asks for `cpus` cores, one GPU if it computes on one, the memory that its estimate says, and more `resources`.
    """

    address: Place | None = None
    cpus: Positive = 1
    resources: dict[str, Above0] = Field(default_factory=dict)


class SlurmCluster(Spec):
    """A Slurm cluster: at most `jobs` jobs of this run are submitted at a time, one for each call.

    `minutes` is the time limit of a job, `memory_mb` its memory; None: what the estimate says, or else what the cluster
    gives. `gres` is asked for by calls that compute on a GPU, such as ``gpu:1``. `setup` are shell commands that a job
    runs first, `python` the interpreter of the nodes, if it is another than here, and `options` are more options of
    sbatch. `folder` is where files of jobs are, which all nodes have to see; None: below the store if that is a folder,
    else `.harness/workers` below the folder that one works in.
    """

    jobs: Positive = 16
    cpus: Positive = 1
    minutes: Positive = 240
    memory_mb: Positive | None = None
    partition: str | None = None
    account: str | None = None
    gres: str | None = None
    setup: tuple[str, ...] = ()
    python: str | None = None
    folder: Place | None = None
    options: dict[SbatchOption, str | int] = Field(default_factory=dict)


class Execution(Spec):
    """The clusters that a suite may run on; ``--executor`` chooses."""

    ray: RayCluster = RayCluster()
    slurm: SlurmCluster = SlurmCluster()
