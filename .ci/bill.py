"""Build the wheel, and write the bill of materials of the environment that it is installed in; `tox -e sbom` calls it.

The bill is CycloneDX in JSON, beside the wheel in `dist/`: every installed distribution with version, licence and
dependencies, by the tool cyclonedx-py, whose path is the argument. Version and digest of the wheel are added to it.
Exit code 1 if it lacks one of the packages that the harness requires.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAME = "rag-tuning-harness"


def bill_of(tool: str, wheel: Path) -> dict[str, Any]:
    """Return the bill of this environment, for a wheel that is installed in it."""
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application", "--spec-version", "1.6"]
    form = ["--output-reproducible", "--output-format", "JSON", "--output-file", "-"]
    command = [tool, "environment", *options, *form, sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bill: {Path(tool).name} failed: {done.stderr.strip().splitlines()[-1:]}")
    bill: dict[str, Any] = json.loads(done.stdout)
    version = wheel.name.split("-")[1]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    bill["metadata"]["component"] |= {
        "version": version, "purl": f"pkg:pypi/{NAME}@{version}", "hashes": [{"alg": "SHA-256", "content": digest}],
    }  # fmt: skip
    return bill


def missing(bill: dict[str, Any]) -> list[str]:
    """Return what the harness requires without extras, and the bill lacks."""
    required = {
        re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0] for one in requires(NAME) or () if "extra ==" not in one
    }
    named = {plain(component["name"]) for component in bill.get("components", ())}
    return sorted(name for name in required if plain(name) not in named) if required else [NAME]


def plain(name: str) -> str:
    """Return a name in the form in which names of distributions are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(tool: str) -> int:
    """Build, write and check; return the exit code."""
    folder = ROOT / "dist"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    wheel = max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime_ns)
    bill = bill_of(tool, wheel)
    out = folder / f"{wheel.stem}.cdx.json"
    out.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if lacking := missing(bill):
        print(f"bill: {out.name} lacks {', '.join(lacking)}; install the wheel into the environment first")
        return 1
    print(f"bill: {wheel.name} and {out.name} with {len(bill['components'])} components are in dist/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
