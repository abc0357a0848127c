"""What this machine offers to calls that run side by side: cores, GPUs, and memory within the limits of its cgroup."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from harness import provenance
from harness.errors import ConfigError, Problem
from harness.execution.environments import environment_now
from harness.planning.resources import Resources

CORES_OF_A_JOB = 2
"""With ``auto``, one call runs for every so many cores."""
CGROUPS = Path("/sys/fs/cgroup")
STATUS = Path("/proc/self/status")
DRIVER_GPUS = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's driver lists all devices of the machine, whatever a job sees of them."""
LIMIT_VARIABLE = "HARNESS_MEMORY_LIMIT"
Jobs = int | Literal["auto"]


def jobs_of(value: str | int) -> int:
    """Return how many calls run side by side: a number, or ``auto`` for one per two cores, at least one.

    Raises ConfigError for anything else.
    """
    if value == "auto":
        return max(1, cores() // CORES_OF_A_JOB)
    try:
        jobs = int(value)
    except ValueError:
        jobs = 0
    if jobs < 1:
        what = f"{str(value)!r} is no number of calls that can run side by side"
        raise ConfigError(Problem("--jobs", what, "give 1 or more, or 'auto' for one per two cores"))
    return jobs


def threads_of(jobs: int) -> int | None:
    """Return how many threads each of several calls gets; None if the number is not the harness's to choose.

    One call at a time uses what its libraries choose, and ``OMP_NUM_THREADS``, where it is set, counts for any number.
    """
    if jobs == 1 or os.environ.get("OMP_NUM_THREADS"):
        return None
    return max(1, cores() // jobs)


def resources(jobs: int, processes: Sequence[int] = ()) -> Resources:
    """Return what `jobs` calls may use together; memory that `processes` of the harness hold already is part of it."""
    if jobs == 1:
        return Resources()
    return Resources(jobs, len(gpus()), available_mb() + held_mb(processes))


def gpus() -> list[str]:
    """Return the visible CUDA devices of the kind of the first, as ``CUDA_VISIBLE_DEVICES`` names them.

    The name of the first is part of keys, so no call may run on one of another kind. Empty without a device.
    """
    # A call that is being started may see one device alone.
    visible = environment_now().get("CUDA_VISIBLE_DEVICES")
    return list(_alike(visible)) if provenance.device_class() != "cpu" else []


def gpus_of_machine() -> int:
    """Return how many GPUs the machine has, those included that this process does not see; at least one."""
    return max(1, sum(1 for _ in DRIVER_GPUS.glob("*")))


@cache
def _alike(visible: str | None) -> tuple[str, ...]:
    import torch

    count = torch.cuda.device_count()
    names = [name.strip() for name in visible.split(",")] if visible else [str(number) for number in range(count)]
    kinds = [torch.cuda.get_device_name(number) for number in range(count)]
    return tuple(name for name, kind in zip(names, kinds, strict=False) if kind == kinds[0])


def cores() -> int:
    """Return the cores that this process may use: those it may run on, or fewer if a cgroup gives it less time."""
    quotas = [quota for folder in _cgroups("cpu") if (quota := _quota(folder))]
    return max(1, math.ceil(min([provenance.usable_cores(), *quotas])))


def available_mb() -> float:
    """Return the memory in MB that can be taken now: what the kernel calls available, or what a cgroup leaves of it."""
    import psutil

    left = [bytes_left for folder in _cgroups("memory") if (bytes_left := _left(folder)) is not None]
    return float(min([psutil.virtual_memory().available, *left])) / 2**20


def bound_memory(share: float, most_mb: float = math.inf) -> None:
    """Let this process take at most `share` of the memory that can be taken now, so that the host never swaps for it,
    nor more than that share of `most_mb`.

    What asks for more gets an error instead, after which smaller batches are tried. Nothing is bounded on a GPU, whose
    driver reserves addresses beyond all memory, nor where ``HARNESS_MEMORY_LIMIT=0``.
    """
    if os.environ.get(LIMIT_VARIABLE) == "0" or provenance.device_class() != "cpu" or not STATUS.exists():
        return
    import resource

    lines = (line.split() for line in STATUS.read_text(encoding="ascii").splitlines())
    taken = next(1024 * int(fields[1]) for fields in lines if fields[0] == "VmData:")
    limit = taken + int(share * min(available_mb(), most_mb) * 2**20)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _cgroups(controller: str) -> Iterator[Path]:
    """The folders of the cgroup of this process and of those above it, of either version."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            root = CGROUPS / controller if controllers else CGROUPS
            inner = root / name.lstrip("/")
            # In a container the path may be that of the host, which is not to be seen; the root is then its own.
            yield from (folder for folder in [inner, *inner.parents] if folder.is_relative_to(root))


def _quota(folder: Path) -> float | None:
    """How many cores' time a cgroup has; None if it has no limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None


def _left(folder: Path) -> int | None:
    """Bytes left of the limit of a cgroup; None if it has none. Page cache can be dropped, so it counts as left."""
    prefix, limit, used = "", "memory.max", "memory.current"
    if not (folder / limit).exists():
        prefix, limit, used = "total_", "memory.limit_in_bytes", "memory.usage_in_bytes"
    try:
        most, taken = int((folder / limit).read_text()), int((folder / used).read_text())
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    cached = sum(int(counts.get(f"{prefix}{name}_file", 0)) for name in ("active", "inactive"))
    return max(0, most - max(0, taken - cached))


def held_mb(processes: Sequence[int]) -> float:
    """Return the memory in MB that these processes hold for themselves; one that has ended holds none."""
    import psutil

    total = 0
    for number in processes:
        try:
            total += psutil.Process(number).memory_full_info().uss
        except psutil.Error:
            continue
    return total / 2**20
