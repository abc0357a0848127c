"""Runs of a small suite in which one change of a file fails, each in a fork of this process; see `io_faults.c`.

    LD_PRELOAD=io_faults.so IO_FAULT_BELOW=FOLDER python tests/io_faults.py FOLDER ERRNO STAYS N...

For each N (0 only counts), the suite is run in an empty store whose N-th change fails, and then once more without a
fault. A line of JSON says how both ended and what is in the store.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pocket

from harness.cli import main as cli
from harness.data import formats
from harness.execution import session
from harness.execution.executors import InlineExecutor
from harness.remote.places import store_in

CHANGES: dict[str, Any] = {
    "pipeline.generator": None,
    "pipeline.retriever": {"kind": "bm25"},
    "pipeline.depth": 10,
    "candidates": {"deeper": {"pipeline": {"depth": 20}}},
    "baseline_rows": ["bm25", "untuned"],
    "measures": ["ndcg@10"],
    "gates": [{"measure": "ndcg@10", "margin": 0.02}],
}


def run(suite: Path, root: Path) -> int:
    """The exit code of ``harness run`` in this process; 70 for an exception that nobody caught."""
    sys.argv = ["harness", "run", str(suite), "--store", str(root), "--quiet"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cli.main()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def forked(work: Callable[[], int], output: Path) -> int:
    """The exit code of what is done in a fork, whose output goes to a file."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def scores(root: Path) -> list[dict[str, Any]]:
    """The rows of the latest outcome; none without one."""
    with suppress(OSError):
        return formats.read_parquet(root / "outcomes" / "toy" / "latest" / "scores.parquet")
    return []


def damage(root: Path) -> list[str]:
    """What is wrong with artifacts in a store."""
    folder = root / "store"
    return [f"{place}: {why}" for place, why in store_in(root).verify() if why] if folder.is_dir() else []


def main() -> None:
    folder, (error, stays, *places) = Path(sys.argv[1]), map(int, sys.argv[2:])
    session.executor_named = lambda name, jobs: InlineExecutor()  # type: ignore[assignment]
    faults = ctypes.CDLL(None)
    faults.io_count.restype = ctypes.c_long
    faults.io_failed.restype = ctypes.c_char_p
    suite, root, told = folder / "suite.yaml", folder / "root", folder.parent / "told.txt"
    suite.write_text(pocket.suite_text(CHANGES), encoding="utf-8")
    # Everything is imported and compiled once.
    run(suite, folder / "warm")

    def broken(at: int) -> int:
        faults.io_fault(at, error, stays)
        code = run(suite, root)
        report = {"count": faults.io_count(), "what": faults.io_failed().decode()}
        faults.io_fault(-1, 0, 0)
        (folder.parent / "report.json").write_text(json.dumps(report), encoding="utf-8")
        return code

    for at in places:
        shutil.rmtree(root, ignore_errors=True)
        code = forked(lambda at=at: broken(at), told)  # type: ignore[misc]
        line = {"at": at, "code": code, "said": told.read_text(encoding="utf-8"), "scores": scores(root)}
        line |= {"damage": damage(root)} | json.loads((folder.parent / "report.json").read_text(encoding="utf-8"))
        line |= {"again": forked(lambda: run(suite, root), told), "then": scores(root)}
        line |= {"left": [str(path) for path in root.rglob("*.part")], "said_then": told.read_text(encoding="utf-8")}
        print("\n" + json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
