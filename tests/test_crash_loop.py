"""A run is killed again and again, with all its children: it ends with the scores of one that was left alone.

All three parts are tuned, with tiny models; under `llm`, with the embedded ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pocket
import pytest
import smallsuite
import tiny

from harness.data import formats
from harness.remote.places import store_in
from harness.scoring.rank import numba_cache_folder

HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]), "OMP_NUM_THREADS": "1",
    "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR") or str(numba_cache_folder()),
}  # fmt: skip
SECONDS = 900
PARTS: dict[str, Any] = {
    "candidates": {"staged": {"tune": ["retriever", "reranker", "generator"], "pairs": "judged"}},
    "data": {"pairs": "judged", "instruct": {"answers": "references", "examples": 8}},
    "evaluate": {"split": "test", "generation_queries": 4, "probe_queries": 5, "probe_generations": 2},
    "baseline_rows": ["bm25", "untuned"],
}


def tiny_suite(folder: Path) -> Path:
    folder.mkdir(parents=True)
    words = smallsuite.vocabulary()
    cross = {"model": str(tiny.cross_encoder(folder / "cross", words)), "max_length": 48}
    writer = {"model": str(tiny.generator(folder / "writer", words)), "max_new_tokens": 4, "passage_tokens": 20}
    changes = {
        **PARTS,
        "pipeline.retriever": {"model": str(smallsuite.bi_encoder(folder / "bi")), "max_length": 48},
        "pipeline.reranker": cross,
        "pipeline.generator": writer,
        "pipeline.depth": 10,
        "recipes": {
            "retriever": {"epochs": 1, "batch_size": 8, "checkpoints": 1},
            "reranker": {"epochs": 1, "batch_size": 8, "checkpoints": 1},
            "generator": {"epochs": 1, "batch_size": 4, "checkpoints": 1},
        },
    }
    return written(folder, changes)


def embedded_suite(folder: Path) -> Path:
    folder.mkdir(parents=True)
    changes = {
        **PARTS,
        "pipeline.retriever": {"max_length": 48},
        "pipeline.reranker": {"kind": "late-interaction"},
        "pipeline.generator": {"max_new_tokens": 8, "passage_tokens": 40},
        "pipeline.depth": 10,
        "recipes": {
            "retriever": {"epochs": 1, "batch_size": 8, "checkpoints": 1, "train_share": 0.5},
            "reranker": {"epochs": 1, "batch_size": 8, "checkpoints": 1, "train_share": 0.5},
            "generator": {"epochs": 1, "batch_size": 4, "checkpoints": 1},
        },
    }
    return written(folder, changes)


def written(folder: Path, changes: dict[str, Any]) -> Path:
    (folder / "suite.yaml").write_text(pocket.suite_text(changes), encoding="utf-8")
    return folder / "suite.yaml"


def started(suite: Path, store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "run", str(suite), "--store", str(store), "--quiet"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=ENVIRONMENT, text=True, stdout=pipe, stderr=pipe, start_new_session=True, preexec_fn=heeding
    )


def heeding() -> None:
    """Signals end the process as from a terminal, even if these tests are run by nohup or in the background."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def whole_run(suite: Path, store: Path) -> float:
    """Run a suite that has to succeed; return its seconds."""
    begun = time.monotonic()
    process = started(suite, store)
    out, error = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, out + error
    return time.monotonic() - begun


def scores(store: Path) -> list[dict[str, Any]]:
    return formats.read_parquet(store / "outcomes" / "toy" / "latest" / "scores.parquet")


def committed(store: Path) -> dict[str, str]:
    """When each artifact of a stage call was committed, by key."""
    found = {}
    for path in (store / "store").glob("??/*/manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if "call" in manifest["facts"]:
            found[path.parent.name] = manifest["created"]
    return found


def killed_again_and_again(suite: Path, tmp_path: Path, kills: int, seed: int = 5) -> None:
    whole = tmp_path / "whole"
    seconds = whole_run(suite, whole)
    moments, done, store, round_number = random.Random(seed), 0, tmp_path / "killed", 0
    while done < kills:
        round_number += 1
        process, before = started(suite, store), committed(store)
        try:
            process.wait(moments.uniform(0.0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            done += 1
        process.communicate(timeout=SECONDS)
        assert process.returncode in (0, -signal.SIGKILL)
        # What was finished is there, and was not made again.
        now = committed(store)
        assert {key: now.get(key) for key in before} == before
        if process.returncode == 0:
            assert scores(store) == scores(whole)
            store = tmp_path / f"killed-{round_number}"
    whole_run(suite, store)
    assert scores(store) == scores(whole)
    assert committed(store).keys() == committed(whole).keys()
    assert [place for place, why in store_in(store).verify() if why] == []
    assert list((store / "store" / "aside").iterdir()) == []


def test_a_run_that_is_killed_ends_with_the_same_scores(tmp_path: Path) -> None:
    killed_again_and_again(tiny_suite(tmp_path / "suite"), tmp_path, kills=1)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_two_hundred_kills(seed: int, tmp_path: Path) -> None:
    """In four parts, which may run side by side."""
    killed_again_and_again(tiny_suite(tmp_path / "suite"), tmp_path, kills=50, seed=seed)


@pytest.mark.llm
@pytest.mark.timeout(7200)
def test_thirty_kills_with_the_embedded_models(tmp_path: Path) -> None:
    killed_again_and_again(embedded_suite(tmp_path / "suite"), tmp_path, kills=30)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_asked_to_end_takes_its_children_along(number: signal.Signals, code: int, tmp_path: Path) -> None:
    import psutil

    process = started(tiny_suite(tmp_path / "suite"), tmp_path / "store")
    deadline = time.monotonic() + SECONDS
    while not any((tmp_path / "store").glob("store/??/*/manifest.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(number)
    process.communicate(timeout=SECONDS)
    assert process.returncode == code
    alive: list[Any] = []
    with contextlib.suppress(psutil.Error):
        _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert not any("manifest.json" not in {file.name for file in place.iterdir()}
                   for place in (tmp_path / "store" / "store").glob("??/*"))  # fmt: skip
