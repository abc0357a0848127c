"""Speed of the harness beside the alternatives.

``python tests/perf/compare.py [name ...] [--smoke] [--store FOLDER] [--write docs/performance.md]``. Both sides of a
comparison alternate within one run. ``--smoke`` takes tiny models and one repeat, to try the script itself; its figures
mean nothing. ``--store`` names a store that holds the quickstart, for what a run with everything in the store takes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import performance_page
from measuring import REPEATS, Lab, Row
from rich.console import Console
from rich.table import Table

from harness import provenance

BENCHMARKS = {
    "encoding": "encoding",
    "contrastive training": "contrastive",
    "LoRA": "lora",
    "synthesis": "synthesis",
    "late interaction": "late_pool",
    "scoring": "rank_scores",
    "sharing": "sharing",
    "tutorial": "tutorial",
}
"""The module of each benchmark, whose `measure` yields its rows; a name on the command line is that of a module."""
COMMAND = "python tests/perf/compare.py --write docs/performance.md"
MORE_PACKAGES = ("pytrec-eval-terrier", "datasets")


def origin(page: Path | None) -> dict[str, Any]:
    """Commit, machine and packages; found before the page is written, which changes the working tree."""
    made = provenance.collect(Path(__file__))
    packages = {**made["packages"], **{each: provenance.package_version(each) for each in MORE_PACKAGES}}
    made = {**made, "git": {**made["git"], "dirty": changed_besides(page)}} if page else made
    kept = {key: made[key] for key in ("git", "machine", "system", "python")}
    return {**kept, "packages": {each: version for each, version in packages.items() if version != "absent"}}


def changed_besides(page: Path) -> bool:
    """Whether the working tree has changes beside the page, which an earlier benchmark may have written."""
    own = [f":!{path}" for path in (page, performance_page.json_beside(page))]
    told = subprocess.run(
        ["git", "status", "--porcelain", "--", ".", *own], capture_output=True, text=True, check=False
    )
    return told.returncode != 0 or bool(told.stdout.strip())


def measured(name: str, lab: Lab, made: dict[str, Any]) -> dict[str, Any]:
    """Run a benchmark and return its record as JSON values: its rows, where it was run, and when."""
    import torch

    module = importlib.import_module(BENCHMARKS[name])
    load = os.getloadavg()[0]
    rows: list[Row] = list(module.measure(lab))
    about = " ".join((module.__doc__ or "").split("\n\n")[0].split())
    return {
        "about": about,
        "created": provenance.now(),
        "repeats": lab.repeats,
        "threads": torch.get_num_threads(),
        "load": round(load, 1),
        "cores": provenance.usable_cores(),
        "provenance": made,
        "rows": [row.as_json() for row in rows],
    }


def show(name: str, record: dict[str, Any], seconds: float, screen: Console) -> None:
    table = Table(*performance_page.HEADERS, title=f"{name}: {record['about']} ({seconds:.0f} s)")
    for value in record["rows"]:
        table.add_row(*performance_page.cells(Row.of_json(value)))
    screen.print(table)


def results(records: dict[str, Any]) -> dict[str, Any]:
    return {"command": COMMAND, "order": list(BENCHMARKS), "benchmarks": records}


def run(names: Sequence[str], lab: Lab, page: Path | None) -> None:
    """Run benchmarks, show each as soon as it is done, and write it into the page, if there is one."""
    made, screen = origin(page), Console(width=200)
    for name in names:
        started = time.perf_counter()
        record = measured(name, lab, made)
        show(name, record, time.perf_counter() - started, screen)
        if page is not None:
            performance_page.write(page, results({name: record}))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Speed of the harness beside the alternatives.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS.values())}; all if none")
    parser.add_argument("--smoke", action="store_true", help="tiny models and one repeat, to try the script itself")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"times that each side runs (default {REPEATS})")
    parser.add_argument("--store", type=Path, help="a store that holds the quickstart, run cold")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the page, and its JSON beside it")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in BENCHMARKS.values()]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS.values())}")
    if given.smoke and given.write:
        parser.error("--write needs real figures; leave --smoke out")
    from harness.models.loaders import quiet

    quiet()
    chosen = [name for name, module in BENCHMARKS.items() if not given.names or module in given.names]
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), given.smoke, 1 if given.smoke else given.repeats, given.store)
        run(chosen, lab, given.write)


if __name__ == "__main__":
    main()
