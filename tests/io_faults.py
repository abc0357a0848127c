"""Commands on a small suite in which one change of a file fails, each in a fork of this process; see `io_faults.c`.

    LD_PRELOAD=io_faults.so IO_FAULT_BELOW=FOLDER python tests/io_faults.py run|accept FOLDER ERRNO STAYS N...

For each N (0 only counts), the suite is run in an empty store whose N-th change fails, or the second of two outcomes is
accepted in its place; and then once more without a fault. A line of JSON says how both ended and what there is then.
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
from harness.errors import HarnessError
from harness.execution import session
from harness.execution.executors import InlineExecutor
from harness.remote.places import store_in
from harness.results import baselines

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
    """The exit code of ``harness run`` in this process."""
    return called("run", str(suite), "--store", str(root), "--quiet")


def accept(suite: Path, root: Path, reason: str = "second", kept: Path | None = None) -> int:
    """The exit code of ``harness accept`` in this process."""
    baselines = kept or root / "kept"
    return called("accept", str(suite), "--store", str(root), "--baselines", str(baselines), "--reason", reason)


def called(*words: str) -> int:
    """The exit code of a command in this process; 70 for an exception that nobody caught."""
    sys.argv = ["harness", *words]
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


def accepted(kept: Path) -> str:
    """Why the scores were accepted that are there; or what is wrong with them."""
    try:
        found = baselines.read(kept / "toy", "toy")
    except HarnessError as error:
        return f"damaged: {error}"
    return found.accepted.reason if found else "none"


def damage(root: Path) -> list[str]:
    """What is wrong with artifacts in a store."""
    folder = root / "store"
    return [f"{place}: {why}" for place, why in store_in(root).verify() if why] if folder.is_dir() else []


def main() -> None:
    command, folder, (error, stays, *places) = sys.argv[1], Path(sys.argv[2]), map(int, sys.argv[3:])
    session.executor_named = lambda name, jobs: InlineExecutor()  # type: ignore[assignment]
    faults = ctypes.CDLL(None)
    faults.io_count.restype = ctypes.c_long
    faults.io_failed.restype = ctypes.c_char_p
    suite, root, told = folder / "suite.yaml", folder / "root", folder.parent / "told.txt"
    suite.write_text(pocket.suite_text(CHANGES), encoding="utf-8")
    # Everything is imported and compiled once.
    warm, act = folder / "warm", {"run": run, "accept": accept}[command]
    run(suite, warm)
    accept(suite, warm, "first")

    def broken(at: int) -> int:
        faults.io_fault(at, error, stays)
        code = act(suite, root)
        report = {"count": faults.io_count(), "what": faults.io_failed().decode()}
        faults.io_fault(-1, 0, 0)
        (folder.parent / "report.json").write_text(json.dumps(report), encoding="utf-8")
        return code

    for at in places:
        shutil.rmtree(root, ignore_errors=True)
        if command == "accept":
            shutil.copytree(warm, root, symlinks=True)
        code = forked(lambda at=at: broken(at), told)  # type: ignore[misc]
        line = {"at": at, "code": code, "said": told.read_text(encoding="utf-8"), "scores": scores(root)}
        line |= {"accepted": accepted(root / "kept")} if command == "accept" else {}
        line |= {"damage": damage(root)} | json.loads((folder.parent / "report.json").read_text(encoding="utf-8"))
        line |= {"again": forked(lambda: act(suite, root), told), "then": scores(root)}
        line |= {"then": accepted(root / "kept")} if command == "accept" else {}
        line |= {"left": [str(path) for path in root.rglob("*.part")], "said_then": told.read_text(encoding="utf-8")}
        print("\n" + json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
