"""The same suite and seeds in fresh stores give the same scores: on two runs, with one job or two.

What else a number may depend on, threads and instructions of the processor, is measured, artifact by artifact.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import zip_longest
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_crash_loop import ENVIRONMENT, SECONDS, embedded_suite, scores, tiny_suite

from harness.manifests import MANIFEST

Build = Callable[[Path], Path]
THREADS = "OMP_NUM_THREADS"
LEAST = 1e-6
"""A larger difference of scores belongs into keys."""
OLDER: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL",
}  # fmt: skip
"""What lets the libraries compute as on a processor without AVX-512."""
OTHER_MACHINES: dict[str, Mapping[str, str]] = {
    "two threads": {THREADS: "2"},
    "four threads": {THREADS: "4"},
    "AVX2": {THREADS: "1", **OLDER},
}
BUILDS = [
    pytest.param(tiny_suite, id="tiny models", marks=pytest.mark.slow),
    pytest.param(embedded_suite, id="embedded models", marks=pytest.mark.llm),
]
pytestmark = pytest.mark.timeout(3600)


class Difference(NamedTuple):
    """The largest difference of two numbers at one place, and whether there are other words, too."""

    number: float = 0.0
    words: bool = False


def run(suite: Path, store: Path, *options: str, **variables: str) -> Path:
    """Run the suite in a fresh store; threads are those that the harness chooses unless a variable says how many."""
    environment = {name: value for name, value in ENVIRONMENT.items() if name != THREADS} | variables
    command = [sys.executable, "-m", "harness", "run", str(suite), "--store", str(store), "--quiet", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return store


def artifacts(store: Path) -> dict[str, tuple[str, Path]]:
    """Stage and folder of each artifact of a stage call, by key."""
    found = {}
    for path in sorted((store / "store").glob(f"??/*/{MANIFEST}")):
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
        if "call" in facts:
            found[path.parent.name] = facts["stage"], path.parent
    return found


def difference(one: Path, other: Path) -> Difference:
    """Compare two folders of one key, file by file."""
    found = Difference()
    for path in sorted(place for place in one.rglob("*") if place.is_file() and place.name != MANIFEST):
        beside = other / path.relative_to(one)
        if path.read_bytes() == beside.read_bytes():
            continue
        number, words = (
            _of_texts(path, beside) if path.suffix not in (".npy", ".safetensors") else _of_arrays(path, beside)
        )
        found = Difference(max(found.number, number), found.words or words)
    return found


def _of_arrays(path: Path, beside: Path) -> Difference:
    from safetensors.numpy import load_file

    if path.suffix == ".npy":
        pairs = [(np.load(path), np.load(beside))]
    else:
        mine, theirs = load_file(path), load_file(beside)
        assert mine.keys() == theirs.keys()
        pairs = [(mine[name], theirs[name]) for name in mine]
    return Difference(max(float(np.abs(a.astype(np.float64) - b).max(initial=0.0)) for a, b in pairs))


def _of_texts(path: Path, beside: Path) -> Difference:
    number, words = 0.0, False
    mine, theirs = (re.split(r'[\s,:{}\[\]"]+', place.read_text(encoding="utf-8")) for place in (path, beside))
    for one, other in zip_longest(mine, theirs, fillvalue=""):
        if one != other:
            try:
                number = max(number, abs(float(one) - float(other)))
            except ValueError:
                words = True
    return Difference(number, words)


def table(one: Path, other: Path) -> list[str]:
    """How the artifacts of two stores differ, a line for each stage."""
    mine, theirs = artifacts(one), artifacts(other)
    assert mine.keys() == theirs.keys()
    by_stage = defaultdict(list)
    for key, (stage, place) in mine.items():
        by_stage[stage].append(difference(place, theirs[key][1]))
    return [
        f"{stage:16} {sum(found == Difference() for found in some)} of {len(some)} equal, largest difference "
        f"{max(found.number for found in some):.1e}{', other words' if any(found.words for found in some) else ''}"
        for stage, some in by_stage.items()
    ]


def largest(one: Path, other: Path) -> tuple[int, float]:
    """How many scores of two stores differ, and by how much at most."""

    def values(store: Path) -> dict[tuple[Any, ...], Any]:
        names = ("system", "seed", "split", "query_id", "measure")
        return {tuple(row[name] for name in names): row["value"] for row in scores(store)}

    mine, theirs = values(one), values(other)
    assert mine.keys() == theirs.keys()
    apart = [
        inf if None in (mine[key], theirs[key]) else abs(mine[key] - theirs[key])
        for key in mine
        if mine[key] != theirs[key]
    ]
    return len(apart), max(apart, default=0.0)


@pytest.mark.parametrize("build", BUILDS)
def test_scores_are_the_same_in_fresh_stores_with_one_job_or_two(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = build(tmp_path / "suite")
    first, *others = [
        run(suite, tmp_path / f"{jobs}-{number}", "--jobs", str(jobs)) for jobs in (1, 2) for number in (1, 2)
    ]
    with capsys.disabled():
        print("", *(line for other in others for line in (f"-- {other.name}", *table(first, other))), sep="\n")
    for other in others:
        assert scores(other) == scores(first)
        assert (other / "outcomes/toy/latest/scores.parquet").read_bytes() == (
            first / "outcomes/toy/latest/scores.parquet"
        ).read_bytes()


@pytest.mark.parametrize("build", BUILDS)
def test_threads_and_instructions_change_scores_by_no_more_than_keys_allow(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = build(tmp_path / "suite")
    first = run(suite, tmp_path / "one thread", **{THREADS: "1"})
    told = []
    for name, variables in OTHER_MACHINES.items():
        other = run(suite, tmp_path / name, **variables)
        count, most = largest(first, other)
        told.append((name, count, most))
        with capsys.disabled():
            print(f"\n-- {name}: {count} of {len(scores(first))} scores differ, by at most {most:.1e}")
            print(*table(first, other), sep="\n")
    assert all(most <= LEAST for _, _, most in told), told
