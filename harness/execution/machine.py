"""What this machine offers to calls that run side by side: cores, GPUs, and memory within the limits of its cgroup."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from harness import provenance
from harness.errors import ConfigError, Problem
from harness.planning.resources import Resources

CORES_OF_A_JOB = 2
"""With ``auto``, one call runs for every so many cores."""
CGROUPS = Path("/sys/fs/cgroup")
Jobs = int | Literal["auto"]


def jobs_of(value: str | int) -> int:
    """Return how many calls run side by side: a number, or ``auto`` for one per two cores, at least one.

    Raises ConfigError for anything else.
    """
    if value == "auto":
        return max(1, provenance.usable_cores() // CORES_OF_A_JOB)
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
    return max(1, provenance.usable_cores() // jobs)


def resources(jobs: int, processes: Sequence[int] = ()) -> Resources:
    """Return what `jobs` calls may use together; memory that `processes` of the harness hold already is part of it."""
    if jobs == 1:
        return Resources()
    return Resources(jobs, len(gpus()), available_mb() + held_mb(processes))


def gpus() -> list[str]:
    """Return the visible CUDA devices of the kind of the first, as ``CUDA_VISIBLE_DEVICES`` names them.

    The name of the first is part of keys, so no call may run on one of another kind. Empty without a device.
    """
    return list(_alike(os.environ.get("CUDA_VISIBLE_DEVICES"))) if provenance.device_class() != "cpu" else []


@cache
def _alike(visible: str | None) -> tuple[str, ...]:
    import torch

    count = torch.cuda.device_count()
    names = [name.strip() for name in visible.split(",")] if visible else [str(number) for number in range(count)]
    kinds = [torch.cuda.get_device_name(number) for number in range(count)]
    return tuple(name for name, kind in zip(names, kinds, strict=False) if kind == kinds[0])


def available_mb() -> float:
    """Return the memory in MB that can be taken now: what the kernel calls available, or what a cgroup leaves of it."""
    import psutil

    return float(min([psutil.virtual_memory().available, *_left_in_cgroups()])) / 2**20


def _left_in_cgroups() -> Iterator[int]:
    """Bytes left in the cgroup of this process and in those above it; page cache that can be dropped counts as left."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            root, files = (CGROUPS / "memory", V1) if controllers else (CGROUPS, V2)
            inner = root / name.lstrip("/")
            for folder in [inner, *inner.parents]:
                if folder.is_relative_to(root) and (left := _left(folder, *files)) is not None:
                    yield left


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")


def _left(folder: Path, limit: str, used: str, cached: str) -> int | None:
    """Bytes left of the limit of one cgroup; None if it has none."""
    try:
        most, taken = (folder / limit).read_text().strip(), int((folder / used).read_text())
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if most == "max" else max(0, int(most) - taken + int(counts.get(cached, 0)))


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
