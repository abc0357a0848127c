"""One suite on every executor: ``python tests/perf/executors.py SUITE FOLDER [WAY ...]``.

A way is one job (`one`), two jobs of one thread (`two`), two nodes of Ray (`ray`) or a node of Slurm (`slurm`), all on
this machine. With `@s3` behind it, the store is on a server of S3 instead of in FOLDER. Each run begins with an empty
store, or goes on where it was stopped. The log of each is in FOLDER. Prints what each took from its start to its end,
and whether its results are those of the first (see `same_results`); ends with 1 if a run failed or scores differ.

Ray, Slurm and the server are those of the tests, and need what these need (see docs/clusters.md).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

import same_results  # noqa: E402
from moto_server import Moto  # noqa: E402
from ray_cluster import RayNodes  # noqa: E402
from slurm_cluster import SlurmNode  # noqa: E402

USUAL = ("one", "two", "ray@s3", "slurm")
MEMORY_MB = 7500
"""What a job of Slurm may take; two of them fit into the node."""


class Way(NamedTuple):
    """How a suite is run: options of the command, its section `execution`, and variables."""

    options: tuple[str, ...] = ()
    execution: Mapping[str, Any] | None = None
    variables: Mapping[str, str] | None = None


@contextlib.contextmanager
def opened(name: str, folder: Path, moto: Moto | None) -> Iterator[Way]:
    """Start what a way needs, and stop it at the end."""
    shared = moto.variables if moto else {}
    match name:
        case "one":
            yield Way(("--jobs", "1"), None, shared)
        case "two":
            yield Way(("--jobs", "2"), None, shared)
        case "ray":
            with RayNodes(folder / "nodes", shared) as nodes:
                execution = {"ray": {"address": nodes.address}}
                yield Way(("--executor", "ray"), execution, {**nodes.token, **shared, "OMP_NUM_THREADS": "1"})
        case "slurm":
            shutil.rmtree(folder / "node", ignore_errors=True)
            with SlurmNode(folder / "node") as node:
                given = [f"export {word}='{value}'" for word, value in shared.items()]
                setup = [f"export XDG_CACHE_HOME='{folder / 'cache of the node'}'", *given]
                settings = {"minutes": 60, "jobs": 2, "memory_mb": MEMORY_MB, "setup": setup}
                variables = {"SLURM_CONF": str(node.configuration), **shared, "OMP_NUM_THREADS": "1"}
                yield Way(("--executor", "slurm"), {"slurm": {**settings, "folder": str(folder / "jobs")}}, variables)
        case _:
            raise SystemExit(f"{name}: no such way; name one, two, ray or slurm")


def run(suite: Path, folder: Path, way: Way, store: str) -> tuple[int, float]:
    """Run the suite in one way; return its exit code and its seconds."""
    copied = folder / "suite"
    shutil.copytree(suite.parent, copied, dirs_exist_ok=True)
    value = yaml.safe_load(suite.read_text(encoding="utf-8"))
    if way.execution:
        value["execution"] = dict(way.execution)
    (copied / suite.name).write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "harness", "run", str(copied / suite.name), "--store", store, *way.options]
    began = time.monotonic()
    with (folder / "log").open("ab") as log:
        environment = {**os.environ, **(way.variables or {})}
        done = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False)
    return done.returncode, time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("ways", nargs="*", default=USUAL)
    asked = parser.parse_args()
    suite, stores, worst = asked.suite.absolute(), [], 0
    if asked.folder.resolve().is_relative_to(suite.parent.resolve()):
        parser.error("FOLDER lies in the folder of the suite, which is copied into it; name another one")
    name = yaml.safe_load(suite.read_text(encoding="utf-8"))["name"]
    with contextlib.ExitStack() as stack:
        moto = None
        if any(way.endswith("@s3") for way in asked.ways):
            moto = stack.enter_context(Moto())
            # This process reads the results, as one more machine.
            os.environ.update(moto.variables)
        for way in asked.ways:
            kind, _, place = way.partition("@")
            folder = asked.folder.absolute() / way
            folder.mkdir(parents=True, exist_ok=True)
            here = moto if place == "s3" else None
            store = f"{here.bucket()}/store" if here else str(folder / "store")
            with opened(kind, folder, here) as how:
                code, seconds = run(suite, folder, how, store)
            print(f"{way}: {seconds:.0f} s, exit code {code}", flush=True)
            worst = max(worst, int(code not in (0, 1)))
            stores.append(store)
            if len(stores) > 1:
                print(f"{way} against {asked.ways[0]}:", flush=True)
                worst = max(worst, same_results.main([name, stores[0], store]))
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
